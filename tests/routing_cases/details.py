"""Small configurations, and what requests come to, for details of Istio's routing that no recorded case has.

A request is written as ``METHOD HOST[@PORT] TARGET [NAME:VALUE]...``. What it comes to is the backend that answers with
200, else the status; behind it, where a row asks for more, what the backend or the client got.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.routing_cases.world import Answer, World

# The answer, and further facts about it.
Outcome = str | tuple[str, dict[str, object]]


def gateway(name: str = "gw", hosts: str = "'*'", port: int = 80, tls: str = "") -> str:
    server = f"{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: [{hosts}]{tls}}}"
    return _document("Gateway", name, "default", f"servers: [{server}]")


def service(*hosts: str, ports: str = "{number: 80, name: http, protocol: HTTP}") -> str:
    """A service for each host, whose endpoint is the backend of that name."""
    return "".join(
        _document(
            "ServiceEntry",
            host.replace(".", "-"),
            "default",
            f"hosts: [{host}]\nresolution: STATIC\nports: [{ports}]\n"
            f"endpoints: [{{address: 127.0.0.1, ports: {{http: {{{{port:{host}}}}}}}}}]",
        )
        for host in hosts
    )


def virtual_service(
    name: str, hosts: str, *http: str, namespace: str = "default", gateways: str = "default/gw", more: str = ""
) -> str:
    entries = "".join(f"- {{{entry}}}\n" for entry in http)
    return _document(
        "VirtualService",
        name,
        namespace,
        f"{f'hosts: [{hosts}]' if hosts else ''}\n{f'gateways: [{gateways}]' if gateways else ''}\n{more}\n"
        f"http:\n{entries}",
    )


def to(host: str, match: str = "") -> str:
    """An entry that sends what matches to a host."""
    return f"{f'match: [{match}], ' if match else ''}route: [{{destination: {{host: {host}}}}}]"


def _document(kind: str, name: str, namespace: str, spec: str) -> str:
    lines = "".join(f"  {line}\n" for line in spec.splitlines() if line.strip())
    head = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
    return f"{head}spec:\n{lines}---\n"


A, B, C = "a.test", "b.test", "c.test"
WORLD = gateway() + service(A, B, C)


def _fact(answer: Answer, name: str) -> object:
    """``path``, ``host``, ``body``, ``flags``, ``route``, or a header; with ``>`` before it, one of the request."""
    assert answer.response is not None
    if name in ("path", "host"):
        return answer.echo.get(name)
    if name == "body":
        return answer.response.body.decode()
    if name in ("flags", "route"):
        return getattr(answer.logged, {"route": "route_name"}.get(name, name)).decode()
    if name.startswith(">"):
        values = [value for header, value in answer.echo.get("headers", []) if header == name[1:]]
    else:
        values = [value.decode() for value in answer.response.values(name.encode())]
    return ", ".join(values) if values else None


class DetailCase(SynchronousTestCase):
    def check(self, config: str, rows: dict[str, Outcome]) -> None:
        world = World(config, {})
        for text, expected in rows.items():
            method, host, target, *headers = text.split(" ")
            host, _, port = host.partition("@")
            lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
            (answer,) = world.ask(int(port or 80), "\r\n".join([*lines, "\r\n"]).encode("latin-1"))
            outcome, facts = expected if isinstance(expected, tuple) else (expected, {})
            found: dict[str, Any] = {name: _fact(answer, name) for name in facts}
            self.assertEqual((answer.outcome, found), (outcome, facts), text)
