"""Requests and routes for tests of matching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define

from meshproxy.routes import (
    Comparison,
    DirectResponse,
    HeaderMatch,
    PathMatch,
    QueryMatch,
    Route,
    RouteMatch,
    TextMatch,
    VirtualHost,
)


@define
class Request:
    """A request; ``fields`` are its headers in the order of arrival."""

    path: bytes = b"/"
    authority: bytes = b"a.test"
    method: bytes = b"GET"
    scheme: bytes = b"http"
    fields: Sequence[tuple[bytes, bytes]] = ()

    @property
    def route_path(self) -> bytes:
        """The path without query."""
        return self.path.partition(b"?")[0]

    def header_values(self, name: bytes) -> Sequence[bytes]:
        """See ``interfaces.IRequest``."""
        if name.startswith(b":"):
            return [getattr(self, name[1:].decode())]
        return [value for field, value in self.fields if field == name]


PRESENT = TextMatch()


def exact(value: str) -> TextMatch:
    """A text is ``value``."""
    return TextMatch(Comparison.EXACT, value)


def prefix(value: str) -> TextMatch:
    """A text starts with ``value``."""
    return TextMatch(Comparison.PREFIX, value)


def regex(value: str) -> TextMatch:
    """A whole text matches ``value``."""
    return TextMatch(Comparison.REGEX, value)


def header(name: bytes, text: TextMatch, inverted: bool = False) -> RouteMatch:
    """A match block with one condition on a header."""
    return RouteMatch(headers=(HeaderMatch(name, text, inverted),))


def query(name: bytes, text: TextMatch) -> RouteMatch:
    """A match block with one condition on a query parameter."""
    return RouteMatch(query=(QueryMatch(name, text),))


def path(text: TextMatch, ignore_case: bool = False, **others: Any) -> RouteMatch:
    """A match block with a condition on the path and maybe others."""
    return RouteMatch(PathMatch(text.comparison, text.value, ignore_case), **others)


def route(name: str, match: RouteMatch | None = None) -> Route:
    """A route that can be told by its name."""
    return Route(RouteMatch() if match is None else match, DirectResponse(200), name)


def virtual_host(*matches: RouteMatch, host: str = "*") -> VirtualHost:
    """A virtual host with one route for each match block, named by its place in the list."""
    return VirtualHost(host, tuple(route(str(place), match) for place, match in enumerate(matches)))
