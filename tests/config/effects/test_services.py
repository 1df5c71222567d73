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
        found = self.found(other)
        self.assertIn("port 80 of app.test is HTTP2 here and HTTP elsewhere [IST0177] (see mesh.yaml:", found)

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

    def test_workloads(self) -> None:
        """A WorkloadEntry that no ServiceEntry selects."""
        workload = istio("WorkloadEntry", "w", "address: 10.0.0.8\nlabels: {app: x, version: v1}")
        self.assertIn("WorkloadEntry default/w has no effect: no ServiceEntry", self.found(workload))
        entry = (
            "hosts: [w.test]\nresolution: STATIC\nports: [{number: 80, name: h, protocol: HTTP}]\n"
            "workloadSelector: {labels: {app: %s}}"
        )
        self.assertEqual(warnings(GATEWAY, SERVICE, ROUTE, workload, istio("ServiceEntry", "se", entry % "x")), [])
        self.assertEqual(len(warnings(GATEWAY, SERVICE, ROUTE, workload, istio("ServiceEntry", "se", entry % "y"))), 1)
