"""Routes that no request reaches where those of several virtual services are joined for a host.

A virtual service with a wildcard has its routes in the lists of all narrower hosts of a gateway, too. That they come to
nothing in one of those is how a wildcard is meant, so it is told only of routes that come to nothing everywhere. A host
that a virtual service names itself is another matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from meshproxy.config.effects.compiled import Compiled, Owners
from meshproxy.config.effects.covering import Budget, Coverage
from meshproxy.config.findings import Findings
from meshproxy.config.virtual_service import VirtualService
from meshproxy.errors import Location, Origin
from meshproxy.routes import Route, VirtualHost

_AT_ONCE = 100  # places or hosts that take as long as one comparison


@frozen(eq=False)
class _Overruled:
    """A route and one that is before it and takes all of its requests; ``hosts`` are those where that is so."""

    owner: VirtualService
    winner: VirtualService
    earlier: Location
    hosts: dict[str, None] = field(factory=dict)


def warn_across(compiled: Compiled, budget: Budget, said: set[Location], findings: Findings) -> None:
    """Report routes that lose to those of another virtual service, but for those in ``said``."""
    joined = _joined(compiled)
    if not joined:
        return
    owners = compiled.owners
    overruled: dict[Location, _Overruled] = {}
    lost: dict[int, set[Location]] = {}
    for together in joined:
        covered = _covered(together[0], owners, budget)
        missing = set(covered)
        lost.update((id(host), missing) for host in together)
        for place, earlier in covered.items():
            owner, winner = owners.get(place), owners.get(earlier)
            if owner is None or winner is None or owner is winner or place in said:
                continue
            if not {owner.metadata, winner.metadata} & compiled.faulty:
                if not budget.spend(1 + len(together) // _AT_ONCE):
                    return
                found = overruled.setdefault(place, _Overruled(owner, winner, earlier))
                found.hosts.update(dict.fromkeys(host.host for host in together))
    if overruled:
        reached = _reached(compiled, lost, overruled, budget)
        for place, found in overruled.items() if reached else ():
            hosts = _hosts_worth_telling(found, reached[place])
            if hosts:
                said.add(place)
                _warn(place, found, hosts, findings)


def _hosts_worth_telling(found: _Overruled, reached: set[str]) -> list[str]:
    """The hosts of which is to be told that a route is not reached; ``reached`` are those where it is."""
    named = {host.lower() for host, _ in found.owner.hosts}
    hosts = [host for host in found.hosts if host not in reached]
    return hosts if not reached else [host for host in hosts if host in named]


def _warn(place: Location, found: _Overruled, hosts: Sequence[str], findings: Findings) -> None:
    more = f" and {len(hosts) - 1} more" if len(hosts) > 1 else ""
    message = (
        f"no request for host {hosts[0]}{more} reaches this: {found.winner.metadata} is before it"
        " and takes all that it matches"
    )
    findings.warning(place, message, f"see {found.earlier}")


def _joined(compiled: Compiled) -> list[list[VirtualHost]]:
    """The virtual hosts, those with the same routes together, that may have routes of several virtual services."""
    once: set[Origin] = set()
    several: set[Origin] = set()
    for service in compiled.objects.virtual_services:
        origin = service.metadata.location.origin
        (several if origin in once else once).add(origin)
    found = []
    for table in compiled.tables:
        same: dict[int, list[VirtualHost]] = {}
        for host in table.virtual_hosts:
            same.setdefault(id(host.routes), []).append(host)
        lists: dict[tuple[Route, ...], list[VirtualHost]] = {}
        for hosts in same.values():
            lists.setdefault(hosts[0].routes, []).extend(hosts)
        for hosts in lists.values():
            # Of those of servers, which redirect to https, none are told.
            origins = once.intersection(
                [route.location.origin for route in hosts[0].routes if route.location is not None]
            )
            if len(origins) > 1 or origins & several:
                found.append(hosts)
    return found


def _covered(host: VirtualHost, owners: Owners, budget: Budget) -> dict[Location, Location]:
    """The places of routes that are not reached, with those of the first ones that take all of their requests."""
    routes = [(route, route.location) for route in host.routes if route.location is not None]
    if len({id(owners.get(place)) for _, place in routes}) < 2:
        return {}
    coverage: Coverage[Location] = Coverage(budget)
    found = {}
    for route, place in routes:
        earlier = coverage.add(route.match, place)
        if earlier is not None:
            found[place] = earlier
    return found


def _reached(
    compiled: Compiled, lost: Mapping[int, set[Location]], overruled: Mapping[Location, _Overruled], budget: Budget
) -> dict[Location, set[str]]:
    """For each of the places the hosts at which a request comes there after all, at whatever port.

    Nothing if there are so many that it is too much to tell.
    """
    found: dict[Location, set[str]] = {place: set() for place in overruled}
    interesting = {id(routes): _of_interest(routes, overruled) for routes in compiled.route_lists}
    for table in compiled.tables:
        for host in table.virtual_hosts:
            missing = lost.get(id(host), ())
            places = interesting[id(host.routes)]
            if not budget.spend(len(places) // _AT_ONCE):
                return {}
            for place in places:
                if place not in missing:
                    found[place].add(host.host)
    return found


def _of_interest(routes: Sequence[Route], overruled: Mapping[Location, _Overruled]) -> list[Location]:
    return [route.location for route in routes if route.location is not None and route.location in overruled]
