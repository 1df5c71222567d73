"""Routes that no request reaches, because earlier ones take all that they ask for.

Three times: for each virtual service as it is written, with the codes of ``istioctl analyze``; for each with the routes
of its delegates; and for each host of a table, where the routes of several virtual services are joined.
"""

from __future__ import annotations

from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.effects.covering import ANYWHERE, Budget, Coverage, Scope
from meshproxy.config.effects.joined import Owners, owners_of_routes, warn_across
from meshproxy.config.effects.virtual_services import reason_against
from meshproxy.config.findings import Findings
from meshproxy.config.http_match import Match
from meshproxy.config.http_route import HttpRoute
from meshproxy.config.virtual_service import VirtualService
from meshproxy.errors import Location
from meshproxy.routes import RouteMatch

_WHOLE_ROUTE = "IST0130"
_ONE_MATCH = "IST0131"
_EVERYTHING = [(RouteMatch(), ANYWHERE)]


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
    _warn_at_places(compiled, budget, said, findings)
    _warn_behind_delegates(compiled, budget, said, findings)
    warn_across(compiled, budget, said, findings)


def _is_known(service: VirtualService, compiled: Compiled, budget: Budget) -> bool:
    """Whether the load before found everything reachable; the comparisons that it took are made again, so to speak."""
    kept = compiled.memory.reachable
    spent = kept.before.get(service)
    if spent is None:
        return False
    budget.left -= spent
    kept.now[service] = spent
    return True


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
            scope = _scope(match, gateways) if service.narrowed else ANYWHERE
            earlier = _placed(coverage, route, match.compiled(), match.location, scope)
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


def _warn_at_places(compiled: Compiled, budget: Budget, said: set[Location], findings: Findings) -> None:
    """Report what is reached at none of the gateways and ports that there are, by conditions on these."""
    for service in compiled.active:
        if service.metadata in compiled.faulty or all(match.everywhere for it in service.http for match in it.matches):
            continue
        covered: dict[Location, tuple[HttpRoute, Location]] = {}
        reached: set[Location] = set()
        for place in compiled.places_of(service):
            coverage: Coverage[Location] = Coverage(budget)
            for route in service.http:
                blocks = [it for it in route.matches if reason_against(it, {place}, compiled) is None]
                if route.matches and not blocks:
                    continue
                conditions = [it.compiled() for it in blocks] or [RouteMatch()]
                earlier = [_placed(coverage, route, it, route.location, ANYWHERE) for it in conditions]
                if any(it is None for it in earlier):
                    reached.add(route.location)
                else:
                    covered[route.location] = (route, earlier[-1] or route.location)
        for location, (route, first) in covered.items():
            if location not in reached and location not in said:
                said.update((location, *(match.location for match in route.matches)))
                message = (
                    "this route is never reached: at each port and gateway here, earlier ones take all its requests"
                )
                findings.warning(location, message, f"see {first}")


def _warn_behind_delegates(compiled: Compiled, budget: Budget, said: set[Location], findings: Findings) -> None:
    """Report what of virtual services with delegates is never reached, but for what is in ``said``.

    Routes of a delegate are reported where that is so for all virtual services that delegate to it.
    """
    roots = compiled.memory.delegating.now.values()
    if not roots:
        return
    owners = owners_of_routes(compiled)
    covered: dict[Location, tuple[HttpRoute, Location]] = {}
    reached: set[Location] = set()
    for root in roots:
        if root.metadata not in compiled.faulty:
            for route, earlier in _routes_of(root, budget):
                if earlier is None:
                    reached.add(route.location)
                else:
                    covered.setdefault(route.location, (route, earlier))
    for place, (route, earlier) in covered.items():
        if place not in reached and place not in said and _is_of_another(place, earlier, owners, compiled):
            said.add(place)
            said.update(match.location for match in route.matches)
            message = f"this route is never reached: {owners[earlier].metadata} is before it and takes all its requests"
            findings.warning(place, message, f"see {earlier}", _WHOLE_ROUTE)


def _is_of_another(place: Location, earlier: Location, owners: Owners, compiled: Compiled) -> bool:
    owner, winner = owners.get(place), owners.get(earlier)
    return (
        owner is not None
        and winner is not None
        and owner is not winner
        and not {owner.metadata, winner.metadata} & compiled.faulty
    )


def _routes_of(root: VirtualService, budget: Budget) -> list[tuple[HttpRoute, Location | None]]:
    """The routes, each with the place of one that takes all requests of its last block; None if it is reached."""
    coverage: Coverage[Location] = Coverage(budget)
    gateways = frozenset(reference.name for reference in root.gateways)
    found = []
    for route in root.http:
        blocks: list[tuple[RouteMatch, Scope]] = _EVERYTHING
        if route.matches:
            blocks = [(match.compiled(), _scope(match, gateways)) for match in route.matches]
        earlier = [coverage.add(condition, route.location, scope) for condition, scope in blocks]
        # A block that an earlier one of the same route covers says nothing about the route.
        reached = any(place is None for place in earlier)
        found.append((route, None if reached else earlier[-1]))
    return found
