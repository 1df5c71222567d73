"""Istio's metrics: labels, histograms, and what readers of the format make of them."""

from __future__ import annotations

from typing import Any

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.admin import requestmetrics
from meshproxy.admin.requestmetrics import request_metrics
from meshproxy.model import Cluster, Endpoint, ProxyIdentity
from meshproxy.upstream.traffic import Traffic
from tests.fakes import FixedBalancer

NAME = "outbound|8080|v1|shop.default.svc.cluster.local"
FAMILIES = [
    "istio_requests",
    "istio_request_duration_milliseconds",
    "istio_request_bytes",
    "istio_response_bytes",
]


def rows(*requests: tuple[Any, ...]) -> Any:
    """The rows of requests, each as ``Traffic.count`` takes it."""
    traffic = Traffic()
    for request in requests:
        traffic.count(*request)
    return traffic.figures()


def cluster(*labels: dict[str, str]) -> Cluster:
    """A cluster of endpoints with these labels."""
    members = tuple(Endpoint("192.0.2.1", port, 1, tuple(sorted(each.items()))) for port, each in enumerate(labels, 1))
    return Cluster(NAME, members, FixedBalancer(members), FixedBalancer(members))


def families(
    traffic: Any,
    found: Cluster | None = None,
    identity: ProxyIdentity | None = None,
    openmetrics: bool = False,
) -> dict[str, Metric]:
    """The families as a reader of the format sees them."""
    text = request_metrics(traffic, lambda name: found, identity or ProxyIdentity(), openmetrics)
    read = openmetrics_families(text + "# EOF\n") if openmetrics else text_string_to_metric_families(text)
    return {family.name: family for family in read}


def labels(**arguments: Any) -> dict[str, str]:
    """The labels of the only request."""
    (sample,) = families(**arguments)["istio_requests"].samples
    return dict(sample.labels)


class LabelTests(SynchronousTestCase):
    def test_labels(self) -> None:
        """All labels of Istio's requests, as a gateway reports them."""
        self.assertEqual(
            labels(traffic={NAME: rows((503, b"URX,UF", 1.0, 0, 0))}),
            {
                "reporter": "source",
                "source_workload": "istio-ingressgateway",
                "source_canonical_service": "istio-ingressgateway",
                "source_canonical_revision": "latest",
                "source_workload_namespace": "istio-system",
                "source_principal": "unknown",
                "source_app": "istio-ingressgateway",
                "source_version": "unknown",
                "source_cluster": "unknown",
                "destination_workload": "unknown",
                "destination_workload_namespace": "unknown",
                "destination_principal": "unknown",
                "destination_app": "unknown",
                "destination_version": "unknown",
                "destination_service": "shop.default.svc.cluster.local",
                "destination_canonical_service": "unknown",
                "destination_canonical_revision": "latest",
                "destination_service_name": "shop",
                "destination_service_namespace": "default",
                "destination_cluster": "unknown",
                "request_protocol": "http",
                "response_code": "503",
                "grpc_response_status": "",
                "response_flags": "URX,UF",
                "connection_security_policy": "unknown",
            },
        )

    def test_other_hosts(self) -> None:
        """The name of a host outside of Kubernetes is that of its service; without a cluster nothing is known."""
        for name, service, short in (
            ("outbound|443||api.example.com", "api.example.com", "api.example.com"),
            ("outbound|443||localhost", "localhost", "localhost"),
            ("", "unknown", "unknown"),
        ):
            found = labels(traffic={name: rows((200, b"", 1.0, 0, 0))})
            self.assertEqual((found["destination_service"], found["destination_service_name"]), (service, short))
            self.assertEqual(found["destination_service_namespace"], "unknown")

    def test_gateway(self) -> None:
        """Labels of the source are those that the gateway has been given."""
        mine = frozenset({("app", "edge"), ("version", "v3"), ("service.istio.io/canonical-name", "front")})
        found = labels(traffic={"": rows((404, b"NR", 1.0, 0, 0))}, identity=ProxyIdentity("web", mine))
        self.assertEqual(
            [found[f"source_{name}"] for name in ("workload", "app", "version", "workload_namespace")],
            ["edge", "edge", "v3", "web"],
        )
        self.assertEqual((found["source_canonical_service"], found["source_canonical_revision"]), ("front", "v3"))

    def test_endpoints(self) -> None:
        """What all endpoints of a cluster agree on is a label of the destination."""
        traffic = {NAME: rows((200, b"", 1.0, 0, 0))}
        found = labels(traffic=traffic, found=cluster({"app": "a", "version": "1"}, {"app": "a", "version": "2"}))
        self.assertEqual((found["destination_app"], found["destination_version"]), ("a", "unknown"))
        self.assertEqual(found["destination_canonical_service"], "a")
        found = labels(traffic=traffic, found=cluster({"app": "a", "version": "1"}, {"app": "a", "version": "1"}))
        self.assertEqual((found["destination_version"], found["destination_canonical_revision"]), ("1", "1"))
        self.assertEqual(labels(traffic=traffic, found=cluster())["destination_app"], "unknown")

    def test_escapes(self) -> None:
        """A label with quotes, backslashes and line ends comes back as it was."""
        odd = 'a"\\\nb'
        found = labels(traffic={NAME: rows((200, b"", 1.0, 0, 0))}, found=cluster({"version": odd}))
        self.assertEqual(found["destination_version"], odd)


