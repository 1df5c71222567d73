"""Tests for Kubernetes' ``Service`` and ``EndpointSlice``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Endpoint
from tests.config.loading import GATEWAY, ROUTE, compiled, errors, warnings

HOST = "app.default.svc.cluster.local"
ROUTE_TO_APP = ROUTE.replace("host: app.test", "host: app")


def service(ports: str = "[{name: http, port: 80, targetPort: web}]", more: str = "") -> str:
    return f"apiVersion: v1\nkind: Service\nmetadata: {{name: app}}\nspec: {{ports: {ports}{more}}}\n---\n"


def slice_of(endpoints: str, ports: str = "[{name: http, port: 8080}]", kind: str = "IPv4", name: str = "app-1") -> str:
    return (
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        f"metadata: {{name: {name}, labels: {{kubernetes.io/service-name: app}}}}\n"
        f"addressType: {kind}\nports: {ports}\nendpoints: {endpoints}\n---\n"
    )


def endpoints(*texts: str) -> tuple[Endpoint, ...]:
    return compiled(GATEWAY, ROUTE_TO_APP, *texts).clusters[f"outbound|80||{HOST}"].endpoints


class EndpointTests(SynchronousTestCase):
    def test_ready_ones(self) -> None:
        """Endpoints are used that are ready or say nothing, unless they terminate; all their addresses count."""
        found = endpoints(
            service(),
            slice_of(
                """
- {addresses: [10.0.0.1, 10.0.0.2], conditions: {ready: true}}
- {addresses: [10.0.0.3], conditions: {ready: false}}
- {addresses: [10.0.0.4]}
- {addresses: [10.0.0.5], conditions: {ready: true, terminating: true}}
- {addresses: [10.0.0.6], conditions: {serving: true, terminating: false}, nodeName: a, targetRef: {kind: Pod}}"""
            ),
            slice_of("[{addresses: ['FD00::1']}]", kind="IPv6", name="app-2"),
        )
        addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.6", "fd00::1"]
        self.assertEqual(list(found), [Endpoint(address, 8080) for address in addresses])

    def test_port_by_name(self) -> None:
        """The port of a slice is the one with the name of the service's port; an unnamed one has the empty name."""
        both = "[{name: admin, port: 1}, {name: http, port: 2}]"
        self.assertEqual([it.port for it in endpoints(service(), slice_of("[{addresses: [10.0.0.1]}]", both))], [2])
        bare = slice_of("[{addresses: [10.0.0.1]}]", "[{port: 3}]")
        self.assertEqual([it.port for it in endpoints(service("[{port: 80}]"), bare)], [3])
        self.assertEqual(endpoints(service(), bare), ())

    def test_host_names(self) -> None:
        """A slice of host names is ignored with a warning."""
        text = slice_of("[{addresses: [a.b]}]", kind="FQDN")
        self.assertEqual(endpoints(service(), text), ())
        self.assertIn("EndpointSlice of host names has no effect", " ".join(warnings(GATEWAY, service(), text)))

    def test_labels(self) -> None:
        """Slices carry no labels of pods, so a subset with labels is empty, which is said."""
        rule = (
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
            "spec: {host: app, subsets: [{name: v1, labels: {version: v1}}, {name: all}]}\n---\n"
        )
        texts = (GATEWAY, service(), slice_of("[{addresses: [10.0.0.1]}]"), rule)
        for subset, expected in (("v1", ()), ("all", (Endpoint("10.0.0.1", 8080),))):
            route = ROUTE_TO_APP.replace("host: app", f"host: app, subset: {subset}")
            clusters = compiled(*texts, route).clusters
            self.assertEqual(clusters[f"outbound|80|{subset}|{HOST}"].endpoints, expected)
            self.assertEqual(
                len([it for it in warnings(*texts, route) if "does not carry the labels" in it]), not expected
            )


class ServiceTests(SynchronousTestCase):
    def test_fields_for_others(self) -> None:
        """Fields that are for other programs are no errors, whatever is in them."""
        more = ", clusterIP: None, type: LoadBalancer, sessionAffinity: ClientIP, futureField: [1]"
        self.assertEqual(errors(GATEWAY, ROUTE_TO_APP, service(more=more)), [])

    def test_protocols(self) -> None:
        """HTTP/2 of a port that is routed to is not served yet, be it declared by name or by ``appProtocol``."""
        for port in ("name: grpc-web-x", "name: http2", "name: x, appProtocol: kubernetes.io/h2c", "name: grpc"):
            found = errors(GATEWAY, ROUTE_TO_APP, service(f"[{{port: 80, {port}}}]"))
            self.assertEqual(len(found), 1, port)
            self.assertIn("is not served yet", found[0])
        for port in ("name: http-web", "name: grpcx", "name: http2, appProtocol: http"):
            self.assertEqual(errors(GATEWAY, ROUTE_TO_APP, service(f"[{{port: 80, {port}}}]")), [], port)
        # No route needs that port.
        self.assertEqual(errors(GATEWAY, ROUTE_TO_APP, service("[{port: 80, name: a}, {port: 81, name: grpc}]")), [])

    def test_encrypted(self) -> None:
        """A port that is declared as HTTPS is spoken to in plain HTTP as Istio does, with a warning."""
        found = warnings(GATEWAY, ROUTE_TO_APP, service("[{port: 80, name: https}]"))
        self.assertEqual(len([it for it in found if "sent there as plain HTTP" in it]), 1)

    def test_not_served_yet(self) -> None:
        """An alias of another host and the older kind of endpoints are not served yet."""
        self.assertIn("externalName is not served yet", errors(GATEWAY, service(more=", externalName: a.b"))[0])
        text = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: app}\nsubsets: []\n"
        self.assertIn("kind Endpoints is not served yet", errors(GATEWAY, text)[0])

    def test_top_level(self) -> None:
        """An unknown key beside ``spec`` is an error."""
        self.assertIn("unknown field 'specs'", errors(GATEWAY, service().replace("spec:", "specs:"))[0])
