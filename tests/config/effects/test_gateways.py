"""Gateways and hosts of gateways that do nothing."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading import GATEWAY, ROUTE, SERVICE, istio, warnings

TWO_HOSTS = "servers: [{hosts: [a.test, B.test], port: {name: http, number: 80, protocol: HTTP}}]"
ONE_ROUTE = "hosts: [%s]\ngateways: [gw]\nhttp: [{route: [{destination: {host: app.test}}]}]"


class GatewayTests(SynchronousTestCase):
    def test_selector(self) -> None:
        """A selector that this proxy does not meet, with the labels that it lacks."""
        other = istio("Gateway", "other", "selector: {istio: egress}\n" + TWO_HOSTS)
        (found,) = warnings(GATEWAY, SERVICE, ROUTE, other)
        self.assertIn("Gateway default/other is not opened", found)
        self.assertIn("istio=egress", found)
        self.assertIn("[IST0101]", found)

    def test_nobody_has_routes(self) -> None:
        """A port without any route is told once, not for each host."""
        (found,) = warnings(istio("Gateway", "gw", TWO_HOSTS))
        self.assertIn("no VirtualService has a route for port 80", found)

    def test_faulty(self) -> None:
        """Nothing follows from the errors of a gateway."""
        wrong = istio("Gateway", "a.b", TWO_HOSTS)
        self.assertEqual(warnings(wrong, SERVICE, istio("VirtualService", "a", ONE_ROUTE % "a.test")), [])
        mixed = TWO_HOSTS.replace("servers: [{", "servers: [{tls: {httpsRedirect: true, mode: SIMPLE}, ")
        self.assertEqual(
            warnings(istio("Gateway", "gw", mixed), SERVICE, istio("VirtualService", "a", ONE_ROUTE % "a.test")), []
        )

    def test_unmet_hosts(self) -> None:
        """A host that no VirtualService meets, and what nearly meets it."""
        gateway = istio("Gateway", "gw", TWO_HOSTS)
        (found,) = warnings(gateway, SERVICE, istio("VirtualService", "a", ONE_ROUTE % "a.test"))
        self.assertIn("mesh.yaml:5:30: warning: no VirtualService has a host that fits B.test", found)
        text = "\n".join(warnings(gateway, SERVICE, istio("VirtualService", "a", ONE_ROUTE % "a.test, b.test")))
        self.assertIn("fits B.test: its requests are answered 404 (upper and lower case differ: see mesh.yaml:", text)
        own = gateway.replace("B.test", "apps/b.test")
        text = "\n".join(warnings(own, SERVICE, istio("VirtualService", "a", ONE_ROUTE % "a.test, b.test")))
        self.assertIn("only VirtualServices of namespace apps may use it, and VirtualService default/a is not", text)

    def test_wildcards_meet(self) -> None:
        """A host that some VirtualService narrows, or widens, is met."""
        for host in ("'*.test'", "a.test, B.test", "'*'"):
            text = istio("VirtualService", "a", ONE_ROUTE % host)
            self.assertEqual(warnings(istio("Gateway", "gw", TWO_HOSTS), SERVICE, text), [])
        wide = istio("Gateway", "gw", TWO_HOSTS.replace("[a.test, B.test]", "['*.test']"))
        self.assertEqual(warnings(wide, SERVICE, istio("VirtualService", "a", ONE_ROUTE % "a.test")), [])

    def test_redirecting_hosts(self) -> None:
        """A server that redirects to https has an answer of its own for its hosts."""
        redirecting = TWO_HOSTS.replace("servers: [{", "servers: [{tls: {httpsRedirect: true}, ")
        self.assertEqual(warnings(istio("Gateway", "gw", redirecting)), [])

    def test_same_address(self) -> None:
        """A bind that says what servers without one mean."""
        plain, bound = istio("Gateway", "gw", TWO_HOSTS), istio("Gateway", "other", TWO_HOSTS)
        vs = istio("VirtualService", "a", ONE_ROUTE.replace("[gw]", "[gw, other]") % "a.test, B.test")
        (found,) = warnings(plain, bound.replace("servers: [{", "servers: [{bind: 0.0.0.0, "), SERVICE, vs)
        self.assertIn("mesh.yaml:11:13: warning: bind 0.0.0.0 is the address of servers without bind", found)
        self.assertIn("see mesh.yaml:5:13", found)
        elsewhere = bound.replace("servers: [{", "servers: [{bind: 127.0.0.1, ")
        self.assertEqual(warnings(plain, elsewhere, SERVICE, vs), [])

    def test_same_host_twice(self) -> None:
        """Two gateways with one host on one port, with both places."""
        first, second = istio("Gateway", "gw", TWO_HOSTS), istio("Gateway", "other", TWO_HOSTS)
        vs = ONE_ROUTE.replace("[gw]", "[gw, other]") % "a.test, B.test"
        (found,) = warnings(first, second, SERVICE, istio("VirtualService", "a", vs))
        self.assertIn("mesh.yaml:11:22: warning: Gateway default/gw has host a.test on port 80 too", found)
        self.assertIn("[IST0145] (see mesh.yaml:5:22)", found)
