"""Tests for Kubernetes' ``Service``, ``EndpointSlice``, ``Endpoints`` and ``Pod``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Endpoint
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, routes, warnings

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


def endpoints_of(subsets: str) -> str:
    return f"apiVersion: v1\nkind: Endpoints\nmetadata: {{name: app}}\nsubsets: {subsets}\n---\n"


def pod(name: str, labels: str, namespace: str = "default", status: str = "{}") -> str:
    metadata = f"{{name: {name}, namespace: {namespace}, labels: {labels}}}"
    return f"apiVersion: v1\nkind: Pod\nmetadata: {metadata}\nspec: {{containers: []}}\nstatus: {status}\n---\n"


def endpoints(*texts: str) -> tuple[Endpoint, ...]:
    return compiled(GATEWAY, ROUTE_TO_APP, *texts).clusters[f"outbound|80||{HOST}"].endpoints


class ExportTests(SynchronousTestCase):
    def test_exported(self) -> None:
        """Istio's annotation says which namespaces see a service; a gateway that does not has no endpoints of it."""
        found_at = slice_of("[{addresses: [10.0.0.1]}]")
        for exported, seen in (
            (".", False),
            ("default", False),
            ("~", False),
            ("other, istio-system", True),
            (".,*", True),
            ("", True),
        ):
            noted = f"{{annotations: {{networking.istio.io/exportTo: '{exported}'}}, name: app"
            found = compiled(GATEWAY, ROUTE_TO_APP, service().replace("{name: app", noted), found_at)
            self.assertEqual(f"outbound|80||{HOST}" in found.clusters, seen, exported)
        noted = "{annotations: {networking.istio.io/exportTo: 'o_ther'}, name: app"
        self.assertIn("'o_ther' is neither", str(warnings(service().replace("{name: app", noted))))


class TrafficDistributionTests(SynchronousTestCase):
    def test_no_effect(self) -> None:
        """A wish for endpoints that are near, as a field or an annotation, is told to have no effect, at its place."""
        field = service(more=", trafficDistribution: PreferClose")
        noted = "{annotations: {networking.istio.io/traffic-distribution: PreferClose}, name: app"
        for text, column in (
            (field, 58),
            (service().replace("{name: app", noted), 26),
            (SERVICE.replace("{name: app", noted), 26),
        ):
            found = [it for it in warnings(text) if "traffic is not distributed" in it]
            self.assertEqual(len(found), 1, warnings(text))
            self.assertIn(f":{column}: ", found[0])


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

    def test_no_labels(self) -> None:
        """Slices carry no labels of pods, so without the pods a subset with labels is empty, which is said."""
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
                len([it for it in warnings(*texts, route) if "the labels of their Pods" in it]), not expected
            )

    def test_labels_of_pods(self) -> None:
        """An endpoint has the labels of the Pod that its ``targetRef`` names, in its own namespace if none is said."""
        pods = pod("a", "{app: x, version: v1}") + pod("a", "{version: v9}", "other") + pod("b", "{version: v2}")
        found = endpoints(
            service(),
            pods,
            slice_of(
                """
- {addresses: [10.0.0.1, 10.0.1.1], targetRef: {kind: Pod, name: a}}
- {addresses: [10.0.0.2], targetRef: {kind: Pod, name: b, namespace: default}}
- {addresses: [10.0.0.3], targetRef: {kind: Pod, name: c}}
- {addresses: [10.0.0.4], targetRef: {kind: Node, name: a}}"""
            ),
        )
        a, b = (("app", "x"), ("version", "v1")), (("version", "v2"),)
        self.assertEqual(
            [(it.address, it.labels) for it in found],
            [("10.0.0.1", a), ("10.0.1.1", a), ("10.0.0.2", b), ("10.0.0.3", ()), ("10.0.0.4", ())],
        )

    def test_older_kind(self) -> None:
        """``Endpoints`` are used where a service has no slice: ready addresses, by port name, with labels of pods."""
        text = endpoints_of(
            """
- {addresses: [{ip: 10.0.0.1, targetRef: {kind: Pod, name: a}}, {ip: 'FD00::1'}],
   notReadyAddresses: [{ip: 10.0.0.9}], ports: [{name: http, port: 8080}, {name: x, port: 1}]}
- {addresses: [{ip: 10.0.0.1}], ports: [{name: http, port: 8081}]}"""
        )
        found = endpoints(service(), pod("a", "{v: '1'}"), text)
        self.assertEqual(
            list(found),
            [Endpoint("10.0.0.1", 8080, labels=(("v", "1"),)), Endpoint("fd00::1", 8080), Endpoint("10.0.0.1", 8081)],
        )
        found = endpoints(service(), slice_of("[{addresses: [10.0.0.7]}]"), text)
        self.assertEqual([it.address for it in found], ["10.0.0.7"])

    def test_wrong_addresses(self) -> None:
        """What is no address is refused, whichever kind it is in."""
        for text in (
            slice_of("[{addresses: [a]}]"),
            slice_of("[{}]"),
            endpoints_of("[{addresses: [{ip: a}]}]"),
            endpoints_of("[{addresses: [{}]}]"),
            endpoints_of("[{addresses: [{ip: 10.0.0.1}], ports: [{port: 0}]}]"),
        ):
            self.assertEqual(len(errors(GATEWAY, service(), text)), 1, text)


