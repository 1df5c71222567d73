"""Routes that no request comes to, since all of their hosts are redirected to https."""

from __future__ import annotations

from collections.abc import Sequence

from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.findings import Findings
from meshproxy.config.virtual_service import VirtualService
from meshproxy.errors import Location
from meshproxy.routes import Redirect, Route

_HINT = "behind a proxy that ends TLS, numTrustedProxies of the Mesh document lets its requests through"


def warn_of_redirected(compiled: Compiled, findings: Findings) -> None:
    """Report routes that stand behind a redirect that takes every request wherever they are; at once if all do."""
    if compiled.objects.mesh.settings.trusted_proxies or "Gateway" in compiled.objects.broken:
        return
    lists = [(_redirect(routes), routes) for routes in compiled.route_lists]
    if all(place is None for place, _ in lists):
        return
    reached: set[Location] = set()
    redirected: dict[Location, Location] = {}
    for place, routes in lists:
        served = [it.location for it in routes if it.location is not None and it.location != place]
        if place is None:
            reached.update(served)
        else:
            redirected.update((location, place) for location in served if location not in redirected)
    owners = compiled.owners
    serving = {owners[location] for location in reached if location in owners}
    told: set[VirtualService] = set()
    for location, place in redirected.items():
        owner = owners.get(location)
        if owner is None or location in reached or owner in told or owner.metadata in compiled.faulty:
            continue
        if owner in serving:
            message = "no request reaches this: all that would are redirected to https"
            findings.warning(location, message, f"see {place}; {_HINT}")
        else:
            told.add(owner)
            message = f"{owner.metadata} has no effect: all requests for its hosts are redirected to https"
            findings.warning(owner.metadata.location, message, f"see {place}; {_HINT}")


def _redirect(routes: Sequence[Route]) -> Location | None:
    """Where the server stands that redirects a host with these routes to https; None if none does.

    Only that keeps ports.
    """
    first = routes[0] if routes else None
    if first is None or not isinstance(first.action, Redirect) or not first.action.keep_port:
        return None
    return first.location
