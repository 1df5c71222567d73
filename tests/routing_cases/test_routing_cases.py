"""Recorded routing cases: Istio YAML, requests, and what an Istio ingress gateway made of them.

Every row was observed on a running Envoy 1.40 that was configured as Istio would configure it (``about`` in the file).
The cases run in memory: the whole gateway, from bytes to bytes, with an echo backend behind each port.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.errors import ConfigError
from tests.routing_cases.expectations import complaints
from tests.routing_cases.world import World

CASES = {case["id"]: case for case in json.loads(Path(__file__).with_name("routing-cases.json").read_text())["cases"]}

# What these are about is not served yet: TLS, TCP, HTTP/2 and gRPC; and dst-dns resolves a name, for which there is a
# test with a DNS server of its own.
LEFT_OUT = {
    "dst-dns",
    "dst-protocol",
    "grpc-404",
    "gw-passthrough",
    "gw-proto-clash-tcp-first",
    "gw-redirect-https-server",
    "gw-tcp",
    "gw-tcp-collision-first",
    "mutual-tls",
    "plaintext-h2c",
}


def request_bytes(request: dict[str, Any], agent: str) -> bytes:
    """The request of a row."""
    if "raw" in request:
        return request["raw"].encode("latin-1")
    headers = [*request.get("headers", [])]
    made = request.get("headers_generated")
    if made:
        headers += [(made["names"], "x" * made["value_length"])] * made["count"]
    elif not any(name.lower() == "user-agent" for name, _ in headers):
        headers.append(("user-agent", agent))
    body = request.get("body", "")
    if body and not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers):
        headers.append(("content-length", str(len(body))))
    lines = [f"{request['method']} {request['path']} HTTP/1.1", f"Host: {request['host']}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


class RoutingCases(SynchronousTestCase):
    """One test for each case; they are made below."""

    def run_case(self, case: dict[str, Any]) -> None:
        world = World(case["config"], case.get("proxy_options", {}))
        for row, check in enumerate(case["checks"]):
            request, expect = check["request"], check["expect"]
            world.seen.clear()
            data = request_bytes(request, f"routing-case/{case['id']}/{row}")
            answers = []
            for _ in range(request.get("repeat", 1)):
                answers += world.ask(request["port"], *[data] * request.get("parallel", 1))
            found = complaints(expect, answers, world.seen)
            self.assertEqual(found, [], f"{case['id']} row {row}: {case['title']}\n{request}")

    def test_left_out(self) -> None:
        """What is left out does not load and says why, or is not a matter of the configuration."""
        loaded = set()
        for name in sorted(LEFT_OUT):
            try:
                World(CASES[name]["config"], {})
            except ConfigError as error:
                self.assertIn("not served yet", str(error), name)
            else:
                loaded.add(name)
        self.assertEqual(loaded, {"dst-dns", "grpc-404", "plaintext-h2c"})


def _test(case: dict[str, Any]) -> Callable[[RoutingCases], None]:
    def test(self: RoutingCases) -> None:
        self.run_case(case)

    test.__doc__ = case["title"]
    return test


for _name, _case in CASES.items():
    if _name not in LEFT_OUT:
        setattr(RoutingCases, f"test_{_name.replace('-', '_')}", _test(_case))
