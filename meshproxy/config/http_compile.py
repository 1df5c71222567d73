"""From an entry of ``http`` and one of its match blocks to a route of the table.

Source: Istio's translation of HTTP routes. Everything is made once: routes that are alike in all virtual hosts, and
forwards that are alike for all match blocks of an entry, are the same object.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, evolve, field, frozen

from meshproxy.config.backend_policy import BLOCKS, Blocks
from meshproxy.config.clusters import Clusters, Resolved
from meshproxy.config.hash_keys import KeyCollector, RouteKeys
from meshproxy.config.header_operations import NO_HEADERS, Headers, combined
from meshproxy.config.http_actions import RewriteSettings
from meshproxy.config.http_match import Match
from meshproxy.config.http_policies import Retries
from meshproxy.config.http_route import HttpRoute, RouteDestination
from meshproxy.config.memory import Memory
from meshproxy.routes import (
    DirectResponse,
    Fault,
    Forward,
    HeaderOperations,
    Mirror,
    PathMatch,
    Redirect,
    Route,
    RouteMatch,
    WeightedDestination,
)

_NO_REWRITE = RewriteSettings()
_EVERYTHING = RouteMatch()


@frozen(eq=False)
class Targets:
    """Where an entry's requests go from one port of the gateway, whatever was matched.

    ``found`` is what all destinations and mirrors come to, from which the rest follows.
    """

    found: tuple[Resolved, ...]
    destinations: tuple[tuple[RouteDestination, WeightedDestination], ...]
    mirrors: tuple[Mirror, ...]
    keys: RouteKeys
    sticky: bool
    persistent: bool
    avoid_previous_hosts: bool


@define(eq=False)
class Placed:
    """An entry at a port of the gateway, and the routes that were made for its blocks there.

    ``targets`` is None for an entry that sends its requests nowhere.
    """

    http: HttpRoute
    port: int
    targets: Targets | None
    routes: dict[Match | None, Route] = field(factory=dict, init=False)


class RouteCompiler:
    """Makes the routes of one snapshot; destinations become clusters of ``clusters``.

    ``retries`` are those of a route that has none of its own. Routes of an entry whose targets are the same as in the
    load before are taken over from it.
    """

    def __init__(self, clusters: Clusters, retries: Retries, memory: Memory) -> None:
        memory.use(retries)
        self._clusters = clusters
        self._retries = retries
        self._placed = memory.placed
        self._forwards: dict[tuple[Targets, PathMatch | None], Forward] = {}
        # What nearly all entries come to, by what their destination does and by its weight.
        self._plain: dict[tuple[int, int], Targets] = {}

    def place(self, http: HttpRoute, namespace: str, port: int) -> Placed:
        """An entry of a virtual service of a namespace; that of the load before if it still comes to the same."""
        key = (http, port)
        placed = self._placed.now.get(key)
        if placed is None:
            found = self._resolved(http, namespace, port) if http.forwards else None
            placed = self._placed.before.get(key)
            if placed is None or not _leads_to(placed, found):
                placed = Placed(http, port, None if found is None else self._targets(http, found))
            self._placed.now[key] = placed
        return placed

    def route(self, placed: Placed, match: Match | None) -> Route:
        """The route of one of an entry's blocks, None for an entry without blocks."""
        route = placed.routes.get(match)
        if route is None:
            route = placed.routes[match] = self._make(placed, match)
        return route

    def _make(self, placed: Placed, match: Match | None) -> Route:
        http = placed.http
        path = None if match is None else match.uri
        action: Forward | Redirect | DirectResponse
        if http.redirect is not None:
            action = http.redirect.compiled(path, placed.port)
        elif http.direct_response is not None:
            action = http.direct_response
        else:
            action = self._forward(placed, path)
        operations: tuple[HeaderOperations, ...] = ()
        if http.headers is not None and not isinstance(action, Forward):
            operations = combined(http.headers, NO_HEADERS, True, _response)
        name = http.name if match is None or not match.name else f"{http.name}.{match.name}"
        location = http.location if match is None else match.location
        condition = _EVERYTHING if match is None else match.compiled()
        return Route(condition, action, name, location, _effective(http.fault), operations)

    def _forward(self, placed: Placed, path: PathMatch | None) -> Forward:
        http, targets = placed.http, placed.targets
        assert targets is not None
        # Only a rewrite of the path depends on how it was matched.
        key = (targets, path if http.rewrite is not None and http.rewrite.uri else None)
        forward = self._forwards.get(key)
        if forward is None:
            forward = self._forwards[key] = Forward(
                tuple(_rewriting(http, entry, destination, path) for entry, destination in targets.destinations),
                tuple(it.key for it in targets.keys.keys),
                (http.retries or self._retries).compiled(targets.avoid_previous_hosts),
                http.timeout,
                targets.mirrors,
                http.cors,
                tuple(it.origin for it in targets.keys.keys),
                targets.keys.reject_status,
                targets.sticky,
                targets.persistent,
            )
        return forward

    def _resolved(self, http: HttpRoute, namespace: str, port: int) -> list[Resolved]:
        resolve = self._clusters.resolve
        found = [resolve(entry.destination, namespace, port) for entry in http.drawn]
        for destination, _ in http.mirrored():
            found.append(resolve(destination, namespace, port))
        return found

    def _targets(self, http: HttpRoute, found: Sequence[Resolved]) -> Targets:
        """Those of an entry; plain entries that lead to the same share theirs."""
        if not http.is_plain:
            return _targets(http, found)
        key = (id(found[0]), http.destinations[0].weight)
        targets = self._plain.get(key)
        if targets is None:
            targets = self._plain[key] = _targets(http, found)
        return targets


