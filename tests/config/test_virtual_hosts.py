"""Tests for the table of virtual hosts: which routes a host has, and in which order."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import ProxyIdentity
from tests.config.loading import GATEWAY, compiled, hosts, istio, routes, targets, warnings

TO_A = "route: [{destination: {host: a.test, port: {number: 80}}}]"
A = "outbound|80||a.test"


def gateway(server_hosts: str, name: str = "gw", port: int = 80) -> str:
    port_text = f"{{number: {port}, name: p, protocol: HTTP}}"
    return istio("Gateway", name, f"servers: [{{hosts: {server_hosts}, port: {port_text}}}]")


def service(name: str, service_hosts: str, http: str, more: str = "", namespace: str = "default") -> str:
    spec = f"hosts: {service_hosts}\ngateways: [default/gw]\nhttp:\n{http}\n{more}"
    return istio("VirtualService", name, spec, namespace)


def to(path: str, kind: str = "prefix") -> str:
    return f"- {{match: [{{uri: {{{kind}: {path}}}}}], {TO_A}}}"


def paths(*texts: str, host: str = "a.com") -> list[str]:
    return [route.match.path.value for route in routes(compiled(*texts), host)]


class MergingTests(SynchronousTestCase):
    def test_older_first(self) -> None:
        """Virtual services of one host are joined in order of age, then name, then namespace, wherever they stand."""
        young = service("a", "[a.com]", to("/young")).replace(
            "namespace: default", "creationTimestamp: 2024-01-02T00:00:00Z"
        )
        old = service("b", "[a.com]", to("/old")).replace(
            "namespace: default", "creationTimestamp: 2024-01-01T00:00:00Z"
        )
        ageless = service("z", "[a.com]", to("/ageless"))
        other = service("z", "[a.com]", to("/other"), namespace="apps")
        self.assertEqual(paths(young, other, old, ageless, GATEWAY), ["/other", "/ageless", "/old", "/young"])

    def test_catch_alls_last(self) -> None:
        """Routes that take everything go behind all others of the host, in their own order."""
        first = service("a", "[a.com]", f"{to('/x')}\n- {{name: bare, {TO_A}}}")
        second = service("b", "[a.com]", f"{to('/y')}\n{to('/').replace('{match', '{name: slash, match')}")
        third = service("c", "[a.com]", f"{to('/z')}\n{to('.*', 'regex')}")
        found = routes(compiled(GATEWAY, first, second, third), "a.com")
        self.assertEqual([route.match.path.value for route in found], ["/x", "/y", "/z", "", "/", ".*"])
        self.assertEqual([route.name for route in found[3:5]], ["bare", "slash"])

    def test_empty_prefix(self) -> None:
        """A bare empty prefix takes everything, but is no catch-all: it stays where it is and hides what follows."""
        self.assertEqual(paths(GATEWAY, service("a", "[a.com]", f"{to(chr(39) * 2)}\n{to('/x')}")), ["", "/x"])

    def test_list_ends_at_a_catch_all(self) -> None:
        """Within one virtual service nothing behind the first route that takes everything counts."""
        for catch_all in (f"- {{{TO_A}}}", to("/"), f"- {{match: [{{port: 80}}], {TO_A}}}"):
            text = service("a", "[a.com]", f"{to('/x')}\n{catch_all}\n{to('/y')}")
            self.assertEqual(len(paths(GATEWAY, text)), 2, catch_all)
        # Not even the later blocks of the same entry.
        text = service("a", "[a.com]", f"- {{match: [{{uri: {{prefix: /}}}}, {{uri: {{prefix: /y}}}}], {TO_A}}}")
        self.assertEqual(paths(GATEWAY, text), ["/"])

    def test_wildcards_stay_separate(self) -> None:
        """A wildcard host is a virtual host of its own; an exact one does not take over its routes."""
        wide = service("a", "['*.com']", to("/wide"))
        exact = service("b", "[a.com]", to("/exact"))
        self.assertEqual(paths(GATEWAY, wide, exact), ["/exact"])
        self.assertEqual(paths(GATEWAY, wide, exact, host="*.com"), ["/wide"])

    def test_wildcards_are_folded_where_the_server_lists_the_host(self) -> None:
        """When the server itself lists the exact host, a wildcard virtual service is joined to it."""
        wide = service("a", "['*.com']", to("/wide"))
        exact = service("b", "[a.com]", to("/exact"))
        self.assertEqual(paths(gateway("[a.com, '*.com']"), wide, exact), ["/wide", "/exact"])

    def test_letter_case(self) -> None:
        """Hosts meet only in the same letter case; the virtual host is in lower case."""
        self.assertEqual(hosts(compiled(gateway("[A.com]"), service("a", "[A.com]", to("/x")))), {"a.com"})
        self.assertEqual(hosts(compiled(gateway("[A.com]"), service("a", "[a.com]", to("/x")))), set())

    def test_twice_through_two_servers(self) -> None:
        """A virtual service that comes through two gateways has its routes once."""
        text = service("a", "[a.com]", to("/x")).replace("[default/gw]", "[gw, gw2]")
        self.assertEqual(paths(GATEWAY, gateway("[a.com]", "gw2"), text), ["/x"])

    def test_short_host(self) -> None:
        """A short host is completed with the namespace of the virtual service."""
        self.assertEqual(hosts(compiled(GATEWAY, service("a", "[app]", to("/x")))), {"app.default.svc.cluster.local"})


class ConditionTests(SynchronousTestCase):
    def test_port_and_gateways(self) -> None:
        """A match holds only at the port and the gateways that it names."""
        match = "- {{match: [{{uri: {{exact: /{0}}}, {1}}}], {2}}}"
        http = "\n".join(
            match.format(name, condition, TO_A)
            for name, condition in (
                ("80", "port: 80"),
                ("81", "port: 81"),
                ("gw", "gateways: [gw]"),
                ("gw2", "gateways: [default/gw2]"),
                ("all", "name: all"),
            )
        )
        text = service("a", "[a.com]", http).replace("[default/gw]", "[gw, gw2]")
        snapshot = compiled(GATEWAY, gateway("['*']", "gw2", 81), text)
        self.assertEqual([path for path, _ in targets(snapshot, "a.com", 80)], ["/80", "/gw", "/all"])
        self.assertEqual([path for path, _ in targets(snapshot, "a.com", 81)], ["/81", "/gw2", "/all"])

    def test_source(self) -> None:
        """Conditions on the source are compared with this proxy, unless the match names gateways."""
        match = "- {{match: [{{uri: {{exact: /{0}}}, {1}}}], {2}}}"
        http = "\n".join(
            match.format(name, condition, TO_A)
            for name, condition in (
                ("a", "sourceNamespace: istio-system"),
                ("b", "sourceNamespace: other"),
                ("c", "sourceLabels: {istio: ingressgateway}"),
                ("d", "sourceLabels: {app: other}"),
                ("e", "sourceLabels: {app: other}, sourceNamespace: other, gateways: [gw]"),
            )
        )
        self.assertEqual(paths(GATEWAY, service("a", "[a.com]", http)), ["/a", "/c", "/e"])

    def test_none_applies(self) -> None:
        """A virtual service of which nothing applies is as if not there, and a warning says so."""
        text = service("a", "[a.com]", f"- {{match: [{{port: 81}}], {TO_A}}}")
        self.assertEqual(hosts(compiled(GATEWAY, text)), set())
        self.assertIn("none of its matches is for a gateway and port that is opened", " ".join(warnings(GATEWAY, text)))


class VisibilityTests(SynchronousTestCase):
    def test_export_to(self) -> None:
        """A virtual service counts if it is exported to the proxy's namespace; else a warning says that it does not."""
        for export, visible in (("[.]", False), ("['*']", True), ("[istio-system, x]", True), ("[x]", False)):
            text = service("a", "[a.com]", to("/x"), f"exportTo: {export}")
            self.assertEqual(paths(GATEWAY, text), ["/x"] if visible else [])
            self.assertEqual("its exportTo hides it" in " ".join(warnings(GATEWAY, text)), not visible)
        identity = ProxyIdentity(namespace="default")
        text = service("a", "[a.com]", to("/x"), "exportTo: [.]")
        self.assertEqual(len(routes(compiled(GATEWAY, text, identity=identity), "a.com")), 1)

    def test_order(self) -> None:
        """Private ones come first, then those exported by name, then public ones, whatever their names."""
        texts = [
            service("a", "[a.com]", to("/public")),
            service("b", "[a.com]", to("/named"), "exportTo: [istio-system]"),
            service("c", "[a.com]", to("/private"), "exportTo: [.]", "istio-system"),
        ]
        self.assertEqual(paths(GATEWAY, *texts), ["/private", "/named", "/public"])


class NoEffectTests(SynchronousTestCase):
    def test_gateways(self) -> None:
        """A gateway that does not exist, hosts that fit none of its, and the mesh only are warned about."""
        for text, part in (
            (
                service("a", "[a.com]", to("/x")).replace("default/gw", "default/gv"),
                "there is no Gateway default/gv [IST0101] (did",
            ),
            (service("a", "[b.com]", to("/x")), "IST0132"),
            (service("a", "[a.com]", to("/x")).replace("gateways: [default/gw]", ""), "is for sidecars only"),
            (service("a", "[]", to("/x")).replace("gateways: [default/gw]", ""), "is a delegate"),
        ):
            found = " ".join(warnings(gateway("[a.com]"), text))
            self.assertIn(part, found)
