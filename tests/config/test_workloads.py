"""Tests for the kind ``WorkloadEntry`` and for ``workloadSelector`` of a ServiceEntry."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Cluster, Endpoint
from tests.config.loading import GATEWAY, ROUTE, compiled, errors, istio, warnings
from tests.config.test_kubernetes import pod


def workload(name: str, spec: str, labels: str = "{}", namespace: str = "default") -> str:
    text = istio("WorkloadEntry", name, spec, namespace)
    return text.replace(f"namespace: {namespace}}}", f"namespace: {namespace}, labels: {labels}}}")


def service(selector: str = "{labels: {app: web}}", resolution: str = "STATIC") -> str:
    ports = "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]"
    spec = f"hosts: [app.test]\nresolution: {resolution}\n{ports}\nworkloadSelector: {selector}"
    return istio("ServiceEntry", "app", spec)


def cluster(*texts: str) -> Cluster:
    return compiled(GATEWAY, ROUTE, *texts).clusters["outbound|80||app.test"]


class SelectionTests(SynchronousTestCase):
    def test_labels(self) -> None:
        """Workloads with all labels of the selector are endpoints, with their own fields and the port of its name."""
        found = cluster(
            service(),
            workload("a", "address: 10.0.0.1\nlabels: {app: web, v: '1'}\nweight: 3\nlocality: r/z"),
            workload("b", "address: 10.0.0.2\nlabels: {app: web}\nports: {http: 90, any: 1}"),
            workload("c", "address: 10.0.0.3\nlabels: {app: other}"),
        ).endpoints
        self.assertEqual(
            found,
            (
                Endpoint("10.0.0.2", 90, labels=(("app", "web"),)),
                Endpoint("10.0.0.1", 8080, 3, (("app", "web"), ("v", "1")), "r/z"),
            ),
        )

    def test_labels_of_the_document(self) -> None:
        """Labels of the document's metadata overlay those of its spec."""
        texts = (
            workload("a", "address: 10.0.0.1\nlabels: {app: other, v: '1'}", "{app: web}"),
            workload("b", "address: 10.0.0.2\nlabels: {app: web}", "{app: other}"),
        )
        self.assertEqual(
            cluster(service(), *texts).endpoints, (Endpoint("10.0.0.1", 8080, labels=(("app", "web"), ("v", "1"))),)
        )

    def test_namespace(self) -> None:
        """Only workloads of the entry's namespace are selected; without labels all of them."""
        texts = (
            workload("a", "address: 10.0.0.1", "{app: web}", "other"),
            workload("b", "address: 10.0.0.2", "{app: web}"),
            workload("c", "address: 10.0.0.3"),
        )
        self.assertEqual([it.address for it in cluster(service(), *texts).endpoints], ["10.0.0.2"])
        self.assertEqual([it.address for it in cluster(service("{}"), *texts).endpoints], ["10.0.0.2", "10.0.0.3"])

    def test_kinds_of_addresses(self) -> None:
        """A STATIC service takes IP addresses only, a DNS service takes names and UNIX sockets too, as in Istio."""
        texts = [
            workload(name, f"address: {address}", "{app: web}")
            for name, address in (("a", "10.0.0.1"), ("b", "b.test"), ("c", "unix:///run/c"))
        ]
        self.assertEqual([it.address for it in cluster(service(), *texts).endpoints], ["10.0.0.1"])
        named = cluster(service(resolution="DNS"), *texts)
        self.assertEqual([it.key for it in named.targets], ["10.0.0.1:8080", "b.test:8080", "/run/c"])

    def test_pods(self) -> None:
        """Pods that run and have an address are workloads too."""
        texts = (
            pod("a", "{app: web}", status="{podIP: 10.0.0.1, phase: Running}"),
            pod("b", "{app: web}", status="{podIP: 10.0.0.2, phase: Failed}"),
            pod("c", "{app: web}"),
        )
        self.assertEqual([it.address for it in cluster(service(), *texts).endpoints], ["10.0.0.1"])

    def test_nothing_selected(self) -> None:
        """A service without workloads has no endpoint, and the warning says which labels were looked for."""
        self.assertEqual(cluster(service()).endpoints, ())
        found = "\n".join(warnings(GATEWAY, ROUTE, service()))
        self.assertIn("port 80 of app.test has no endpoint", found)
        self.assertIn("has the labels app=web in namespace default", found)

    def test_subsets(self) -> None:
        """Subsets see the labels of workloads."""
        rule = istio("DestinationRule", "r", "host: app.test\nsubsets: [{name: v1, labels: {v: '1'}}]")
        route = ROUTE.replace("host: app.test", "host: app.test, subset: v1")
        texts = [workload(v, f"address: 10.0.0.{v[1]}\nlabels: {{app: web, v: '{v[1]}'}}") for v in ("v1", "v2")]
        (found,) = compiled(GATEWAY, route, service(), rule, *texts).clusters.values()
        self.assertEqual([it.address for it in found.endpoints], ["10.0.0.1"])


class RefusalTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error."""
        for spec, part in (
            ("labels: {}", "spec.address is required"),
            ("address: a_b", "must be an IP address, a host name or unix://"),
            ("address: unix://a", "the absolute path of a socket or @name"),
            ("address: 'unix://@a'\nports: {}", "a unix socket has no ports"),
            ("address: 10.0.0.1\nports: {http: 65536}", "must be between 1 and 65535"),
            ("address: 10.0.0.1\nports: {'@': 80}", "is no name of a port"),
            (f"address: 10.0.0.1\nports: {{{'a' * 63}: 80}}", "is no name of a port"),
            ("address: 10.0.0.1\nlabels: {a: 'b c'}", "must be the value of a label"),
            ("address: 10.0.0.1\nweight: -1", "weight must be between"),
            (f"address: 10.0.0.1\nnetwork: {'n' * 2049}", "may have at most 2048 characters"),
            (f"address: {'a.' * 128}a", "may have at most 256 characters"),
            ("addres: 10.0.0.1\naddress: 10.0.0.1", "did you mean 'address'?"),
        ):
            found = errors(GATEWAY, workload("a", spec))
            self.assertEqual(len(found), 1, (spec, found))
            self.assertIn(part, found[0])
        self.assertIn("spec is required", errors(GATEWAY, workload("a", "").partition("spec:")[0])[0])

    def test_other_network(self) -> None:
        """One without address but with a network is accepted, and has no effect."""
        text = workload("a", "network: far", "{app: web}")
        self.assertEqual(cluster(service(), text).endpoints, ())
        self.assertIn("a gateway of another network cannot reach it", "\n".join(warnings(GATEWAY, text)))
