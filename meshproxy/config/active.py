"""Which objects can have an effect at this proxy: only their settings have to be served.

A gateway for other proxies, or a virtual service for the mesh or for gateways that are not opened, may have what is not
served yet; that it has no effect is said elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from meshproxy.config.findings import Findings
from meshproxy.config.gateway import Gateway
from meshproxy.config.names import MESH, is_visible
from meshproxy.config.objects import Objects
from meshproxy.config.servers import Address, Opened
from meshproxy.config.virtual_service import VirtualService
from meshproxy.model import ProxyIdentity


def active_services(objects: Objects, opened: Iterable[Gateway], identity: ProxyIdentity) -> list[VirtualService]:
    """The virtual services that some gateway of this proxy may use.

    Where not all gateways could be read, the one that a virtual service names may be among those.
    """
    names = {gateway.metadata.qualified for gateway in opened}
    known = {gateway.metadata.qualified for gateway in objects.gateways}
    doubtful = "Gateway" in objects.broken
    return [
        service
        for service in objects.virtual_services
        if service.hosts
        and is_visible(service.export_to, identity.namespace)
        and any(it.name in names or (doubtful and it.name != MESH and it.name not in known) for it in service.gateways)
    ]


def report_unserved(
    objects: Objects,
    services: Iterable[VirtualService],
    addresses: Mapping[Address, Sequence[Opened]],
    findings: Findings,
) -> None:
    """Report what is not served of what has an effect; kinds with such an object count as broken from now on."""
    found = [diagnostic for service in services for diagnostic in service.unserved]
    if found:
        objects.broken.add("VirtualService")
    in_servers = [it for servers in addresses.values() for opened in servers for it in opened.server.unserved]
    if in_servers:
        objects.broken.add("Gateway")
    findings.diagnostics += found + in_servers
