"""Hosts and policies for tests of strategies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from meshproxy.strategies.http_cookie import CookieKey
from meshproxy.strategies.http_header_name import HeaderKey
from meshproxy.strategies.http_query_parameter_name import QueryParameterKey
from meshproxy.strategies.use_source_ip import SourceIpKey


@frozen(cache_hash=True)
class Host:
    """An endpoint whose key is whatever a test says."""

    key: str
    weight: int = 1
    locality: str = ""

    @property
    def identity(self) -> str:
        return self.key


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
