"""Delegation: routes of a virtual service that are filled in from another one, which has no hosts of its own.

Source: Istio's merging of virtual services. Each route of the delegate is narrowed by the match of the root's route. A
condition that is in both is in conflict unless the delegate's is certainly the narrower one; where no block of the root
goes together with a block of the delegate's route, that route is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from attrs import evolve

from meshproxy.config.diagnostics import suggest
from meshproxy.config.findings import Findings
from meshproxy.config.http_match import Match
from meshproxy.config.http_route import DelegateReference, HttpRoute
from meshproxy.config.memory import Memory
from meshproxy.config.names import is_visible
from meshproxy.config.virtual_service import VirtualService
from meshproxy.errors import ConfigError
from meshproxy.routes import Comparison, PathMatch, TextMatch

MOST_PAIRS = 100_000
"""Of a block of a root and one of its delegate, all delegations together."""

_V = TypeVar("_V")
_Text = TextMatch | PathMatch | None


def resolve(
    services: Iterable[VirtualService],
    active: Collection[VirtualService],
    complete: bool,
    findings: Findings,
    memory: Memory,
) -> list[VirtualService]:
    """The virtual services with all routes in place of those that delegate.

    What is wrong with a delegation is said where its virtual service is ``active``. ``complete``: there are no others
    than ``services``, so one that is missing does not exist.
    """
    known = {service.metadata.qualified: service for service in services}
    speaking = set(active)
    used: set[str] = set()
    found = []
    _check_pairs(known)
    for root in known.values():
        if not root.hosts or all(route.delegate is None for route in root.http):
            found.append(root)
            continue
        said = findings if root in speaking else Findings()
        routes: list[HttpRoute] = []
        for route in root.http:
            if route.delegate is None:
                routes.append(route)
            else:
                used.add(route.delegate.qualified)
                routes += _filled_in(root, route, route.delegate, known, complete, said, memory)
        found.append(_with_routes(root, tuple(routes), memory))
    for service in known.values():
        if complete and not service.hosts and service.metadata.qualified not in used:
            message = f"{service.metadata} has no effect: without hosts it is a delegate, and nothing delegates to it"
            findings.warning(service.metadata.location, message, "name hosts and gateways if it is none")
    return found


def _check_pairs(known: Mapping[str, VirtualService]) -> None:
    """Refuse more than can be made, before any is."""
    left = MOST_PAIRS
    for root in known.values():
        for route in root.http if root.hosts else ():
            if route.delegate is not None:
                left -= _pairs(route, known.get(route.delegate.qualified))
                if left < 0:
                    message = f"delegates come to more than {MOST_PAIRS:,} matches"
                    raise ConfigError.at(route.delegate.location, message)


def _pairs(route: HttpRoute, delegate: VirtualService | None) -> int:
    inner = () if delegate is None else delegate.http
    return max(1, len(route.matches)) * sum(max(1, len(it.matches)) for it in inner)


def _filled_in(
    root: VirtualService,
    route: HttpRoute,
    reference: DelegateReference,
    known: Mapping[str, VirtualService],
    complete: bool,
    findings: Findings,
    memory: Memory,
) -> list[HttpRoute]:
    """What comes in place of a route that delegates; nothing where there is no such delegate."""
    delegate = known.get(reference.qualified)
    if delegate is None:
        if complete:
            message = f"this route is left out: there is no VirtualService {reference.qualified}"
            candidates = [name for name, service in known.items() if not service.hosts]
            findings.warning(reference.location, message, suggest(reference.qualified, candidates))
        return []
    if delegate.hosts:
        message = f"this route is left out: {delegate.metadata} has hosts, so it is no delegate"
        findings.warning(reference.location, message, f"see {delegate.metadata.location}")
        return []
    if not is_visible(delegate.export_to, root.metadata.namespace):
        message = f"this route is left out: the exportTo of {delegate.metadata} hides it from {root.metadata.namespace}"
        findings.warning(reference.location, message, f"see {delegate.metadata.location}")
        return []
    found = []
    for inner in delegate.http:
        filled = _merged(route, inner, memory)
        if filled is None:
            message = "this route is left out here: it has a match that goes together with none of the route before it"
            findings.warning(inner.location, message, f"the route that delegates to it is at {route.location}")
        else:
            found.append(filled)
    return found


def _with_routes(root: VirtualService, routes: tuple[HttpRoute, ...], memory: Memory) -> VirtualService:
    known = memory.delegating.before.get(root)
    if known is None or known.http != routes:
        known = evolve(root, http=routes)
    memory.delegating.now[root] = known
    return known


def _merged(root: HttpRoute, inner: HttpRoute, memory: Memory) -> HttpRoute | None:
    kept, key = memory.merged, (root, inner)
    if key not in kept.now:
        kept.now[key] = kept.before[key] if key in kept.before else _joined_routes(root, inner)
    return kept.now[key]


def _joined_routes(root: HttpRoute, inner: HttpRoute) -> HttpRoute | None:
    matches = _merged_matches(root.matches, inner.matches)
    if matches is None:
        return None
    return evolve(
        inner,
        name=_joined(root.name, inner.name),
        matches=matches,
        rewrite=_either(inner.rewrite, root.rewrite),
        direct_response=_either(inner.direct_response, root.direct_response),
        timeout=_either(inner.timeout, root.timeout),
        retries=_either(inner.retries, root.retries),
        fault=_either(inner.fault, root.fault),
        mirror=_either(inner.mirror, root.mirror),
        mirror_share=_either(inner.mirror_share, root.mirror_share),
        mirror_percent=_either(inner.mirror_percent, root.mirror_percent),
        mirrors=inner.mirrors or root.mirrors,
        cors=_either(inner.cors, root.cors),
        headers=_either(inner.headers, root.headers),
    )


def _merged_matches(root: Sequence[Match], inner: Sequence[Match]) -> tuple[Match, ...] | None:
    """The blocks of both; None if a block of the delegate goes together with no block of the root."""
    if not root or not inner:
        return tuple(root or inner)
    found: list[Match] = []
    for block in inner:
        merged = [_merged_match(outer, block) for outer in root if not _conflict(outer, block)]
        if not merged:
            return None
        found += merged
    return tuple(found)


def _merged_match(root: Match, inner: Match) -> Match:
    return Match(
        inner.location,
        _joined(root.name, inner.name),
        _either(inner.uri, root.uri),
        inner.ignore_uri_case,
        _either(inner.scheme, root.scheme),
        _either(inner.method, root.method),
        _either(inner.authority, root.authority),
        {**root.headers, **inner.headers},
        {**root.without_headers, **inner.without_headers},
        {**root.query, **inner.query},
        _either(inner.port, root.port),
        _either(inner.gateways, root.gateways),
        {**root.source_labels, **inner.source_labels},
        inner.source_namespace or root.source_namespace,
    )


def _conflict(root: Match, inner: Match) -> bool:
    texts: list[tuple[_Text, _Text]] = [
        (root.uri, inner.uri),
        (root.scheme, inner.scheme),
        (root.method, inner.method),
        (root.authority, inner.authority),
    ]
    for outer, narrower in (
        (root.headers, inner.headers),
        (root.without_headers, inner.without_headers),
        (root.query, inner.query),
    ):
        texts += [(outer.get(name), text) for name, text in narrower.items()]
    return (
        any(not _goes_together(outer, narrower) for outer, narrower in texts)
        or root.ignore_uri_case != inner.ignore_uri_case
        or (root.port is not None and inner.port is not None and root.port != inner.port)
        or root.source_namespace not in ("", inner.source_namespace)
        or any(root.source_labels.get(name, value) != value for name, value in inner.source_labels.items())
        or (root.gateways is not None and inner.gateways is not None and not inner.gateways <= root.gateways)
    )


def _goes_together(root: _Text, inner: _Text) -> bool:
    if root is None or inner is None:
        return True
    if not root.value or not inner.value:
        return False  # of Istio's making: an empty text is taken for none of the kinds
    if root.comparison is Comparison.EXACT:
        return inner.comparison is Comparison.EXACT and inner.value == root.value
    if root.comparison is Comparison.PREFIX:
        narrower = (Comparison.EXACT, Comparison.PREFIX)
        return inner.comparison in narrower and inner.value.startswith(root.value)
    return False


def _joined(root: str, inner: str) -> str:
    return f"{root}-{inner}" if root and inner else root or inner


def _either(inner: _V | None, root: _V | None) -> _V | None:
    return root if inner is None else inner
