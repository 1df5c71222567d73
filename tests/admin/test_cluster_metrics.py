from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.admin import cluster_metrics
from tests.fakes import Wire, cluster, snapshot
from tests.http.test_pools import asking, limited


def figures(wire: Wire) -> dict[tuple[str, ...], float]:
    """By name of the series and its labels' values."""
    families = cluster_metrics.cluster_metrics(wire.gateway.upstreams.clusters)
    return {(it.name, *it.labels.values()): it.value for family in families for it in family.samples}


class ClusterMetrics(SynchronousTestCase):
    def test_figures(self) -> None:
        """What a cluster has under way and what its limits refused."""
        wire = limited(max_connections=1, max_pending=2)
        asking(wire, 3)
        wire.accept()
        asking(wire, 2)
        name = "outbound|8080||shop.example"
        self.assertEqual(
            figures(wire),
            {
                ("meshproxy_cluster_connections", name): 1,
                ("meshproxy_cluster_requests_pending", name): 2,
                ("meshproxy_cluster_requests_active", name): 1,
                ("meshproxy_cluster_retries_active", name): 0,
                ("meshproxy_cluster_overflows_total", name, "max_connections"): 3,
                ("meshproxy_cluster_overflows_total", name, "max_pending"): 2,
            },
        )

    def test_limit_that_is_gone(self) -> None:
        """What was refused stays counted when the limit is gone."""
        wire = limited(max_pending=1)
        asking(wire, 2)
        wire.gateway.install(snapshot(cluster()))
        refused = [value for (name, *_), value in figures(wire).items() if name == "meshproxy_cluster_overflows_total"]
        self.assertEqual(refused, [1])

    def test_many_clusters(self) -> None:
        """Beyond a number of clusters, the rest share one series and add up."""
        self.patch(cluster_metrics, "MOST_CLUSTERS", 1)
        clusters = [cluster(name=name) for name in ("c", "b", "a")]
        wire = Wire(snapshot(*clusters))
        for state in wire.gateway.upstreams.clusters.values():
            state.breakers.requests = 2
        found = figures(wire)
        self.assertEqual(found["meshproxy_cluster_requests_active", "a"], 2)
        self.assertEqual(found["meshproxy_cluster_requests_active", "others"], 4)
        self.assertEqual(len(found), 2 * 4)
