"""Tests for servers that share an address, and for those that redirect to https."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.routes import Comparison, Forward, Redirect, RouteMatch, TextMatch
from tests.config.loading import ROUTE, SERVICE, compiled, errors, hosts, istio, routes, warnings

TO_HTTPS = Redirect(scheme="https", keep_port=True)
REDIRECTING = "tls: {httpsRedirect: true}"


def gateway(name: str, *servers: str) -> str:
    return istio("Gateway", name, "servers:\n" + "".join(f"- {{{server}}}\n" for server in servers))


def port(protocol: str = "HTTP", number: int = 80) -> str:
    return f"port: {{number: {number}, name: {protocol.lower()}-{number}, protocol: {protocol}}}"


def route(service_hosts: str, gateways: str = "a, b", name: str = "vs") -> str:
    text = ROUTE.replace("['*']", service_hosts).replace("[gw]", f"[{gateways}]")
    return text.replace("{name: vs}", f"{{name: {name}}}")


class RedirectTests(SynchronousTestCase):
    def test_before_the_routes(self) -> None:
        """Plain requests for a host are redirected before its routes; others, from trusted proxies, are routed."""
        snapshot = compiled(gateway("a", f"hosts: [a.com], {port()}, {REDIRECTING}"), SERVICE, route("[a.com]"))
        redirect, last = routes(snapshot, "a.com")
        self.assertEqual(redirect.match, RouteMatch(scheme=TextMatch(Comparison.EXACT, "http")))
        self.assertEqual(redirect.action, TO_HTTPS)
        self.assertEqual(str(redirect.location), "mesh.yaml:6:5")
        self.assertIsInstance(last.action, Forward)

    def test_without_routes(self) -> None:
        """The hosts of such a server are redirected even if no virtual service has them; no warning is needed."""
        text = gateway("a", f"hosts: [A.com, ./b.com], {port()}, {REDIRECTING}")
        snapshot = compiled(text)
        self.assertEqual(hosts(snapshot), {"a.com", "b.com"})
        self.assertEqual([it.action for it in routes(snapshot, "a.com")], [TO_HTTPS])
        self.assertEqual(warnings(text), [])

    def test_narrower_hosts(self) -> None:
        """A virtual service's host within a wildcard of the server is redirected as well."""
        text = gateway("a", f"hosts: ['*.com'], {port()}, {REDIRECTING}")
        snapshot = compiled(text, SERVICE, route("[x.com]"))
        self.assertEqual(hosts(snapshot), {"x.com", "*.com"})
        self.assertEqual(routes(snapshot, "x.com")[0].action, TO_HTTPS)

    def test_other_servers(self) -> None:
        """A server that does not redirect keeps its hosts as they are, but shares a host that another redirects."""
        first = gateway("a", f"hosts: [a.com, both.com], {port()}, {REDIRECTING}")
        second = gateway("b", f"hosts: [b.com, both.com], {port()}")
        snapshot = compiled(first, second, SERVICE, route("[a.com, b.com, both.com]"))
        redirected = {host for host in hosts(snapshot) if routes(snapshot, host)[0].action == TO_HTTPS}
        self.assertEqual(redirected, {"a.com", "both.com"})

    def test_repeated_host(self) -> None:
        """A later server with a tls block that repeats a host of an earlier one is dropped as a whole."""
        first = gateway("a", f"hosts: [a.com], {port()}, {REDIRECTING}")
        second = gateway("b", f"hosts: [a.com, b.com], {port()}, tls: {{}}")
        self.assertEqual(hosts(compiled(first, second)), {"a.com"})
        self.assertIn("an earlier one with tls has host a.com on port 80", " ".join(warnings(first, second)))
        elsewhere = second.replace(port(), port(number=81))
        self.assertEqual({it.port for it in compiled(first, elsewhere).listeners}, {80, 81})

    def test_switched_off(self) -> None:
        """``httpsRedirect: false`` redirects nothing."""
        text = gateway("a", f"hosts: [a.com], {port()}, tls: {{httpsRedirect: false}}")
        self.assertEqual(hosts(compiled(text)), set())


class SharingTests(SynchronousTestCase):
    def test_other_protocols_later(self) -> None:
        """Behind a server of plain HTTP one of another kind is dropped, with all that is not served about it."""
        first = gateway("a", f"hosts: [a.com], {port()}")
        for later in (port("TCP"), f"{port('HTTPS')}, tls: {{mode: SIMPLE, credentialName: c}}", port("MONGO")):
            second = gateway("b", f"hosts: [b.com], {later}")
            self.assertEqual(hosts(compiled(first, second, SERVICE, route("[a.com, b.com]"))), {"a.com"}, later)
            self.assertIn("this server is dropped: HTTP comes first on port 80", " ".join(warnings(first, second)))

    def test_other_protocols_first(self) -> None:
        """A server of another kind that comes first is not served yet, whoever comes behind it."""
        first = gateway("a", f"hosts: [a.com], {port('TCP')}")
        (found,) = errors(first, gateway("b", f"hosts: [b.com], {port()}"))
        self.assertIn("protocol TCP of a gateway's port is not served yet", found)

    def test_order(self) -> None:
        """The order is that of the gateways, by age and name, not that of the file."""
        tcp, http = gateway("b", f"hosts: [a.com], {port('TCP')}"), gateway("a", f"hosts: [b.com], {port()}")
        self.assertEqual(errors(tcp, http, SERVICE, route("[b.com]")), [])

    def test_binds_are_apart(self) -> None:
        """Servers of different addresses do not disturb each other."""
        first = gateway("a", f"hosts: [a.com], {port()}, bind: 127.0.0.1")
        second = gateway("b", f"hosts: [b.com], {port('TCP')}")
        self.assertEqual(len(errors(first, second)), 1)