class FormatTests(SynchronousTestCase):
    def test_both_formats(self) -> None:
        """Readers of both formats see the same families, types and values."""
        traffic = {
            NAME: rows((200, b"", 3.0, 0, 459), (200, b"", 7.5, 0, 1), (503, b"UH", 0.1, 10, 19)),
            "": rows((404, b"NR", 0.2, 0, 0)),
        }
        plain, open_ = families(traffic), families(traffic, openmetrics=True)
        self.assertEqual(list(plain), FAMILIES)
        self.assertEqual(list(open_), FAMILIES)
        for name in FAMILIES:
            self.assertEqual(plain[name].type, open_[name].type)
            self.assertTrue(plain[name].documentation)
            values = [(sample.name, sample.labels, sample.value) for sample in plain[name].samples]
            self.assertEqual(values, [(sample.name, sample.labels, sample.value) for sample in open_[name].samples])

    def test_histograms(self) -> None:
        """Buckets are cumulative and end with all; count and sum fit them."""
        found = families({NAME: rows((200, b"", 3.0, 0, 459), (200, b"", 7.5, 10, 4_000_000))})
        self.assertEqual([sample.value for sample in found["istio_requests"].samples], [2])
        for name, expected, total in (
            ("istio_request_duration_milliseconds", {"1.0": 0, "5.0": 1, "10.0": 2, "+Inf": 2}, 10.5),
            ("istio_request_bytes", {"0.5": 1, "10.0": 2, "+Inf": 2}, 10),
            ("istio_response_bytes", {"250.0": 0, "500.0": 1, "3600000.0": 1, "+Inf": 2}, 4_000_459),
        ):
            samples = found[name].samples
            buckets = {it.labels["le"]: it.value for it in samples if it.name == f"{name}_bucket"}
            self.assertEqual(list(buckets.values()), sorted(buckets.values()))
            self.assertEqual({limit: buckets[limit] for limit in expected}, expected)
            others = {it.name: it.value for it in samples if "le" not in it.labels}
            self.assertEqual(others, {f"{name}_count": 2, f"{name}_sum": total})

    def test_many_clusters(self) -> None:
        """Beyond a number of clusters, the rest is one: by class of status, so that sums stay right."""
        self.patch(requestmetrics, "MOST_CLUSTERS", 1)
        traffic = {
            "outbound|80||c": rows((200, b"", 1.0, 0, 5), (503, b"UH", 1.0, 0, 0), (0, b"DC", 1.0, 0, 0)),
            "outbound|80||a": rows((200, b"", 1.0, 0, 1)),
            "outbound|80||b": rows((204, b"", 1.0, 0, 6), (502, b"UPE", 1.0, 0, 0)),
        }
        found = families(traffic)
        names = ("destination_service", "response_code", "response_flags")
        self.assertEqual(
            {tuple(it.labels[name] for name in names): it.value for it in found["istio_requests"].samples},
            {
                ("a", "200", "-"): 1,
                ("others", "0xx", "-"): 1,
                ("others", "2xx", "-"): 2,
                ("others", "5xx", "-"): 2,
            },
        )
        sums = [it.value for it in found["istio_response_bytes"].samples if it.name.endswith("_sum")]
        self.assertEqual(sum(sums), 12)

    def test_nothing(self) -> None:
        """Without a request the families are there and empty."""
        for openmetrics in (False, True):
            found = families({}, openmetrics=openmetrics)
            self.assertEqual([len(family.samples) for family in found.values()], [0] * 4)
