"""Tests for the kind ``Gateway``: what opens a port, and what is refused."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, findings, hosts, istio, warnings


def server(fields: str) -> str:
    return istio("Gateway", "gw", f"servers:\n- {{{fields}}}\n")


PORT = "port: {number: 80, name: http, protocol: HTTP}"


class OpeningTests(SynchronousTestCase):
    def test_listener(self) -> None:
        """A server opens its port on its address, and its place is known."""
        text = server("bind: '2001:DB8::1', hosts: ['*'], port: {number: 8080, name: x, protocol: http}")
        (listener,) = compiled(text).listeners
        self.assertEqual(listener.key, ("2001:db8::1", 8080))
        self.assertEqual(str(listener.location), "mesh.yaml:6:5")

    def test_servers_of_one_address_share_a_table(self) -> None:
        """Servers of one port, also of several gateways, are one listener; another bind is another one."""
        text = istio(
            "Gateway",
            "other",
            f"""
servers:
- {{hosts: [b.com], {PORT}}}
- {{hosts: [c.com], port: {{number: 80, name: other, protocol: HTTP_PROXY}}, bind: 127.0.0.1}}
""",
        )
        both = ROUTE.replace("[gw]", "[gw, other]").replace("'*'", "b.com, c.com, d.com")
        snapshot = compiled(server(f"hosts: [a.com, d.com], {PORT}"), text, SERVICE, both)
        self.assertEqual({listener.key for listener in snapshot.listeners}, {("", 80), ("127.0.0.1", 80)})
        tables = {it.bind: [host.host for host in it.routes.virtual_hosts] for it in snapshot.listeners}
        self.assertEqual(tables, {"": ["d.com", "b.com"], "127.0.0.1": ["c.com"]})

    def test_selector(self) -> None:
        """A gateway for other proxies opens nothing, which is said."""
        other = istio("Gateway", "b", f"selector: {{istio: egress}}\nservers:\n- {{hosts: ['*'], {PORT}}}\n")
        other = other.replace("number: 80", "number: 81")
        snapshot = compiled(GATEWAY, other)
        self.assertEqual([listener.port for listener in snapshot.listeners], [80])
        self.assertIn("Gateway default/b is not opened", " ".join(map(str, snapshot.warnings)))

    def test_nothing_to_serve(self) -> None:
        """A configuration that opens no port does not load, and the reason is said."""
        (found,) = [it for it in findings(SERVICE) if it.location is None]
        self.assertIn("no Gateway opens a port", found.message)
        (found,) = findings("# nothing\n")
        self.assertIn("there is no document in this file", found.message)

    def test_only_for_others(self) -> None:
        """Where all gateways are for other proxies, no port is opened, as in Istio; a warning says so."""
        other = GATEWAY.replace("spec:", "spec:\n  selector: {istio: egress}")
        self.assertEqual(compiled(other).listeners, ())
        self.assertIn("nothing to serve", " ".join(warnings(other)))

    def test_port_without_routes(self) -> None:
        """A port that nobody routes is opened all the same; a warning tells about the 404s."""
        self.assertEqual(hosts(compiled(GATEWAY)), set())
        self.assertIn("answered 404", " ".join(warnings(GATEWAY)))

    def test_namespace_of_a_host(self) -> None:
        """A namespace before a host restricts which virtual services may use it."""
        gateway = server(f"hosts: [./a.com, other/b.com, '*/c.com'], {PORT}")
        for namespace, expected in (("default", {"a.com", "c.com"}), ("other", {"b.com", "c.com"})):
            route = ROUTE.replace("{name: vs}", f"{{name: vs, namespace: {namespace}}}").replace("[gw]", "[default/gw]")
            self.assertEqual(hosts(compiled(gateway, SERVICE, route)), expected)


class RefusalTests(SynchronousTestCase):
    def test_places(self) -> None:
        """An error tells file, line and column of the value that is wrong."""
        text = server("hosts: ['*'], port: {number: 99999, name: http, protocol: HTTP}")
        self.assertEqual(
            errors(text), ["mesh.yaml:6:35: spec.servers[0].port.number must be between 1 and 65535, not 99999"]
        )

    def test_all_at_once(self) -> None:
        """What is wrong with one field does not hide what is wrong with others."""
        text = server("hosts: [short, '*x.com', '~/a.com'], bind: here, colour: red, port: {number: 0, protocol: HTTB}")
        found = errors(text)
        for part in (
            "has no field 'colour'",
            "spec.servers[0].port.name is required",
            "port.number must be between",
            "'HTTB' (did you mean 'HTTP'?)",
            "'short' may not be a short name",
            "'*x.com'",
            "'~/a.com'",
            "spec.servers[0].bind must be an IP address",
        ):
            self.assertEqual(len([it for it in found if part in it]), 1, (part, found))
        self.assertEqual(len(found), 8, found)

    def test_names_of_ports(self) -> None:
        """Names of ports are unique within a gateway, and may be any text."""
        text = istio("Gateway", "gw", f"servers:\n- {{hosts: ['*'], {PORT}}}\n- {{hosts: ['*'], {PORT}}}\n")
        self.assertEqual(len(errors(text)), 1)
        self.assertIn("'http' is there twice", errors(text)[0])
        for name, part in (("http_web/1", ""), ("", "port.name is required"), ("''", "port.name may not be empty")):
            found = errors(server(f"hosts: ['*'], port: {{number: 80, name: {name}, protocol: HTTP}}"))
            self.assertEqual(len(found), bool(part), found)
            self.assertIn(part, "".join(found))

    def test_addresses_as_hosts(self) -> None:
        """An IPv4 address is a host; one of IPv6 has no dot, as Istio wants it, and would meet no request."""
        self.assertEqual(errors(server(f"hosts: [10.0.0.1], {PORT}")), [])
        (found,) = errors(server(f"hosts: ['2001:db8::1'], {PORT}"))
        self.assertIn("spec.servers[0].hosts[0] '2001:db8::1' may not be an IPv6 address", found)

    def test_not_served_yet(self) -> None:
        """What is known and not implemented is an error of its own, never ignored."""
        for fields, what in (
            ("hosts: ['*'], bind: 'unix:///run/x', port: {number: 0, name: a, protocol: HTTP}", "unix socket"),
            ("hosts: ['*'], port: {number: 80, name: a, protocol: GRPC}", "protocol GRPC"),
            ("hosts: ['*'], port: {number: 80, name: a, protocol: TCP}", "protocol TCP"),
            ("hosts: ['*'], port: {number: 80, name: a, protocol: HTTPS}, tls: {mode: SIMPLE}", "protocol HTTPS"),
        ):
            found = [it for it in errors(server(fields)) if "is not served yet" in it]
            self.assertEqual(len(found), 1, fields)
            self.assertIn(what, found[0])

    def test_without_effect(self) -> None:
        """What Istio's gateways do nothing with is warned about."""
        found = " ".join(warnings(server(f"hosts: ['*'], {PORT}, defaultEndpoint: '127.0.0.1:80'")))
        self.assertIn("spec.servers[0].defaultEndpoint has no effect", found)
        udp = istio("Gateway", "udp", "servers: [{hosts: ['*'], port: {number: 53, name: a, protocol: UDP}}]")
        self.assertIn("a gateway does nothing with UDP", " ".join(warnings(GATEWAY, udp)))
        self.assertEqual([listener.port for listener in compiled(GATEWAY, udp).listeners], [80])

    def test_everything(self) -> None:
        """``*/*`` takes the place of all other hosts of its server."""
        text = server(f"hosts: [a.com, '*/*'], {PORT}")
        wide = ROUTE.replace("'*'", "'*.com'")
        self.assertEqual(hosts(compiled(text, SERVICE, wide)), {"*.com"})
        (found,) = warnings(text, SERVICE, wide)
        self.assertIn("mesh.yaml:6:14: warning: host a.com has no effect beside '*/*'", found)

    def test_repeated_hosts(self) -> None:
        """A host that a server names again, or another server of its gateway for the same port."""
        own = ROUTE.replace("'*'", "a.com")
        (found,) = warnings(server(f"hosts: [a.com, '*/a.com'], {PORT}"), SERVICE, own)
        self.assertIn("mesh.yaml:6:21: warning: host a.com is there again (see mesh.yaml:6:14)", found)
        again = PORT.replace("name: http", "name: again")
        text = istio("Gateway", "gw", f"servers:\n- {{hosts: [a.com], {PORT}}}\n- {{hosts: [a.com], {again}}}\n")
        (found,) = warnings(text, SERVICE, own)
        self.assertIn("mesh.yaml:7:14: warning: an earlier server of this Gateway has host a.com on port 80", found)
        self.assertEqual(warnings(server(f"hosts: [a.com, 'apps/a.com'], {PORT}"), SERVICE, own)[1:], [])
