"""From an entry of ``http`` and one of its match blocks to a route of the table.

Source: Istio's translation of HTTP routes. Everything is made once: routes that are alike in all virtual hosts, and
forwards that are alike for all match blocks of an entry, are the same object.
"""

from __future__ import annotations

from attrs import evolve, frozen

from meshproxy.config.backend_policy import Blocks
from meshproxy.config.clusters import Clusters
from meshproxy.config.hash_keys import KeyCollector, RouteKeys
from meshproxy.config.header_operations import NO_HEADERS, Headers, combined
from meshproxy.config.http_actions import RewriteSettings
from meshproxy.config.http_match import Match
from meshproxy.config.http_policies import Retries
from meshproxy.config.http_route import HttpRoute, RouteDestination
from meshproxy.routes import (
    DirectResponse,
    Fault,
    Forward,
    HeaderOperations,
    Mirror,
    PathMatch,
    Redirect,
    Rewrite,
    Route,
    RouteMatch,
    WeightedDestination,
)

_NO_REWRITE = RewriteSettings()
_EVERYTHING = RouteMatch()


@frozen(eq=False)
class _Targets:
    """Where an entry's requests go from one port of the gateway, whatever was matched."""

    destinations: tuple[tuple[RouteDestination, str], ...]
    mirrors: tuple[Mirror, ...]
    keys: RouteKeys
    sticky: bool
    persistent: bool
    avoid_previous_hosts: bool


class RouteCompiler:
    """Makes the routes of one snapshot; destinations become clusters of ``clusters``.

    ``retries`` are those of a route that has none of its own.
    """

    def __init__(self, clusters: Clusters, retries: Retries) -> None:
        self._clusters = clusters
        self._retries = retries
        self._routes: dict[tuple[HttpRoute, Match | None, int], Route] = {}
        self._targets: dict[tuple[HttpRoute, int], _Targets] = {}
        self._forwards: dict[tuple[HttpRoute, int, PathMatch | None], Forward] = {}

    def route(self, http: HttpRoute, match: Match | None, namespace: str, port: int) -> Route:
        """The route of an entry's block, in a virtual service of a namespace, at a port of the gateway."""
        key = (http, match, port)
        route = self._routes.get(key)
        if route is None:
            route = self._routes[key] = self._make(http, match, namespace, port)
        return route

    def _make(self, http: HttpRoute, match: Match | None, namespace: str, port: int) -> Route:
        path = None if match is None else match.uri
        action: Forward | Redirect | DirectResponse
        if http.redirect is not None:
            action = http.redirect.compiled(path, port)
        elif http.direct_response is not None:
            action = http.direct_response
        else:
            action = self._forward(http, path, namespace, port)
        operations: tuple[HeaderOperations, ...] = ()
        if http.headers is not None and not isinstance(action, Forward):
            operations = combined(http.headers, NO_HEADERS, True, _response)
        name = http.name if match is None or not match.name else f"{http.name}.{match.name}"
        location = http.location if match is None else match.location
        condition = _EVERYTHING if match is None else match.compiled()
        return Route(condition, action, name, location, _effective(http.fault), operations)

    def _forward(self, http: HttpRoute, path: PathMatch | None, namespace: str, port: int) -> Forward:
        # Only a rewrite of the path depends on how it was matched.
        key = (http, port, path if http.rewrite is not None and http.rewrite.uri else None)
        forward = self._forwards.get(key)
        if forward is None:
            targets = self._targets.get((http, port))
            if targets is None:
                targets = self._targets[http, port] = self._resolve(http, namespace, port)
            retries = (http.retries or self._retries).compiled(targets.avoid_previous_hosts)
            single = len(http.destinations) == 1
            forward = self._forwards[key] = Forward(
                tuple(_weighted(http, it, cluster, path, single) for it, cluster in targets.destinations),
                tuple(it.key for it in targets.keys.keys),
                retries,
                http.timeout,
                targets.mirrors,
                http.cors,
                tuple(it.origin for it in targets.keys.keys),
                targets.keys.reject_status,
                targets.sticky,
                targets.persistent,
            )
        return forward

    def _resolve(self, http: HttpRoute, namespace: str, port: int) -> _Targets:
        single = len(http.destinations) == 1
        destinations = []
        keys = KeyCollector()
        blocks: list[Blocks] = []
        avoid_previous_hosts = True
        for entry in http.destinations:
            if not single and not entry.weight:
                continue
            resolved = self._clusters.resolve(entry.destination, namespace, port)
            destinations.append((entry, resolved.cluster))
            if resolved.key is not None:
                # Even a consistentHash without a key: it is the block that counts.
                avoid_previous_hosts = not single
            keys.add(resolved.key, resolved.policy_keys)
            blocks.append(resolved.blocks)
        mirrors = tuple(
            Mirror(self._clusters.resolve(destination, namespace, port).cluster, share)
            for destination, share in http.mirrored()
        )
        return _Targets(
            tuple(destinations),
            mirrors,
            keys.collected(),
            bool(blocks) and all(it.is_sticky for it in blocks),
            any(it.persistence is not None for it in blocks),
            avoid_previous_hosts,
        )


def _weighted(
    http: HttpRoute, entry: RouteDestination, cluster: str, path: PathMatch | None, single: bool
) -> WeightedDestination:
    headers = http.headers or NO_HEADERS
    authority = headers.authority or entry.headers.authority
    rewrite: Rewrite | None = (http.rewrite or _NO_REWRITE).compiled(path, authority)
    return WeightedDestination(
        cluster,
        entry.weight or 1,
        combined(headers, entry.headers, single, _request),
        combined(headers, entry.headers, single, _response),
        rewrite,
    )


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
