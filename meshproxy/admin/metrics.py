"""What the data path of a process has counted, for Prometheus.

Names follow https://prometheus.io/docs/practices/naming/: base units, ``_total`` for what only rises. Everything here
can be summed over processes, but for what ends in ``_info`` or ``_ratio``. Requests have Istio's names: see
``requestmetrics``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from meshproxy.admin.cluster_metrics import cluster_metrics
from meshproxy.admin.tables import Tables
from meshproxy.http.counters import Counters
from meshproxy.http.gateway import Gateway
from meshproxy.upstream.ejections import Ejections
from meshproxy.upstream.hosts import ClusterState
from meshproxy.upstream.probes import HealthProbes

_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
_HELP = {
    "access_log_dropped_total": "Access log lines that could not be written.",
    "bytes_received_total": "Bytes of request bodies received from clients.",
    "bytes_sent_total": "Bytes of response bodies sent to clients.",
    "connections_active": "Client connections that are open.",
    "connections_refused_total": "Client connections closed at once because there were as many as there may be.",
    "connections_total": "Client connections accepted.",
    "faults_aborted_total": "Requests that a fault rule aborted.",
    "faults_delayed_total": "Requests that a fault rule delayed.",
    "local_replies_total": "Responses that the gateway made itself.",
    "mirrors_active": "Mirrored requests under way.",
    "mirrors_dropped_total": "Mirrored requests that were given up: too many at once, or an endpoint too slow.",
    "mirrors_total": "Mirrored requests begun.",
    "protocol_errors_total": "Messages from clients or endpoints that are not valid HTTP.",
    "requests_active": "Requests under way.",
    "requests_total": "Requests begun.",
    "strategy_errors_total": "Requests that failed because a load-balancing strategy raised an error.",
    "stream_idle_timeouts_total": "Requests ended because neither they nor their responses moved.",
    "tunnels_active": "Connections that have switched to another protocol, such as WebSocket, and are open.",
    "tunnels_total": "Connections that have switched to another protocol.",
    "upstream_connect_failures_total": "Connections to endpoints that could not be made.",
    "upstream_connections_active": "Connections to endpoints that are open.",
    "upstream_connections_total": "Connections to endpoints that were made.",
    "upstream_replays_total": "Requests repeated because an endpoint had closed a kept-alive connection.",
    "upstream_retries_total": "Further tries of requests, by their retry policy.",
    "upstream_timeouts_total": "Requests that a timeout of their route ended.",
}


_CLUSTER_HELP = {
    "folded": "Requests that are counted by the class of their status alone: too many pairs of status and flags.",
    "with_new_session": "Requests that had no hash key and were given one in a cookie.",
    "without_key": "Requests that had none of the keys of the hash policy.",
}
_TABLE_HELP = {
    "least_loaded": "The smallest share of the keys that an endpoint has in a hash table; 1 is its even share.",
    "most_loaded": "The largest share of the keys that an endpoint has in a hash table; 1 is its even share.",
    "moved": "The share of the keys that got another endpoint when the hash table was last rebuilt.",
}


def traffic(gateway: Gateway, tables: Tables) -> Iterator[Metric]:
    """The figures of a gateway; what ``Counters`` has keeps its name behind ``meshproxy_``."""
    yield from _counted(gateway.counters)
    yield from cluster_metrics(gateway.upstreams.clusters)
    yield from _ejected(gateway.upstreams.ejections)
    yield from _of_clusters(gateway.upstreams.clusters)
    yield from _of_tables(tables)


def _counted(counters: Counters) -> Iterator[Metric]:
    responses = CounterMetricFamily(
        "meshproxy_responses", "Responses completed, by class of status.", labels=["code_class"]
    )
    for name in counters.__slots__:
        value = getattr(counters, name)
        if name.startswith("responses_"):
            continue
        family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        yield family("meshproxy_" + name, _HELP[name], value)
    for code_class in _CLASSES:
        responses.add_metric([code_class], getattr(counters, "responses_" + code_class))
    yield responses


def checks(probes: HealthProbes) -> Iterator[Metric]:
    """The figures of the health checks that a process makes; nothing where none was made."""
    if not (probes.passed or probes.failed):
        return
    results = CounterMetricFamily("meshproxy_health_checks", "Health checks, by how they ended.", labels=["result"])
    results.add_metric(["passed"], probes.passed)
    results.add_metric(["failed"], probes.failed)
    yield results
    changes = CounterMetricFamily(
        "meshproxy_health_check_changes", "Endpoints that began to pass or to fail their checks.", labels=["to"]
    )
    changes.add_metric(["healthy"], probes.changes[True])
    changes.add_metric(["unhealthy"], probes.changes[False])
    yield changes
    yield GaugeMetricFamily(
        "meshproxy_health_check_failing", "Endpoints that do not pass their health checks.", probes.unhealthy
    )


def _ejected(ejections: Ejections) -> Iterator[Metric]:
    by_reason = CounterMetricFamily(
        "meshproxy_ejections", "Endpoints ejected by outlier detection, by reason.", labels=["reason"]
    )
    for reason, number in ejections.by_reason.items():
        by_reason.add_metric([reason.value], number)
    yield by_reason
    yield CounterMetricFamily(
        "meshproxy_ejections_prevented_total",
        "Endpoints that would have been ejected but for maxEjectionPercent.",
        ejections.spared,
    )
    yield GaugeMetricFamily("meshproxy_ejections_active", "Endpoints that are ejected.", ejections.active)


def _of_clusters(clusters: Mapping[str, ClusterState]) -> Iterator[Metric]:
    for attribute, text in _CLUSTER_HELP.items():
        family = CounterMetricFamily("meshproxy_cluster_requests_" + attribute, text, labels=["cluster"])
        for name, state in clusters.items():
            number = getattr(state.traffic, attribute)
            if number:
                family.add_metric([name], number)
        yield family


def _of_tables(tables: Tables) -> Iterator[Metric]:
    fingerprint = GaugeMetricFamily(
        "meshproxy_cluster_table_info",
        "The fingerprint of a hash table, equal for equal tables of other gateways; always 1.",
        labels=["cluster", "fingerprint"],
    )
    least, most, moved = (
        GaugeMetricFamily(f"meshproxy_cluster_table_{name}_ratio", text, labels=["cluster"])
        for name, text in _TABLE_HELP.items()
    )
    for name, facts in tables.facts().items():
        fingerprint.add_metric([name, facts.fingerprint], 1)
        least.add_metric([name], facts.shares.least_loaded)
        most.add_metric([name], facts.shares.most_loaded)
        moved.add_metric([name], facts.moved)
    yield from (fingerprint, least, most, moved)


__all__ = ["checks", "traffic"]
