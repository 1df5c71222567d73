"""From a request to its route: pure, compiled once for each snapshot, and the same for the data path and for tools.

Rules (Istio's gateway; observed on Envoy 1.40): exactly one virtual host is chosen, by exact name, else by the longest
suffix that leaves at least one character to the star, else ``*``; there is no fall-through to another one. Within it
the first route that matches wins. The port of the authority and its letter case do not count for the virtual host.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshproxy.model import RoutedRequest
from meshproxy.routeindex import RouteIndex, SharedTests
from meshproxy.routes import Route, RouteMatch, VirtualHost

_MOST_REMEMBERED = 4096
_LONGEST_REMEMBERED = 128

_Compiled = tuple[Route | None, RouteIndex, tuple[Route, ...]]
"""The route of every request, if there is one, and the index of the routes."""

_NOWHERE: _Compiled = (None, RouteIndex(()), ())


def host_of(authority: bytes) -> bytes:
    """The name that virtual hosts are found by: without the port, in lower case.

    A port is whatever follows the last colon outside brackets, be it a number or not.
    """
    colon = authority.rfind(b":")
    if colon > authority.rfind(b"]"):
        authority = authority[:colon]
    return authority.lower()


class RouteTable:
    """The virtual hosts of one listener. ``virtual_hosts`` has one entry for a host, in lower case.

    What ``before`` made of virtual hosts that are in both is taken over from it.
    """

    def __init__(self, virtual_hosts: Iterable[VirtualHost], before: RouteTable | None = None) -> None:
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
        # Only what is asked counts for an index: hosts that differ in what is done share theirs.
        indexes: dict[tuple[RouteMatch, ...], RouteIndex] = {}
        shared: SharedTests = {}
        same: dict[int, _Compiled] = {}  # by the list of routes, which many hosts may have in common
        self._compiled: dict[VirtualHost, _Compiled] = {}
        known = {} if before is None else before._compiled
        for virtual_host in self.virtual_hosts:
            if virtual_host in known:
                self._compiled[virtual_host] = known[virtual_host]
                continue
            routes = virtual_host.routes
            compiled = same.get(id(routes))
            if compiled is None:
                matches = tuple([route.match for route in routes])
                index = indexes.get(matches)
                if index is None:
                    index = indexes[matches] = RouteIndex(matches, shared)
                always = None if index.always is None else routes[index.always]
                compiled = same[id(routes)] = (always, index, routes)
            self._compiled[virtual_host] = compiled
        # By authorities as they were sent. Bounded, for they come from strangers.
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

    def find(self, request: RoutedRequest) -> Route | None:
        """The route for a request; None: no virtual host, or no route of it matches."""
        compiled = self._remembered.get(request.authority)
        if compiled is None:
            compiled = self._compiled_for(request.authority)
        route, index, routes = compiled
        if route is None:
            place = index.find(request)
            if place is not None:
                return routes[place]
        return route

    def portions(self) -> list[object]:
        """What the table has for each virtual host: the parts in which a large one can be freed, one after another."""
        return list(self._compiled.items())

    def _compiled_for(self, authority: bytes) -> _Compiled:
        virtual_host = self.virtual_host(authority)
        compiled = _NOWHERE if virtual_host is None else self._compiled[virtual_host]
        if len(self._remembered) < _MOST_REMEMBERED and len(authority) <= _LONGEST_REMEMBERED:
            self._remembered[authority] = compiled
        return compiled
