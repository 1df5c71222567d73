"""Routes that no request reaches."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading import GATEWAY, SERVICE, istio, warnings


def route(*matches: str, name: str = "app.test") -> str:
    blocks = f"match: [{', '.join(matches)}], " if matches else ""
    return f"{{{blocks}route: [{{destination: {{host: {name}}}}}]}}"


def service(name: str, *routes: str, hosts: str = "a.test") -> str:
    listed = "".join(f"- {it}\n" for it in routes)
    return istio("VirtualService", name, f"hosts: [{hosts}]\ngateways: [gw]\nhttp:\n{listed}")


GET = "{method: {exact: GET}}"
A, AB, B = "{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}", "{uri: {prefix: /b}}"


class WithinTests(SynchronousTestCase):
    """Lines: the routes of the first virtual service begin in line 29."""

    def found(self, *routes: str) -> list[str]:
        return warnings(GATEWAY, SERVICE, service("vs", *routes))

    def test_after_a_bare_route(self) -> None:
        """Whatever stands behind a route without match."""
        found = self.found(route(), route(A), route())
        self.assertEqual(len(found), 2)
        for line, text in zip((30, 31), found, strict=True):
            self.assertIn(f"mesh.yaml:{line}:5: warning: this route is never reached", text)
            self.assertIn("[IST0130] (see mesh.yaml:29:5)", text)

    def test_whole_route(self) -> None:
        """A route of which every block is taken already, with the places of what takes it."""
        (found,) = self.found(route(A), route(GET), route(AB, "{method: {exact: GET}, uri: {exact: /c}}"))
        self.assertIn("mesh.yaml:31:5: warning: this route is never reached", found)
        self.assertIn("[IST0130] (see mesh.yaml:29:14 and mesh.yaml:30:14)", found)

    def test_one_block(self) -> None:
        """A block among others that have an effect; within one route, too."""
        (found,) = self.found(route(A, B), route(AB, GET))
        self.assertIn("mesh.yaml:30:14: warning: this match has no effect", found)
        self.assertIn("[IST0131] (see mesh.yaml:29:14)", found)
        self.assertEqual(len(self.found(route(A, A))), 1)

    def test_nothing_to_say(self) -> None:
        """Routes from the special to the general."""
        self.assertEqual(
            self.found(route(AB, "{method: {exact: GET}, uri: {prefix: /a}}"), route(A), route(B), route()), []
        )

    def test_delegates(self) -> None:
        """A route that delegates need not take all that it asks for; it can be unreachable itself."""
        inner = istio("VirtualService", "inner", f"http:\n- {route(AB)}")
        delegating = "{match: [{uri: {prefix: /a}}], delegate: {name: inner}}"
        outer = service("vs", delegating, route("{uri: {exact: /a/c}}"))
        self.assertEqual(warnings(GATEWAY, SERVICE, outer, inner), [])
        found = warnings(GATEWAY, SERVICE, service("vs", route(A), delegating), inner)
        self.assertIn("mesh.yaml:30:5: warning: this route is never reached", found[0])


class PlaceTests(SynchronousTestCase):
    TWO_PORTS = GATEWAY.replace("\n---", "\n  - hosts: ['*']\n    port: {name: other, number: 81, protocol: HTTP}\n---")

    def found(self, *routes: str) -> list[str]:
        return warnings(self.TWO_PORTS, SERVICE, service("vs", *routes))

    def test_no_port_is_left(self) -> None:
        """A route behind others that take everything at each port there is."""
        (found,) = self.found(route("{port: 80}"), route("{port: 81}"), route())
        self.assertIn("mesh.yaml:33:5: warning: this route is never reached: at each port and gateway here", found)
        self.assertIn("(see mesh.yaml:31:14)", found)
        self.assertEqual(len(warnings(GATEWAY, SERVICE, service("vs", route("{port: 80}"), route(A)))), 1)
        self.assertEqual(self.found(route("{port: 80}"), route()), [])
        self.assertEqual(self.found(route("{port: 80}"), route("{port: 81, uri: {prefix: /a}}"), route(B)), [])

    def test_blocks(self) -> None:
        """A block among others that have an effect."""
        (found,) = self.found(
            route("{port: 80}"), route("{port: 81, uri: {prefix: /a}}", "{port: 80, uri: {prefix: /b}}")
        )
        self.assertIn("mesh.yaml:32:45: warning: this match has no effect", found)
        (found,) = self.found(route("{uri: {prefix: /}, port: 80}", "{uri: {prefix: /}, port: 81}", GET))
        self.assertIn("mesh.yaml:31:74: warning: this match has no effect: at each port and gateway here", found)
        self.assertIn("(see mesh.yaml:31:", found)

    def test_every_proxy_is_meant(self) -> None:
        """Conditions on the proxy that this one meets ask for nothing."""
        for condition in ("sourceLabels: {istio: ingressgateway}", "sourceNamespace: istio-system", "gateways: [gw]"):
            (found,) = self.found(route(f"{{{condition}}}"), route())
            self.assertIn("this route is never reached", found)


class AcrossTests(SynchronousTestCase):
    def test_older_one_wins(self) -> None:
        """Routes of joined virtual services, with both places and the host."""
        texts = service("a", route(A), route()), service("b", route(AB), route(B), route(), hosts="a.test, b.test")
        first, second = warnings(GATEWAY, SERVICE, *texts)
        self.assertIn("mesh.yaml:39:14: warning: no request for host a.test reaches this: VirtualService", first)
        self.assertIn("VirtualService default/a is before it", first)
        self.assertIn("(see mesh.yaml:29:14)", first)
        self.assertIn("mesh.yaml:41:5: ", second)
        self.assertIn("(see mesh.yaml:30:5)", second)

    def test_catch_alls_are_last(self) -> None:
        """The bare route of an older one shadows nothing but other bare ones."""
        self.assertEqual(warnings(GATEWAY, SERVICE, service("a", route()), service("b", route(A))), [])

    def test_hosts_apart(self) -> None:
        """What has no host in common shadows nothing."""
        texts = service("a", route(A), hosts="a.test"), service("b", route(A), hosts="b.test")
        self.assertEqual(warnings(GATEWAY, SERVICE, *texts), [])

    def test_several_hosts(self) -> None:
        """Hosts with the same routes are told once."""
        texts = [service(name, route(A), hosts="a.test, b.test, c.test") for name in "ab"]
        (found,) = warnings(GATEWAY, SERVICE, *texts)
        self.assertIn("no request for host a.test and 2 more reaches this", found)

    def test_wildcards(self) -> None:
        """What a wildcard loses to a narrower host is told only where it gets nothing at all."""
        gateway = GATEWAY.replace("['*']", "[a.test, '*.test']")
        narrow, wide = service("a", route()), service("b", route(), hosts="'*.test'")
        self.assertEqual(warnings(gateway, SERVICE, narrow, wide), [])
        self.assertEqual(warnings(GATEWAY, SERVICE, narrow, wide), [])
        (found,) = warnings(GATEWAY.replace("['*']", "[a.test]"), SERVICE, narrow, wide)
        self.assertIn("no request for host a.test reaches this: VirtualService default/a", found)

    def test_several_ports(self) -> None:
        """Routes for one port leave those for another alone."""
        other = "\n  - hosts: ['*']\n    port: {name: other, number: 81, protocol: HTTP}\n---"
        gateway = GATEWAY.replace("\n---", other)
        texts = service("a", route("{port: 80}")), service("b", route())
        self.assertEqual(warnings(gateway, SERVICE, *texts), [])
        self.assertIn("no request for host a.test reaches", warnings(GATEWAY, SERVICE, *texts)[0])


class DelegateTests(SynchronousTestCase):
    def found(self, *texts: str) -> list[str]:
        return warnings(GATEWAY, SERVICE, *texts)

    def test_routes_behind_a_delegate(self) -> None:
        """A delegate that takes everything hides what comes after it, also what comes from another delegate."""
        greedy = istio("VirtualService", "greedy", f"http:\n- {route(A)}\n- {route()}")
        modest = istio("VirtualService", "modest", f"http:\n- {route(A)}")
        to_greedy, to_modest = "{delegate: {name: greedy}}", "{delegate: {name: modest}}"
        (found,) = self.found(service("vs", to_greedy, route()), greedy)
        self.assertIn("mesh.yaml:30:5: warning: this route is never reached: VirtualService default/greedy is", found)
        self.assertIn("[IST0130] (see mesh.yaml:38:5)", found)
        (found,) = self.found(service("vs", to_greedy, to_modest), greedy, modest)
        self.assertIn("mesh.yaml:45:5: warning: this route is never reached", found)
        self.assertEqual(self.found(service("vs", to_modest, route()), modest), [])

    def test_for_other_gateways(self) -> None:
        """A delegate is for whatever gateways its roots are for: a route for some leaves those for others alone."""
        inner = istio("VirtualService", "inner", f"http:\n- {route('{gateways: [other]}')}\n- {route(A)}")
        found = self.found(service("vs", "{delegate: {name: inner}}"), inner)
        self.assertEqual([it for it in found if "never reached" in it], [])

    def test_within_a_delegate(self) -> None:
        """Of a delegate as of others, but for what is before it only in places where it is left out."""
        inner = istio(
            "VirtualService", "inner", f"http:\n- {route(A)}\n- {route(AB)}\n- {route(B, '{uri: {exact: /b}}')}"
        )
        whole, block = self.found(service("vs", "{delegate: {name: inner}}"), inner)
        self.assertIn("mesh.yaml:37:5: warning: this route is never reached: earlier ones take", whole)
        self.assertIn("mesh.yaml:38:35: warning: this match has no effect", block)
        alone = [it for it in self.found(inner) if "IST013" in it]
        self.assertEqual(len(alone), 2, alone)
        narrow = self.found(service("vs", "{match: [{uri: {prefix: /a/b}}], delegate: {name: inner}}"), inner)
        self.assertEqual([it for it in narrow if "IST013" in it], [])

    def test_of_several(self) -> None:
        """What is hidden in one virtual service and reached in another one is no matter."""
        inner = istio("VirtualService", "inner", f"http:\n- {route(AB)}")
        delegating = "{delegate: {name: inner}}"
        hidden = service("vs", route(A), delegating)
        self.assertIn("mesh.yaml:37:5: warning: this route is never reached", self.found(hidden, inner)[0])
        self.assertEqual(self.found(hidden, inner, service("other", delegating, hosts="b.test")), [])


class RedirectTests(SynchronousTestCase):
    def test_redirected(self) -> None:
        """Routes of hosts that are redirected get nothing, but where a proxy is trusted or another port has them."""
        redirecting = GATEWAY.replace("- hosts", "- tls: {httpsRedirect: true}\n    hosts")
        (found,) = warnings(redirecting, SERVICE, service("vs", route()))
        self.assertIn("mesh.yaml:25:18: warning: VirtualService default/vs has no effect: all requests for its", found)
        self.assertIn("(see mesh.yaml:7:5; behind a proxy that ends TLS, numTrustedProxies", found)
        mesh = "apiVersion: meshproxy.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\n"
        mesh += "spec: {defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}}\n---\n"
        self.assertEqual(warnings(redirecting, mesh, SERVICE, service("vs", route())), [])
        plain = GATEWAY.replace("name: gw", "name: plain").replace("number: 80", "number: 81")
        both = service("vs", route()).replace("[gw]", "[gw, plain]")
        self.assertEqual(warnings(redirecting, plain, SERVICE, both), [])
        both = service("vs", route("{gateways: [gw]}"), route()).replace("[gw]\nhttp", "[gw, plain]\nhttp")
        (found,) = warnings(redirecting, plain, SERVICE, both.replace("gateways: [gw]\n", "gateways: [gw, plain]\n"))
        self.assertIn(
            "warning: no request reaches this: all that would are redirected to https (see mesh.yaml:7", found
        )
