"""Virtual services that no request comes to, since all of their hosts are redirected to https."""

from __future__ import annotations

from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.effects.joined import owners_of_routes
from meshproxy.config.findings import Findings
from meshproxy.config.virtual_service import VirtualService
from meshproxy.errors import Location
from meshproxy.routes import Redirect, VirtualHost

_HINT = "behind a proxy that ends TLS, numTrustedProxies of the Mesh document lets its requests through"


def warn_of_redirected(compiled: Compiled, findings: Findings) -> None:
    """Report virtual services all of whose routes stand behind a redirect that takes every request."""
    if compiled.objects.mesh.settings.trusted_proxies:
        return
    redirects = {id(host): place for it in compiled.tables for host in it.virtual_hosts if (place := _redirect(host))}
    if not redirects:
        return
    owners = owners_of_routes(compiled)
    reached: set[VirtualService] = set()
    redirected: dict[VirtualService, Location] = {}
    for table in compiled.tables:
        for host in table.virtual_hosts:
            place = redirects.get(id(host))
            served = {owners[it.location] for it in host.routes if it.location is not None and it.location in owners}
            if place is None:
                reached |= served
            else:
                redirected.update((service, place) for service in served if service not in redirected)
    for service, place in redirected.items():
        if service not in reached and service.metadata not in compiled.faulty:
            message = f"{service.metadata} has no effect: all requests for its hosts are redirected to https"
            findings.warning(service.metadata.location, message, f"see {place}; {_HINT}")


def _redirect(host: VirtualHost) -> Location | None:
    """Where the server stands that redirects a host to https; None if none does. Only that keeps ports."""
    first = host.routes[0] if host.routes else None
    if first is None or not isinstance(first.action, Redirect) or not first.action.keep_port:
        return None
    return first.location
