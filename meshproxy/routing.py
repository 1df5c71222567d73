"""From a request to its route: pure, compiled once for each snapshot, and the same for the data path and for tools.

Rules (Istio's gateway; observed on Envoy 1.40): exactly one virtual host is chosen, by exact name, else by the longest
suffix that leaves at least one character to the star, else ``*``; there is no fall-through to another one. Within it
the first route that matches wins. The port of the authority and its letter case do not count for the virtual host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import re2

from meshproxy.model import PathKind, PathMatch, Route, VirtualHost

_MOST_REMEMBERED = 4096
_LONGEST_REMEMBERED = 128

_Condition = Callable[[bytes], object]
_Compiled = tuple[tuple[_Condition | None, Route], ...]


def host_of(authority: bytes) -> bytes:
    """The name that virtual hosts are found by: without the port, in lower case.

    A port is whatever follows the last colon outside brackets, be it a number or not.
    """
    colon = authority.rfind(b":")
    if colon > authority.rfind(b"]"):
        authority = authority[:colon]
    return authority.lower()


class RouteTable:
    """The virtual hosts of one listener. ``virtual_hosts`` has one entry for a host, in lower case."""

    def __init__(self, virtual_hosts: Iterable[VirtualHost]) -> None:
        self.virtual_hosts = tuple(virtual_hosts)
        self._exact: dict[bytes, VirtualHost] = {}
        self._by_suffix: dict[bytes, VirtualHost] = {}
        self._default: VirtualHost | None = None
        for virtual_host in self.virtual_hosts:
            host = virtual_host.host.encode("utf-8")
            if host == b"*":
                self._default = virtual_host
            elif host.startswith(b"*"):
                self._by_suffix[host[1:]] = virtual_host
            else:
                self._exact[host] = virtual_host
        self._suffix_lengths = sorted({len(suffix) for suffix in self._by_suffix}, reverse=True)
        self._compiled: dict[VirtualHost, _Compiled] = {host: _compile(host) for host in self.virtual_hosts}
        # Authorities as they were sent. Bounded, for they come from strangers.
        self._remembered: dict[bytes, _Compiled] = {}

    def virtual_host(self, authority: bytes) -> VirtualHost | None:
        """The virtual host for an authority as sent."""
        name = host_of(authority)
        found = self._exact.get(name)
        if found is not None:
            return found
        size = len(name)
        for length in self._suffix_lengths:
            if length < size:
                found = self._by_suffix.get(name[size - length :])
                if found is not None:
                    return found
        return self._default

    def find(self, authority: bytes, path: bytes) -> Route | None:
        """The route for an authority as sent and a normalized path without query; None: no host or no route in it."""
        routes = self._remembered.get(authority)
        if routes is None:
            virtual_host = self.virtual_host(authority)
            routes = self._compiled[virtual_host] if virtual_host is not None else ()
            if len(self._remembered) < _MOST_REMEMBERED and len(authority) <= _LONGEST_REMEMBERED:
                self._remembered[authority] = routes
        for matches, route in routes:
            if matches is None or matches(path):
                return route
        return None


def _compile(virtual_host: VirtualHost) -> _Compiled:
    return tuple((_condition(route.match), route) for route in virtual_host.routes)


def _condition(match: PathMatch) -> _Condition | None:
    """A test of a path; None for what every path passes, for each begins with "/"."""
    value = match.value.encode("utf-8")
    if match.kind is PathKind.ANY or (match.kind is PathKind.PREFIX and value in (b"", b"/")):
        return None
    if match.kind is PathKind.EXACT:
        return value.__eq__
    if match.kind is PathKind.PREFIX:
        return lambda path: path.startswith(value)
    fullmatch: _Condition = re2.compile(match.value).fullmatch
    return fullmatch