def _leads_to(placed: Placed, found: Sequence[Resolved] | None) -> bool:
    """Whether this is what the destinations of an entry come to."""
    if placed.targets is None or found is None:
        return placed.targets is None and found is None
    return all(map(_is_same, placed.targets.found, found))


def _is_same(one: Resolved, other: Resolved) -> bool:
    return one is other or (
        one.cluster == other.cluster
        and one.key is other.key
        and all(getattr(one.blocks, name) is getattr(other.blocks, name) for name in BLOCKS.values())
    )


def _targets(http: HttpRoute, found: Sequence[Resolved]) -> Targets:
    single = len(http.destinations) == 1
    destinations = []
    keys = KeyCollector()
    blocks: list[Blocks] = []
    avoid_previous_hosts = True
    for entry, resolved in zip(http.drawn, found, strict=False):
        destinations.append((entry, _weighted(http, entry, resolved.cluster, single)))
        if resolved.key is not None:
            # Even a consistentHash without a key: it is the block that counts.
            avoid_previous_hosts = not single
        keys.add(resolved.key, resolved.policy_keys)
        blocks.append(resolved.blocks)
    copies = zip(http.mirrored(), found[len(destinations) :], strict=True)
    return Targets(
        tuple(found),
        tuple(destinations),
        tuple(Mirror(resolved.cluster, share) for (_, share), resolved in copies),
        keys.collected(),
        bool(blocks) and all(it.is_sticky for it in blocks),
        any(it.persistence is not None for it in blocks),
        avoid_previous_hosts,
    )


def _weighted(http: HttpRoute, entry: RouteDestination, cluster: str, single: bool) -> WeightedDestination:
    headers, inner = http.headers or NO_HEADERS, entry.headers
    if inner.authority is not None and not single:
        inner = evolve(inner, request=evolve(inner.request, authority=inner.authority))
    requests, responses = (combined(headers, inner, single, direction) for direction in (_request, _response))
    return WeightedDestination(cluster, entry.weight or 1, requests, responses)


def _rewriting(
    http: HttpRoute, entry: RouteDestination, destination: WeightedDestination, path: PathMatch | None
) -> WeightedDestination:
    """The destination with what changes in the path and the authority of its requests."""
    authority = (http.headers or NO_HEADERS).authority
    if authority is None and len(http.destinations) == 1:
        authority = entry.headers.authority
    if http.rewrite is None and authority is None:
        return destination
    rewrite = (http.rewrite or _NO_REWRITE).compiled(path, authority)
    return destination if rewrite is None else evolve(destination, rewrite=rewrite)


def _request(headers: Headers) -> HeaderOperations:
    return headers.request


def _response(headers: Headers) -> HeaderOperations:
    return headers.response


def _effective(fault: Fault | None) -> Fault | None:
    """The parts of a fault that can come about."""
    if fault is None:
        return None
    if fault.delay is None or not fault.delay_share:
        fault = evolve(fault, delay=None, delay_share=0)
    if (fault.abort_status is None and fault.abort_grpc_status is None) or not fault.abort_share:
        fault = evolve(fault, abort_status=None, abort_grpc_status=None, abort_share=0)
    return None if fault == Fault() else fault
