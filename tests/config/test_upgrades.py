"""The field ``upgrades`` of a ``Mesh`` document."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import UpgradeSettings
from tests.config.loading import GATEWAY, compiled, errors
from tests.config.test_objects import MESH


class UpgradeTests(SynchronousTestCase):
    def test_settings(self) -> None:
        """WebSocket is allowed unless something else is said, and any silence; protocols have no letter case."""
        for spec, expected in (
            ("", UpgradeSettings(frozenset({b"websocket"}), None)),
            ("upgrades: {}", UpgradeSettings(frozenset({b"websocket"}), None)),
            ("upgrades: {protocols: []}", UpgradeSettings(frozenset(), None)),
            (
                "upgrades: {protocols: [WebSocket, example/1.0], idleTimeout: 1h}",
                UpgradeSettings(frozenset({b"websocket", b"example/1.0"}), 3600.0),
            ),
        ):
            self.assertEqual(compiled(GATEWAY, MESH % spec).mesh.upgrades, expected, spec)

    def test_refused(self) -> None:
        """What is no protocol, or is HTTP itself, is an error at its place."""
        for spec, part in (
            ("protocols: [web socket]", "13:31: spec.upgrades.protocols[0] must be a protocol, not 'web socket'"),
            ("protocols: ['']", "must be a protocol"),
            ("protocols: [a/b/c]", "must be a protocol"),
            ("protocols: [websocket, H2C]", "spec.upgrades.protocols[1] may not be 'H2C': its requests would pass by"),
            ("protocols: [HTTP/2.0]", "may not be 'HTTP/2.0'"),
            ("protocols: websocket", "must be a list"),
            ("idleTimeout: 0s", "may not be less than 1ms"),
            ("protocol: [websocket]", "did you mean 'protocols'?"),
        ):
            (found,) = errors(GATEWAY, MESH % f"upgrades: {{{spec}}}")
            self.assertIn(part, found)