class AliasTests(SynchronousTestCase):
    """``type: ExternalName``."""

    def service(self, ports: str = "") -> str:
        return service(ports or "[]", ", type: ExternalName, externalName: app.test")

    def test_alias(self) -> None:
        """The destination becomes the external name; ports are those of the alias, else of the gateway."""
        entry = SERVICE.replace("{number: 80,", "{number: 81, name: other, protocol: HTTP}, {number: 80,")
        for ports, number in (("", 80), ("[{port: 81}]", 81), ("[{port: 81}, {port: 82}]", 80)):
            snapshot = compiled(GATEWAY, ROUTE_TO_APP, self.service(ports), entry)
            self.assertEqual(list(snapshot.clusters), [f"outbound|{number}||app.test"], ports)
            (route,) = routes(snapshot, "*")
            self.assertEqual(route.action.destinations[0].cluster, f"outbound|{number}||app.test")

    def test_subset(self) -> None:
        """Subsets are those of the rule for the external name."""
        rule = (
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
            "spec: {host: app.test, subsets: [{name: v1, labels: {version: v1}}]}\n---\n"
        )
        route = ROUTE_TO_APP.replace("host: app", "host: app, subset: v1")
        (cluster,) = compiled(GATEWAY, route, self.service(), SERVICE, rule).clusters.values()
        self.assertEqual((cluster.name, len(cluster.endpoints)), ("outbound|80|v1|app.test", 1))

    def test_nothing_behind_it(self) -> None:
        """A name that is no service, or an alias again, has no cluster, and the warning names the alias."""
        self.assertEqual(compiled(GATEWAY, ROUTE_TO_APP, self.service()).clusters, {})
        found = "\n".join(warnings(GATEWAY, ROUTE_TO_APP, self.service()))
        self.assertIn("there is no service app.test", found)
        self.assertIn("Service default/app stands for it", found)
        again = self.service().replace("app.test", HOST.replace("app", "bpp"))
        again += self.service().replace("{name: app}", "{name: bpp}")
        self.assertEqual(compiled(GATEWAY, ROUTE_TO_APP, again, SERVICE).clusters, {})

    def test_no_name(self) -> None:
        """An ExternalName service has to say the name; of other types the field means nothing."""
        (found,) = errors(GATEWAY, service(more=", type: ExternalName"))
        self.assertIn("spec.externalName is required", found)
        self.assertEqual(errors(GATEWAY, ROUTE_TO_APP, service(more=", externalName: a.b")), [])


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

    def test_top_level(self) -> None:
        """An unknown key beside ``spec`` is an error."""
        self.assertIn("unknown field 'specs'", errors(GATEWAY, service().replace("spec:", "specs:"))[0])
