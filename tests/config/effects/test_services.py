"""Services, ports and workloads that nothing reaches."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading import GATEWAY, ROUTE, SERVICE, istio, warnings


class ServiceTests(SynchronousTestCase):
    def found(self, *texts: str) -> str:
        """The one warning beside those of a configuration that is right."""
        (found,) = warnings(GATEWAY, SERVICE, ROUTE, *texts)
        return found

    def test_short_host(self) -> None:
        """A ServiceEntry's host without a dot, which no destination can mean."""
        entry = istio(
            "ServiceEntry", "db", "hosts: [db]\nresolution: STATIC\nports: [{number: 80, name: h, protocol: HTTP}]"
        )
        found = self.found(entry)
        self.assertIn("no destination can reach host db: there the name means db.default.svc.cluster.local", found)

    def test_ports_of_a_younger_entry(self) -> None:
        """Of two entries for one host only the ports of the older one count."""
        younger = SERVICE.replace("name: app", "name: bpp").replace("number: 80, name: http", "number: 81, name: http")
        found = self.found(younger)
        self.assertIn("port 81 has no effect for app.test: only the ports of ServiceEntry default/app count", found)

    def test_protocols(self) -> None:
        """One port of one host with two protocols, with both places."""
        other = istio(
            "ServiceEntry",
            "other",
            "hosts: [app.test]\nports: [{number: 80, name: x, protocol: HTTP2}]",
            "apps",
        )
        (found,) = [it for it in warnings(GATEWAY, SERVICE, ROUTE, other) if "IST0177" in it]
        self.assertIn("port 80 of app.test is HTTP2 here and HTTP elsewhere [IST0177] (see mesh.yaml:", found)

    def test_resolution_of_a_younger_entry(self) -> None:
        """Of two entries for one host the resolution of the older one counts."""
        found = self.found(SERVICE.replace("name: app}", "name: bpp}").replace("STATIC", "DNS").replace("10.0", "10.1"))
        message = "resolution DNS has no effect for app.test: that of ServiceEntry default/app, STATIC, counts"
        self.assertIn(f"mesh.yaml:36:11: warning: {message} (see mesh.yaml:16:15)", found)

    def test_another_service_with_the_host(self) -> None:
        """A service whose host routes lead to, but to the service of another namespace."""
        other = SERVICE.replace("name: app}", "name: other, namespace: apps}")
        found = self.found(other)
        self.assertIn("ServiceEntry apps/other gets no request for app.test: all routes to it lead to", found)
        self.assertIn("ServiceEntry default/app (see mesh.yaml:13:18)", found)
        own = ROUTE.replace("name: vs}", "name: vs, namespace: apps}").replace("[gw]", "[default/gw]")
        own = own.replace("'*'", "own.test")
        self.assertNotIn("gets no request", " ".join(warnings(GATEWAY, SERVICE, ROUTE, other, own)))

    def test_host_twice(self) -> None:
        """A host that an entry names again."""
        found = self.found(SERVICE.replace("name: app}", "name: b}").replace("[app.test]", "[b.test, b.test]"))
        self.assertIn("mesh.yaml:36:19: warning: spec.hosts[1] 'b.test' is there again (see mesh.yaml:36:11)", found)

    def test_slices(self) -> None:
        """An EndpointSlice whose service is not there, or has no port of such a name."""
        slices = (
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
            "metadata: {name: s-1, labels: {kubernetes.io/service-name: s}}\naddressType: IPv4\n"
            "ports: [{name: web, port: 8080}]\nendpoints: [{addresses: [10.0.0.9]}]\n---\n"
        )
        self.assertIn("EndpointSlice default/s-1 has no effect: there is no Service s", self.found(slices))
        service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{name: %s, port: 80}]}\n---\n"
        found = self.found(slices, service % "http")
        self.assertIn(
            "none of its ports has the name of a port of Service default/s (the names there are 'http')", found
        )
        self.assertEqual(warnings(GATEWAY, SERVICE, ROUTE, slices, service % "web"), [])


class WorkloadTests(SynchronousTestCase):
    ENTRY = (
        "hosts: [w.test]\nresolution: %s\nports: [{number: 80, name: h, protocol: HTTP}]\n"
        "workloadSelector: {labels: {app: %s}}"
    )

    def found(self, workload: str, label: str = "x", resolution: str = "STATIC") -> list[str]:
        entry = istio("ServiceEntry", "se", self.ENTRY % (resolution, label))
        other = istio("WorkloadEntry", "other", "address: 10.0.0.7\nlabels: {app: x}")
        return warnings(GATEWAY, SERVICE, ROUTE, istio("WorkloadEntry", "w", workload), other, entry)

    def test_nobody_selects(self) -> None:
        """A WorkloadEntry that no ServiceEntry selects, and the other way round."""
        workload = istio("WorkloadEntry", "w", "address: 10.0.0.8\nlabels: {app: x, version: v1}")
        (found,) = warnings(GATEWAY, SERVICE, ROUTE, workload)
        self.assertIn("WorkloadEntry default/w has no effect: no ServiceEntry", found)
        (found,) = warnings(GATEWAY, SERVICE, ROUTE, istio("ServiceEntry", "se", self.ENTRY % ("STATIC", "x")))
        self.assertIn("ServiceEntry default/se has no endpoint: nothing in its namespace has the labels", found)
        self.assertIn("(they are app=x)", found)
        self.assertEqual(self.found("address: 10.0.0.8\nlabels: {app: x, version: v1}"), [])
        pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: x}}\nstatus: {podIP: 10.0.0.8}\n---\n"
        entry = istio("ServiceEntry", "se", self.ENTRY % ("STATIC", "x"))
        self.assertEqual(warnings(GATEWAY, SERVICE, ROUTE, pod, entry), [])

    def test_told_once(self) -> None:
        """A selector of an entry that a route leads to is told where the route is."""
        to_it = ROUTE.replace("app.test", "w.test")
        (found,) = warnings(GATEWAY, to_it, istio("ServiceEntry", "se", self.ENTRY % ("STATIC", "x")))
        self.assertIn("port 80 of w.test has no endpoint", found)

    def test_unusable(self) -> None:
        """Names and sockets are taken by entries with DNS only."""
        for address, kind in (("a.test", "a host name"), ("unix:///run/x", "a UNIX socket")):
            workload = f"address: {address}\nlabels: {{app: x}}"
            (found,) = self.found(workload)
            self.assertIn(f"WorkloadEntry default/w has no effect: its address is {kind}, and ServiceEntry", found)
            self.assertEqual(self.found(workload, resolution="DNS"), [])

    def test_names_of_ports(self) -> None:
        """A port of a workload that is none of the entries that select it."""
        (found,) = self.found("address: 10.0.0.8\nlabels: {app: x}\nports: {h: 8080, g: 8081}")
        self.assertIn("'g' in ports of WorkloadEntry default/w is no name of a port of ServiceEntry default/se", found)
