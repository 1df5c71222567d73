"""Requests, hosts, policies and settings for tests of strategies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from zope.interface import implementer

from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.sources import Source
from meshproxy.headers import JOINED_HEADERS
from meshproxy.interfaces import IRequest
from meshproxy.strategies.http_cookie import CookieKey
from meshproxy.strategies.http_header_name import HeaderKey
from meshproxy.strategies.http_query_parameter_name import QueryParameterKey
from meshproxy.strategies.use_source_ip import SourceIpKey
from tests.config.loading import documents


@frozen(cache_hash=True)
class Host:
    """An endpoint whose key is whatever a test says."""

    key: str
    weight: int = 1
    locality: str = ""

    @property
    def identity(self) -> str:
        return self.key


@implementer(IRequest)
class FakeRequest:
    """A request head as an endpoint would get it; ``headers`` are as the client sent them."""

    method = b"GET"
    scheme = b"http"

    def __init__(
        self,
        headers: Sequence[tuple[bytes, bytes]] = (),
        path: bytes = b"/",
        authority: bytes = b"test.com",
        source_ip: bytes = b"127.0.0.1",
        remote: bytes = b"127.0.0.1:50000",
        local: bytes = b"127.0.0.1:80",
    ) -> None:
        self.authority = authority
        self.path = path
        self.source_ip = source_ip
        self.remote = remote
        self.local = local
        self._headers: dict[bytes, list[bytes]] = {b":authority": [authority], b"host": [authority], b":path": [path]}
        for name, value in headers:
            values = self._headers.setdefault(name.lower(), [])
            values.append(value.strip(b" \t"))
            if name.lower() in JOINED_HEADERS:
                values[:] = [b",".join(values)]

    def header_values(self, name: bytes) -> Sequence[bytes]:
        return self._headers.get(name, [])


def latin1(pairs: Sequence[Sequence[str]]) -> list[tuple[bytes, bytes]]:
    """Header lines of a vector."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def policy(entries: Sequence[dict[str, Any]]) -> list[Any]:
    """The hash keys of a scenario's policy."""
    keys: list[Any] = []
    for entry in entries:
        terminal = entry.get("terminal", False)
        if "header" in entry:
            keys.append(HeaderKey(entry["header"], terminal))
        elif "cookie" in entry:
            keys.append(CookieKey(entry["cookie"]["name"], terminal=terminal))
        elif "query" in entry:
            keys.append(QueryParameterKey(entry["query"], terminal))
        else:
            assert entry["source_ip"] is True, entry
            keys.append(SourceIpKey(terminal))
    return keys


def setting(text: str) -> Node:
    """The value of the field ``field`` in a YAML document."""
    findings = Findings()
    (document,) = documents(findings, Source("mesh.yaml", text))
    assert not findings.diagnostics, findings.diagnostics
    node = document.get("field")
    assert node is not None
    return node
