"""Figures for each cluster: connections, requests, and what its limits refused.

The configuration decides how many clusters there are, and it may name thousands. Only the first ``MOST_CLUSTERS`` by
name have series of their own; the rest is one series, so that sums over all clusters stay right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from meshproxy.policies import NO_LIMIT
from meshproxy.upstream.breakers import CircuitBreakers
from meshproxy.upstream.hosts import ClusterState

MOST_CLUSTERS = 1000
OTHERS = "others"
"""The name for the clusters that have none of their own here."""

_GAUGES = {
    "connections": ("meshproxy_cluster_connections", "Connections to endpoints, those being made included."),
    "pending": ("meshproxy_cluster_requests_pending", "Requests that wait for a connection."),
    "requests": ("meshproxy_cluster_requests_active", "Requests that a connection carries."),
    "retries": ("meshproxy_cluster_retries_active", "Requests whose present try is not the first."),
}
_OVERFLOWS = {
    "connection_overflows": "max_connections",
    "pending_overflows": "max_pending",
    "request_overflows": "max_requests",
    "retry_overflows": "max_retries",
}


def cluster_metrics(clusters: Mapping[str, ClusterState]) -> Iterator[Metric]:
    """The figures of the clusters that are served, by name."""
    names = sorted(clusters)
    groups = [(name, [clusters[name].breakers]) for name in names[:MOST_CLUSTERS]]
    if len(names) > MOST_CLUSTERS:
        groups.append((OTHERS, [clusters[name].breakers for name in names[MOST_CLUSTERS:]]))
    for attribute, (metric, text) in _GAUGES.items():
        gauge = GaugeMetricFamily(metric, text, labels=["cluster"])
        for name, breakers in groups:
            gauge.add_metric([name], _sum(breakers, attribute))
        yield gauge
    overflows = CounterMetricFamily(
        "meshproxy_cluster_overflows",
        "How often a limit of the cluster left no room; by max_connections requests only wait.",
        labels=["cluster", "limit"],
    )
    for name, breakers in groups:
        for attribute, limit in _OVERFLOWS.items():
            refused = _sum(breakers, attribute)
            # A limit that is not there refuses nothing, unless it was there before.
            if refused or any(getattr(it, limit) != NO_LIMIT for it in breakers):
                overflows.add_metric([name, limit], refused)
    yield overflows


def _sum(breakers: Iterable[CircuitBreakers], attribute: str) -> int:
    return sum(getattr(it, attribute) for it in breakers)
