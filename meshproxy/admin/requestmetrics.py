"""Istio's standard metrics: requests by where they went and how they ended, so that dashboards made for Istio work.

Source: Istio's standard metrics, as a gateway reports them (``reporter="source"``). A label whose value is not known is
``unknown``.

They are rendered here and not by prometheus_client, which takes some fifteen microseconds for each sample: a row has
63, and the reactor would stand still for as long as it takes to render hundreds of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from meshproxy.admin.cluster_metrics import MOST_CLUSTERS, OTHERS
from meshproxy.model import Cluster, ProxyIdentity
from meshproxy.upstream.traffic import BOUNDS, BUCKETS, PART, Row

UNKNOWN = "unknown"

_CANONICAL_NAME = "service.istio.io/canonical-name"
_CANONICAL_REVISION = "service.istio.io/canonical-revision"
_LIMITS = [*(str(float(bound)) for bound in BOUNDS), "+Inf"]
_COUNTER = ("istio_requests", "Requests that are over.")
_HISTOGRAMS = (
    ("istio_request_duration_milliseconds", "Milliseconds from the first byte received to the last one sent."),
    ("istio_request_bytes", "Bytes of request bodies."),
    ("istio_response_bytes", "Bytes of response bodies."),
)


def request_metrics(
    traffic: Mapping[str, Mapping[str, Row]],
    cluster_of: Callable[[str], Cluster | None],
    gateway: ProxyIdentity,
    openmetrics: bool,
) -> str:
    """The metrics as text. ``traffic``: rows by ``STATUS FLAGS``, by the name of a cluster, or "" for none."""
    sets: list[tuple[str, Row]] = []
    source = _source(gateway)
    for name, rows in _bounded(traffic).items():
        place = {**source, **_destination(name, cluster_of(name))}
        for key, row in rows.items():
            code, _, flags = key.partition(" ")
            labels = {**place, "response_code": code, "response_flags": flags}
            sets.append((",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items()), row))
    return "".join(_families(sets, openmetrics))


def _bounded(traffic: Mapping[str, Mapping[str, Row]]) -> Mapping[str, Mapping[str, Row]]:
    """The same, but with the clusters beyond a number added up as one, by classes of status."""
    names = sorted(traffic)
    if len(names) <= MOST_CLUSTERS:
        return traffic
    others: dict[str, Row] = {}
    for name in names[MOST_CLUSTERS:]:
        for key, row in traffic[name].items():
            folded = f"{key[0]}xx -"
            others[folded] = [a + b for a, b in zip(others.get(folded, [0] * len(row)), row, strict=True)]
    return {**{name: traffic[name] for name in names[:MOST_CLUSTERS]}, OTHERS: others}


def _families(sets: Sequence[tuple[str, Row]], openmetrics: bool) -> Iterator[str]:
    name, help_text = _COUNTER
    # OpenMetrics names the family without the suffix.
    family = name if openmetrics else name + "_total"
    yield f"# HELP {family} {help_text}\n# TYPE {family} counter\n"
    for labels, row in sets:
        yield f"{name}_total{{{labels}}} {sum(row[:BUCKETS])}\n"
    for part, (name, help_text) in enumerate(_HISTOGRAMS):
        yield f"# HELP {name} {help_text}\n# TYPE {name} histogram\n"
        for labels, row in sets:
            start = part * PART
            before = f'{name}_bucket{{{labels},le="'
            totals = list(accumulate(row[start : start + BUCKETS]))
            yield "".join([f'{before}{limit}"}} {total}\n' for limit, total in zip(_LIMITS, totals, strict=True)])
            yield f"{name}_count{{{labels}}} {totals[-1]}\n{name}_sum{{{labels}}} {row[start + BUCKETS]}\n"


def _source(gateway: ProxyIdentity) -> dict[str, str]:
    labels = dict(gateway.labels)
    app = labels.get("app", UNKNOWN)
    return {
        "reporter": "source",
        "source_workload": app,
        "source_canonical_service": labels.get(_CANONICAL_NAME, app),
        "source_canonical_revision": labels.get(_CANONICAL_REVISION, labels.get("version", "latest")),
        "source_workload_namespace": gateway.namespace,
        "source_principal": UNKNOWN,
        "source_app": app,
        "source_version": labels.get("version", UNKNOWN),
        "source_cluster": UNKNOWN,
    }


def _destination(name: str, cluster: Cluster | None) -> dict[str, str]:
    host = name.rpartition("|")[2] or UNKNOWN
    # Of a Kubernetes service; other hosts have no namespace in their name.
    service, in_kubernetes, rest = host.partition(".")
    namespace, is_service, _ = rest.partition(".svc.")
    if not (in_kubernetes and is_service):
        service, namespace = host, UNKNOWN
    labels = _common_labels(cluster)
    app = labels.get("app", UNKNOWN)
    return {
        "destination_workload": UNKNOWN,
        "destination_workload_namespace": UNKNOWN,
        "destination_principal": UNKNOWN,
        "destination_app": app,
        "destination_version": labels.get("version", UNKNOWN),
        "destination_service": host,
        "destination_canonical_service": labels.get(_CANONICAL_NAME, app),
        "destination_canonical_revision": labels.get(_CANONICAL_REVISION, labels.get("version", "latest")),
        "destination_service_name": service,
        "destination_service_namespace": namespace,
        "destination_cluster": UNKNOWN,
        "request_protocol": "http",
        "grpc_response_status": "",
        "connection_security_policy": UNKNOWN,
    }


def _common_labels(cluster: Cluster | None) -> dict[str, str]:
    """The labels that all endpoints of a cluster have; such as those by which a subset selects."""
    if cluster is None:
        return {}
    common: set[tuple[str, str]] | None = None
    for endpoint in cluster.endpoints or cluster.targets:
        common = set(endpoint.labels) if common is None else common.intersection(endpoint.labels)
        if not common:
            break
    return dict(common or ())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
