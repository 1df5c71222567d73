"""What is decoded at a glance, because nearly all of a large file is like that, is decoded as everything else is.

A field that is null counts as absent, but is no longer the usual, so it makes the decoders look closely.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TypeVar

import attrs
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import destinations, http_match
from meshproxy.config.destinations import Destination, Scope
from meshproxy.config.findings import Findings
from meshproxy.config.http_match import Match
from meshproxy.config.nodes import Node
from meshproxy.config.sources import Source
from meshproxy.errors import Location
from tests.config.loading import documents

SCOPE = Scope("shop", "cluster.local")
HOSTS = (
    *("app", "app.test", "'app.test'", "'*'", "'*.test'", "a_b", "10.0.0.1", "app.1", "1", "'1'", "1.5"),
    *("-a", "a.", "yes", "'yes'", "''", "~", "null", "'null'", "[]", "{}", "[app]", "!!str app", "!!str 1"),
    *("http://app", "a b", "é", "é.test", "x" * 64, ".".join(["x" * 60] * 5), "ns/app", "app:80"),
)
PORTS = (
    *("80", "1", "65535", "65536", "0", "-1", "080", "0x50", "8_0", "80.0", "'80'", "!!int 80", "!!str 80"),
    *("~", "''", "http", "1" * 9, "1" * 10, "1" * 120, "٣", "{}", "[80]", "true"),
)
TEXTS = (
    *("/", "/a", "'/a'", "''", "~", "a", "'*'", ".*", "/a?b", "'/a#b'", "/a.*", "'/a(b'", "'/a|b'", "1"),
    *("'1'", "yes", "/1", "[]", "{}", "/" + "a" * 2000, "!!str /a", "!!str 1", "' /a'", "/é", "/a b"),
)

_T = TypeVar("_T", Destination, Match)


def found(decode: Callable[[Node, Findings], _T | None], text: str) -> tuple[object, list[str]]:
    """What a mapping comes to, with all places, and what is said."""
    findings = Findings()
    (document,) = documents(findings, Source("a.yaml", f"v: {text}\n"))
    node = document.get("v")
    assert node is not None
    decoded = decode(node, findings)
    told = [f"{it.severity} {it}" for it in findings.diagnostics]
    return None if decoded is None else attrs.astuple(decoded, recurse=False), told


class GlanceTests(SynchronousTestCase):
    def assert_same(self, decode: Callable[[Node, Findings], _T | None], fields: str, absent: str) -> bool:
        """Both ways give the same; whether nothing was said."""
        glance = found(decode, f"{{{fields}}}")
        self.assertEqual(glance, found(decode, f"{{{fields}, {absent}: null}}"), fields)
        return glance[0] is not None and not glance[1]

    def test_destinations(self) -> None:
        """A destination with a host, and with a port in either order."""

        def decode(node: Node, findings: Findings) -> Destination | None:
            return destinations.decode(node, SCOPE, findings)

        right = sum(self.assert_same(decode, f"host: {host}", "subset") for host in HOSTS)
        for host, port in product(HOSTS, PORTS):
            right += self.assert_same(decode, f"host: {host}, port: {{number: {port}}}", "subset")
            right += self.assert_same(decode, f"port: {{number: {port}}}, host: {host}", "subset")
        for fields in (
            "host: app, port: 80",
            "host: app, port: {}",
            "host: app, port: {name: http}",
            "host: app, x: 1",
        ):
            self.assert_same(decode, fields, "subset")
        self.assertGreater(right, len(HOSTS), "hardly anything of this is right")

    def test_mirror(self) -> None:
        """A mirror is one either way."""

        def decode(node: Node, findings: Findings) -> Destination | None:
            return destinations.decode(node, SCOPE, findings, mirror=True)

        self.assertTrue(self.assert_same(decode, "host: app", "subset"))

    def test_paths(self) -> None:
        """A block with a condition on the path of each kind, of two at once, and of none."""

        def decode(node: Node, findings: Findings) -> Match:
            return http_match.decode(node, "shop", findings, False)

        right = 0
        for kind, text in product(("exact", "prefix", "regex", "suffix"), TEXTS):
            right += self.assert_same(decode, f"uri: {{{kind}: {text}}}", "scheme")
        for uri in ("{}", "{exact: /a, prefix: /b}", "{exact: /a, prefix: null}", "/a", "[]", "~"):
            right += self.assert_same(decode, f"uri: {uri}", "scheme")
        self.assertGreater(right, len(TEXTS), "hardly anything of this is right")

    def test_places(self) -> None:
        """What is decoded at a glance knows where it stands."""
        findings = Findings()
        (document,) = documents(findings, Source("a.yaml", "v:\n  host: app\n  port:\n    number: 80\n"))
        node = document.get("v")
        assert node is not None
        destination = destinations.decode(node, SCOPE, findings)
        assert destination is not None
        self.assertEqual(destination.host, "app.shop.svc.cluster.local")
        self.assertEqual(destination.location, Location("a.yaml", 2, 3))
        self.assertEqual(destination.host_location, Location("a.yaml", 2, 9))
        self.assertEqual(destination.port_location, Location("a.yaml", 4, 5))
