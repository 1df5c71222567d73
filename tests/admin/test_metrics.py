"""The metrics page as a whole: naming, both formats, what the data path brings, and the dashboard that shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from meshproxy.model import Cluster
from meshproxy.strategies.maglev import MaglevBuilder
from tests.admin.test_pages import PagesTestCase
from tests.fakes import endpoints
from tests.packaging.checkout import ROOT

# Units that are no base units, as Prometheus has them.
_OTHER_UNITS = re.compile(r"_(milliseconds?|minutes?|hours?|kilobytes?|kib|mib|percent)(_|$)")
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class MetricsCase(PagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        builder = MaglevBuilder(251)
        members = endpoints(3)
        self.cluster = Cluster("outbound|80||a.test", members, builder, builder.build(members))
        gateway = self.service.gateway
        gateway.upstreams.update({self.cluster.name: self.cluster})
        state = gateway.upstreams.clusters[self.cluster.name]
        state.traffic.count(200, b"", 2.5, 0, 100)
        state.traffic.without_key += 3
        state.traffic.folded += 1
        state.traffic.with_new_session += 2

    def text(self, **headers: str) -> str:
        status, body = self.answer("GET", "/metrics", **headers)
        self.assertEqual(status, 200)
        return body

    def families(self) -> dict[str, Metric]:
        return {family.name: family for family in text_string_to_metric_families(self.text())}


class NamingTests(MetricsCase):
    def test_conventions(self) -> None:
        """Names, types and units follow Prometheus' conventions; those of Istio's metrics are Istio's."""
        text = self.text()
        for line in text.splitlines():
            self.assertRegex(line, r"^# (HELP|TYPE) [a-z_]+ \S|^[a-z_]+(\{.*\})? \S+$")
        typed = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
        self.assertEqual(len(typed), len(dict(typed)), "a family is there twice")
        self.assertEqual([name for name, _ in typed], re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE))
        for name, kind in typed:
            self.assertRegex(name, r"^(meshproxy|istio|process)_[a-z0-9_]+$")
            self.assertEqual(kind == "counter", name.endswith("_total"), name)
            self.assertFalse(name.endswith(("_count", "_sum", "_bucket", "_gauge", "_counter")), name)
            if not name.startswith("istio_"):
                self.assertIsNone(_OTHER_UNITS.search(name), name)

    def test_samples(self) -> None:
        """Every sample belongs to a family, has a label set of its own, and a type that a reader knows."""
        for family in self.families().values():
            self.assertIn(family.type, ("counter", "gauge", "histogram"), family.name)
            keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
            self.assertEqual(len(keys), len(set(keys)), family.name)

    def test_openmetrics(self) -> None:
        """Whoever asks for OpenMetrics gets it, with the same families and one end."""
        text = self.text(accept=_OPENMETRICS)
        self.assertTrue(text.endswith("# EOF\n"))
        self.assertEqual(text.count("# EOF"), 1)
        self.assertEqual({family.name for family in openmetrics_families(text)}, set(self.families()))
        head = self.ask("GET", "/metrics", accept=_OPENMETRICS).value().lower()
        self.assertIn(b"content-type: application/openmetrics-text; version=1.0.0", head)


class ClusterTests(MetricsCase):
    def test_values(self) -> None:
        """Each cluster has its requests, those without a key, and the facts about its table."""
        found = self.families()
        for name, value in (
            ("istio_requests", 1),
            ("meshproxy_cluster_requests_without_key", 3),
            ("meshproxy_cluster_requests_folded", 1),
            ("meshproxy_cluster_requests_with_new_session", 2),
            ("meshproxy_cluster_table_info", 1),
            ("meshproxy_cluster_table_moved_ratio", 0),
        ):
            (sample,) = found[name].samples
            self.assertEqual(sample.value, value, name)
            if name.startswith("meshproxy"):
                self.assertEqual(sample.labels["cluster"], self.cluster.name)

    def test_gone(self) -> None:
        """A cluster that is no longer configured is no longer told of."""
        self.service.gateway.upstreams.update({})
        self.assertNotIn(self.cluster.name, self.text())


class DashboardTests(MetricsCase):
    def setUp(self) -> None:
        super().setUp()
        self.dashboard = json.loads((ROOT / "examples" / "grafana-dashboard.json").read_text())

    def queries(self) -> Iterator[str]:
        for panel in self.dashboard["panels"]:
            yield from (target["expr"] for target in panel.get("targets", ()))
        for variable in self.dashboard["templating"]["list"]:
            if variable["type"] == "query":
                yield variable["query"]["query"]

    def test_metrics_exist(self) -> None:
        """Each metric that a query names is one that the page has, and so are its labels."""
        present: dict[str, set[str]] = {}
        for family in self.families().values():
            for sample in family.samples:
                present.setdefault(sample.name, {"instance"}).update(sample.labels)
        named = 0
        for query in self.queries():
            for metric in re.findall(r"\b(?:istio|meshproxy|process)_[a-z_]+\b", query):
                named += 1
                self.assertIn(metric, present, query)
                labels = set(re.findall(r'[{,]([a-z_]+)(?:=~|!=|=)"', query))
                labels.update(label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", "))
                self.assertEqual(labels - present[metric], set(), query)
        self.assertGreater(named, 30)

    def test_shape(self) -> None:
        """Panels have ids of their own, places that do not overlap, and balanced queries."""
        panels: list[dict[str, Any]] = self.dashboard["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            cells = {
                (place["x"] + across, place["y"] + down) for across in range(place["w"]) for down in range(place["h"])
            }
            self.assertEqual(cells & taken, set(), panel["title"])
            taken |= cells
        for query in self.queries():
            for opening, closing in ("()", "{}", "[]"):
                self.assertEqual(query.count(opening), query.count(closing), query)
