"""Tests for the kind ``ServiceEntry``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Endpoint
from tests.config.loading import GATEWAY, ROUTE, compiled, errors, istio, warnings

CLUSTER = "outbound|80||app.test"
PORTS = "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 81, name: other, protocol: HTTP}]"


def entry(spec: str, name: str = "app") -> str:
    return istio("ServiceEntry", name, spec)


def static(endpoints: str, name: str = "app") -> str:
    return entry(f"hosts: [app.test]\nresolution: STATIC\n{PORTS}\nendpoints: [{endpoints}]", name)


def endpoints(*texts: str, port: int = 80) -> list[Endpoint]:
    route = ROUTE.replace("host: app.test", f"host: app.test, port: {{number: {port}}}")
    return list(compiled(GATEWAY, route, *texts).clusters[f"outbound|{port}||app.test"].endpoints)


class EndpointTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """Labels are sorted, a missing weight or one of 0 is 1, addresses are canonical."""
        text = static(
            "{address: '2001:DB8::1', labels: {b: x, a: z}, weight: 3, locality: r/z/s}, {address: 10.0.0.1, weight: 0}"
        )
        self.assertEqual(
            endpoints(text),
            [
                Endpoint("10.0.0.1", 8080),
                Endpoint("2001:db8::1", 8080, 3, (("a", "z"), ("b", "x")), "r/z/s"),
            ],
        )

    def test_port(self) -> None:
        """An endpoint's own number for the port's name wins over the target port, that over the port's number."""
        text = static("{address: 10.0.0.1, ports: {http: 90}}, {address: 10.0.0.2}")
        self.assertEqual([it.port for it in endpoints(text)], [90, 8080])
        self.assertEqual([it.port for it in endpoints(text, port=81)], [81, 81])

    def test_order(self) -> None:
        """Endpoints are grouped by locality, sorted as text, and keep their order within one."""
        given = [("10.0.0.3", "b"), ("10.0.0.2", "a"), ("10.0.0.1", "b"), ("10.0.0.9", "")]
        text = static(", ".join(f"{{address: {address}, locality: '{locality}'}}" for address, locality in given))
        self.assertEqual([it.address for it in endpoints(text)], ["10.0.0.9", "10.0.0.2", "10.0.0.3", "10.0.0.1"])

    def test_duplicates(self) -> None:
        """An endpoint that is listed twice counts once, which is said."""
        text = static("{address: 10.0.0.1, weight: 2}, {address: 10.0.0.1}")
        self.assertEqual(endpoints(text), [Endpoint("10.0.0.1", 8080, 2)])
        self.assertIn("10.0.0.1:8080 of app.test is there again", warnings(GATEWAY, ROUTE, text)[0])

    def test_several_entries(self) -> None:
        """Entries of one host and namespace are one service: the ports of the older, the endpoints of both."""
        second = entry(
            "hosts: [app.test]\nresolution: STATIC\nports: [{number: 99, name: http, protocol: HTTP}]\n"
            "endpoints: [{address: 10.0.0.2}]",
            "bpp",
        )
        self.assertEqual(
            endpoints(second, static("{address: 10.0.0.1}")), [Endpoint("10.0.0.1", 8080), Endpoint("10.0.0.2", 99)]
        )

    def test_without_resolution(self) -> None:
        """Without a resolution a gateway has no endpoints: the cluster is there, empty, and a warning says why."""
        text = entry(f"hosts: [app.test]\n{PORTS}")
        self.assertEqual(compiled(GATEWAY, ROUTE, text).clusters[CLUSTER].endpoints, ())
        (found,) = warnings(GATEWAY, ROUTE, text)
        self.assertIn("has no endpoint", found)
        self.assertIn("resolution: STATIC", found)


class VisibilityTests(SynchronousTestCase):
    def test_hidden(self) -> None:
        """An entry that is not exported to the proxy's namespace does not exist for it."""
        for export in (".", "~", "other"):
            text = entry(f"hosts: [app.test]\n{PORTS}\nexportTo: ['{export}']")
            self.assertEqual(compiled(GATEWAY, ROUTE, text).clusters, {})
            self.assertIn("exportTo of app.test hides it", warnings(GATEWAY, ROUTE, text)[0])
        text = entry(f"hosts: [app.test]\n{PORTS}\nexportTo: [istio-system]")
        self.assertEqual(list(compiled(GATEWAY, ROUTE, text).clusters), [CLUSTER])


class RefusalTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error; what is not implemented says so."""
        static_entry = "hosts: [a.b]\nresolution: STATIC\nports: [{number: 80, name: http, protocol: HTTP}]\n"
        for spec, part in (
            ("ports: []", "spec.hosts needs at least one host"),
            ("hosts: ['*']", "may not be '*'"),
            ("hosts: [a.b]\naddresses: [x]", "must be an IP address or a range"),
            ("hosts: [a.b]\nlocation: MESH", "must not be 'MESH'"),
            ("hosts: [a.b]\nresolution: STATIK", "did you mean 'STATIC'?"),
            ("hosts: [a.b]\nresolution: DNS", "spec.resolution DNS is not served yet"),
            ("hosts: [a.b]\nworkloadSelector: {}", "spec.workloadSelector is not served yet"),
            ("hosts: [a.b]\nports: [{number: 1, name: a}, {number: 2, name: a}]", "name 'a' is there twice"),
            ("hosts: [a.b]\nports: [{number: 1, name: a}, {number: 1, name: b}]", "number 1 is there twice"),
            ("hosts: [a.b]\nports: [{number: 1, name: a_b}]", "must be a DNS label"),
            ("hosts: [a.b]\nports: [{number: 1, name: a, protocol: HTTB}]", "must be a protocol"),
            ("hosts: [a.b]\nports: [{name: a}]", "ports[0].number is required"),
            ("hosts: [a.b]\nendpoints: [{address: 10.0.0.1}]", "resolution NONE has no endpoints"),
            (static_entry + "endpoints: [{address: a.b}]", "must be an IP address with resolution STATIC"),
            (static_entry + "endpoints: [{labels: {}}]", "endpoints[0].address is required"),
            (static_entry + "endpoints: [{address: 'unix:///a'}]", "unix socket is not served yet"),
            (static_entry + "endpoints: [{address: 'unix://a'}]", "an absolute path or @name"),
            (static_entry + "endpoints: [{address: 10.0.0.1, ports: {x: 1}}]", "which is no name in spec.ports"),
            (static_entry + "endpoints: [{address: 10.0.0.1, weight: -1}]", "weight must be between"),
            (static_entry.replace("[a.b]", "[a.b, c.d]").replace("HTTP", "TCP"), "several hosts cannot share"),
        ):
            found = errors(GATEWAY, entry(spec))
            self.assertEqual(len(found), 1, (spec, found))
            self.assertIn(part, found[0])
