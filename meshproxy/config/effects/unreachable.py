"""Routes that no request reaches, because earlier ones take all that they ask for.

Four times: for each virtual service as it is written, with the codes of ``istioctl analyze``; for each at the gateways
and ports that there are, and for each with the routes of its delegates; and for each host of a table, where the routes
of several virtual services are joined.
"""

from __future__ import annotations

from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.effects.covering import ANYWHERE, Budget, Coverage, Scope
from meshproxy.config.effects.joined import warn_across
from meshproxy.config.effects.virtual_services import reason_against
from meshproxy.config.findings import Findings
from meshproxy.config.http_match import Match
from meshproxy.config.http_route import HttpRoute
from meshproxy.config.virtual_service import VirtualService
from meshproxy.errors import Location
from meshproxy.routes import RouteMatch

_WHOLE_ROUTE = "IST0130"
_ONE_MATCH = "IST0131"
_AT_EACH_PLACE = "at each port and gateway here, earlier ones take all of its requests"

_Block = tuple[Location, Location]
"""Where a route stands, and where one of its match blocks does: the route itself where it has none."""


def warn_of_unreachable(compiled: Compiled, findings: Findings) -> None:
    """Report all routes and match blocks that are never reached."""
    said: set[Location] = set()
    budget = Budget()
    used = _used_delegates(compiled)
    for service in compiled.objects.virtual_services:
        if service.metadata in compiled.faulty or service.metadata.qualified in used:
            continue
        if not _is_known(service, compiled, budget):
            before, left = len(said), budget.left
            _warn_within(service, budget, said, findings)
            if len(said) == before and budget.left > 0:
                compiled.memory.reachable.now[service] = left - budget.left
    _warn_at_places(compiled, budget, said, findings)
    _warn_of_delegated(compiled, budget, said, findings)
    warn_across(compiled, budget, said, findings)


def _used_delegates(compiled: Compiled) -> set[str]:
    """The qualified names of virtual services that others delegate to, which are looked at together with those."""
    roots = compiled.memory.delegating.now
    return {route.delegate.qualified for root in roots for route in root.http if route.delegate is not None}


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
    """What a block asks of the gateway; ``gateways`` are those of its virtual service, none for a delegate."""
    if match.everywhere:
        return ANYWHERE
    anyway = match.gateways is not None and bool(gateways) and gateways <= match.gateways
    asked = None if anyway else match.gateways
    return Scope(match.port, asked, frozenset(match.source_labels.items()), match.source_namespace)


def _warn_at_places(compiled: Compiled, budget: Budget, said: set[Location], findings: Findings) -> None:
    """Report what is reached at none of the gateways and ports that there are, by conditions on these."""
    for service in compiled.active:
        if not service.narrowed or service.metadata in compiled.faulty:
            continue
        covered: dict[Location, Location] = {}
        reached: set[Location] = set()
        for place in sorted(compiled.places_of(service)):
            coverage: Coverage[Location] = Coverage(budget)
            for route in service.http:
                blocks = [it for it in route.matches if reason_against(it, {place}, compiled) is None]
                conditions = [(it.location, it.compiled()) for it in blocks]
                for location, condition in conditions if route.matches else [(route.location, RouteMatch())]:
                    earlier = _placed(coverage, route, condition, location, ANYWHERE)
                    if earlier is None:
                        reached.add(location)
                    else:
                        covered.setdefault(location, earlier)
        for route in service.http:
            locations = [it.location for it in route.matches] or [route.location]
            lost = [it for it in locations if it in covered and it not in reached]
            if not lost or said.issuperset((route.location, *lost)):
                continue
            if reached.isdisjoint(locations):
                findings.warning(
                    route.location, f"this route is never reached: {_AT_EACH_PLACE}", f"see {covered[lost[0]]}"
                )
                said.update((route.location, *locations))
                continue
            for location in lost:
                if location not in said:
                    said.add(location)
                    findings.warning(
                        location, f"this match has no effect: {_AT_EACH_PLACE}", f"see {covered[location]}"
                    )


def _warn_of_delegated(compiled: Compiled, budget: Budget, said: set[Location], findings: Findings) -> None:
    """Report what is never reached in virtual services with the routes of their delegates.

    Of a delegate that is what no virtual service reaches: what is left out in one may be before it in another.
    """
    roots = [it for it in compiled.memory.delegating.now.values() if it.metadata not in compiled.faulty]
    if not roots:
        return
    owners = compiled.owners
    covered: dict[_Block, Location] = {}
    reached: set[_Block] = set()
    blocks: dict[Location, dict[_Block, None]] = {}
    for root in roots:
        coverage: Coverage[Location] = Coverage(budget)
        gateways = frozenset(reference.name for reference in root.gateways)
        for route in root.http:
            conditions = [(it.location, it.compiled(), _scope(it, gateways)) for it in route.matches]
            for location, condition, scope in conditions or [(route.location, RouteMatch(), ANYWHERE)]:
                block = (route.location, location)
                blocks.setdefault(route.location, {})[block] = None
                earlier = coverage.add(condition, location, scope)
                if earlier is None:
                    reached.add(block)
                else:
                    covered.setdefault(block, earlier)
    for place, found in blocks.items():
        owner = owners.get(place)
        lost = [it for it in found if it not in reached]
        if owner is None or owner.metadata in compiled.faulty or not lost or place in said:
            continue
        if len(lost) == len(found):
            said.update((place, *(location for _, location in lost)))
            winner = owners.get(covered[lost[0]], owner)
            who = "earlier ones take" if winner is owner else f"{winner.metadata} is before it and takes"
            message = f"this route is never reached: {who} all of its requests"
            findings.warning(place, message, f"see {covered[lost[0]]}", _WHOLE_ROUTE)
            continue
        for block in lost:
            location = block[1]
            if location not in said and owners.get(location) is owner:
                said.add(location)
                message = "this match has no effect: an earlier one takes all of its requests"
                findings.warning(location, message, f"see {covered[block]}", _ONE_MATCH)
