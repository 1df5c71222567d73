"""Routes that no request reaches, because earlier ones take all that they ask for.

Twice: for each virtual service as it is written, with the codes of ``istioctl analyze``; and for each host of a table,
where the routes of several virtual services are joined.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.effects.covering import ANYWHERE, Budget, Coverage, Scope
from meshproxy.config.findings import Findings
from meshproxy.config.http_match import Match
from meshproxy.config.http_route import HttpRoute
from meshproxy.config.virtual_service import VirtualService
from meshproxy.errors import Location, Origin
from meshproxy.routes import Route, RouteMatch, VirtualHost

_WHOLE_ROUTE = "IST0130"
_ONE_MATCH = "IST0131"


def warn_of_unreachable(compiled: Compiled, findings: Findings) -> None:
    """Report all routes and match blocks that are never reached."""
    said: set[Location] = set()
    budget = Budget()
    for service in compiled.objects.virtual_services:
        if service.metadata not in compiled.faulty and not _is_known(service, compiled, budget):
            before, left = len(said), budget.left
            _warn_within(service, budget, said, findings)
            if len(said) == before and budget.left > 0:
                compiled.memory.reachable.now[service] = left - budget.left
    joined = _joined(compiled)
    if joined:
        owners = {place: service for service in compiled.objects.virtual_services for place in _places(service)}
        for hosts in joined:
            _warn_across(hosts, owners, budget, said, findings)


def _is_known(service: VirtualService, compiled: Compiled, budget: Budget) -> bool:
    """Whether the load before found everything reachable; the comparisons that it took are made again, so to speak."""
    kept = compiled.memory.reachable
    spent = kept.before.get(service)
    if spent is None:
        return False
    budget.left -= spent
    kept.now[service] = spent
    return True


def _joined(compiled: Compiled) -> list[list[VirtualHost]]:
    """The virtual hosts, those with the same routes together, that may have routes of several virtual services."""
    once: set[Origin] = set()
    several: set[Origin] = set()
    for service in compiled.objects.virtual_services:
        origin = service.metadata.location.origin
        (several if origin in once else once).add(origin)
    found = []
    for table in compiled.tables:
        lists: dict[tuple[int, ...], list[VirtualHost]] = {}
        for host in table.virtual_hosts:
            lists.setdefault(tuple(map(id, host.routes)), []).append(host)
        for hosts in lists.values():
            origins = {route.location.origin for route in hosts[0].routes if route.location is not None}
            if len(origins) > 1 or origins & several:
                found.append(hosts)
    return found


def _warn_within(service: VirtualService, budget: Budget, said: set[Location], findings: Findings) -> None:
    coverage: Coverage[Location] = Coverage(budget)
    gateways = frozenset(reference.name for reference in service.gateways)
    for route in service.http:
        if not route.matches:
            earlier = _placed(coverage, route, RouteMatch(), route.location, ANYWHERE)
            if earlier is not None:
                _warn_of_route(route, [earlier], said, findings)
            continue
        covered: list[tuple[Match, Location]] = []
        for match in route.matches:
            earlier = _placed(coverage, route, match.compiled(), match.location, _scope(match, gateways))
            if earlier is not None:
                covered.append((match, earlier))
        if len(covered) == len(route.matches):
            _warn_of_route(route, [earlier for _, earlier in covered], said, findings)
            continue
        for match, earlier in covered:
            said.add(match.location)
            message = "this match has no effect: an earlier one takes all of its requests"
            findings.warning(match.location, message, f"see {earlier}", _ONE_MATCH)


def _placed(
    coverage: Coverage[Location], route: HttpRoute, condition: RouteMatch, place: Location, scope: Scope
) -> Location | None:
    """What takes all requests of a condition of a route, which is put behind the others."""
    if route.delegate is not None:  # its delegate need not take everything
        return coverage.find(condition, scope)
    return coverage.add(condition, place, scope)


def _warn_of_route(route: HttpRoute, earlier: list[Location], said: set[Location], findings: Findings) -> None:
    said.add(route.location)
    said.update(match.location for match in route.matches)
    message = "this route is never reached: earlier ones take all of its requests"
    places = " and ".join(map(str, dict.fromkeys(earlier)))
    findings.warning(route.location, message, f"see {places}", _WHOLE_ROUTE)


def _scope(match: Match, gateways: frozenset[str]) -> Scope:
    """What a block asks of the gateway; ``gateways`` are those that its virtual service is for anyway."""
    if match.everywhere:
        return ANYWHERE
    asked = match.gateways if match.gateways is None or not gateways <= match.gateways else None
    return Scope(match.port, asked, frozenset(match.source_labels.items()), match.source_namespace)


def _places(service: VirtualService) -> list[Location]:
    return [place for it in service.http for place in (it.location, *(match.location for match in it.matches))]


def _warn_across(
    hosts: list[VirtualHost],
    owners: Mapping[Location, VirtualService],
    budget: Budget,
    said: set[Location],
    findings: Findings,
) -> None:
    """Look at the routes that ``hosts`` have in common."""
    routes = [(route, owners.get(route.location)) for route in hosts[0].routes if route.location is not None]
    if len({id(owner) for _, owner in routes}) < 2:
        return
    coverage: Coverage[Route] = Coverage(budget)
    for route, owner in routes:
        earlier = coverage.add(route.match, route)
        if earlier is None or earlier.location is None or route.location in said or owner is None:
            continue
        winner = owners.get(earlier.location)
        if winner is not None and winner is not owner and route.location is not None:
            said.add(route.location)
            more = f" and {len(hosts) - 1} more" if len(hosts) > 1 else ""
            message = (
                f"no request for host {hosts[0].host}{more} reaches this: {winner.metadata} is before it"
                " and takes all that it matches"
            )
            findings.warning(route.location, message, f"see {earlier.location}")
