"""Which of two levels of header operations has the last word: as recorded with Envoy."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading import GATEWAY, SERVICE, compiled
from tests.config.routing import with_http
from tests.fakes import Wire
from tests.vectors import load


def level(operations: list[list[str]]) -> str:
    """``headers`` with the same operations in both directions."""
    fields = []
    for name, value in operations:
        fields.append("remove: [x-t]" if name == "remove" else f"{name}: {{x-t: {value}}}")
    both = ", ".join(fields)
    return f"headers: {{request: {{{both}}}, response: {{{both}}}}}"


def configuration(case: dict[str, Any]) -> str:
    to = "destination: {host: app.test}"
    # One that gets nothing makes two of them all the same.
    others = "" if case["single"] else f", {{{to}, weight: 0}}"
    entry = f"{level(case['route'])}, route: [{{{to}, weight: 1, {level(case['destination'])}}}{others}]"
    return with_http(f"- {{{entry}}}")


def values(head: bytes) -> list[str]:
    return [line[5:].decode() for line in head.split(b"\r\n") if line.startswith(b"x-t: ")]


class RecordedHeaderLevelTests(SynchronousTestCase):
    def test_every_case(self) -> None:
        """Every pair of operations, with one destination and with several, in both directions."""
        recorded = load("live-header-levels")["cases"]
        self.assertEqual(len(recorded), 98)
        for case in recorded:
            wire = Wire(compiled(GATEWAY, SERVICE, configuration(case)))
            client = wire.client()
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-T: client\r\n\r\n")
            endpoint = wire.accept()
            self.assertEqual(values(endpoint.take()), case["request"], case)
            endpoint.send(b"HTTP/1.1 200 OK\r\nX-T: from-endpoint\r\nContent-Length: 0\r\n\r\n")
            self.assertEqual(values(client.take()), case["response"], case)
