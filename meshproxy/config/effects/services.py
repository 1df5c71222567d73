"""Services, ports and slices that nothing can reach, though each looks right by itself."""

from __future__ import annotations

from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.findings import Findings
from meshproxy.config.names import complete_host, is_visible
from meshproxy.config.service_entry import EntryPort, ServiceEntry
from meshproxy.config.services import Service


def warn_of_services(compiled: Compiled, findings: Findings) -> None:
    """Report what of the services is lost."""
    entries = [it for it in compiled.objects.service_entries if it.metadata not in compiled.faulty]
    _warn_of_short_hosts(entries, compiled.identity.cluster_domain, findings)
    _warn_of_lost_parts(entries, findings)
    _warn_of_overruled(compiled, findings)
    _warn_of_protocols(entries, compiled, findings)
    _warn_of_slices(compiled, findings)


def _warn_of_short_hosts(entries: list[ServiceEntry], cluster_domain: str, findings: Findings) -> None:
    for entry in entries:
        for host, place in entry.hosts:
            if "." not in host:
                message = (
                    f"no destination can reach host {host}: there the name means"
                    f" {complete_host(host, entry.metadata.namespace, cluster_domain)}, here it does not"
                )
                findings.warning(place, message, "give it a name with a dot")


def _warn_of_lost_parts(entries: list[ServiceEntry], findings: Findings) -> None:
    """Ports, and a resolution, beside those of an older entry for the same host."""
    first: dict[tuple[str, str], ServiceEntry] = {}
    for entry in entries:
        lost: dict[EntryPort, tuple[str, ServiceEntry]] = {}
        for host, place in entry.hosts:
            owner = first.setdefault((entry.metadata.namespace, host), entry)
            if owner is entry:
                continue
            numbers = {port.number for port in owner.ports}
            lost.update({port: (host, owner) for port in entry.ports if port.number not in numbers})
            if entry.resolution is not owner.resolution:
                message = (
                    f"resolution {entry.resolution.value} has no effect for {host}:"
                    f" that of {owner.metadata}, {owner.resolution.value}, counts"
                )
                findings.warning(place, message, f"see {owner.location}")
        for port, (host, owner) in lost.items():
            message = f"port {port.number} has no effect for {host}: only the ports of {owner.metadata} count"
            findings.warning(port.location, message, f"see {owner.metadata.location}")


def _warn_of_overruled(compiled: Compiled, findings: Findings) -> None:
    """Services to the host of which routes lead, but to another service with the same host."""
    chosen: dict[str, dict[Service, None]] = {}
    shared = {host for host in compiled.services.hosts if len(compiled.services.all(host)) > 1}
    for virtual_service in compiled.active if shared else ():
        for host in sorted(virtual_service.destination_hosts & shared):
            service, _ = compiled.target(host, virtual_service.metadata.namespace)
            if service is not None:
                chosen.setdefault(host, {})[service] = None
    for host, services in chosen.items():
        winner = next(iter(services))
        for service in compiled.services.all(host):
            if service not in services and service.metadata not in compiled.faulty:
                message = f"{service.metadata} gets no request for {host}: all routes to it lead to {winner.metadata}"
                findings.warning(service.metadata.location, message, f"see {winner.metadata.location}")


def _warn_of_protocols(entries: list[ServiceEntry], compiled: Compiled, findings: Findings) -> None:
    by_host: dict[str, list[ServiceEntry]] = {}
    for entry in entries:
        if is_visible(entry.export_to, compiled.identity.namespace):
            for host in dict.fromkeys(host for host, _ in entry.hosts):
                by_host.setdefault(host, []).append(entry)
    said: set[EntryPort] = set()
    # Hosts of the same entries say the same.
    groups = {tuple(map(id, sharing)): (host, sharing) for host, sharing in reversed(by_host.items())}
    for host, sharing in groups.values():
        first: dict[int, EntryPort] = {}
        for port in (port for entry in sharing if len(sharing) > 1 for port in entry.ports):
            other = first.setdefault(port.number, port)
            if other.protocol != port.protocol and port not in said:
                said.add(port)
                protocols = f"{port.protocol or 'of no protocol'} here and {other.protocol or 'of none'} elsewhere"
                message = f"port {port.number} of {host} is {protocols}"
                findings.warning(port.location, message, f"see {other.location}", "IST0177")


def _warn_of_slices(compiled: Compiled, findings: Findings) -> None:
    objects = compiled.objects
    if "Service" in objects.broken:
        return
    services = {(it.metadata.namespace, it.metadata.name): it for it in objects.services}
    for entry in (*objects.slices, *objects.endpoints):
        service = services.get((entry.metadata.namespace, entry.service))
        if service is None:
            message = f"{entry.metadata} has no effect: there is no Service {entry.service} in its namespace"
            findings.warning(entry.metadata.location, message)
        elif entry.ports and service.ports and not {port.name for port in service.ports} & set(entry.ports):
            names = ", ".join(repr(port.name) for port in service.ports)
            message = f"{entry.metadata} has no effect: none of its ports has the name of a port of {service.metadata}"
            findings.warning(entry.metadata.location, message, f"the names there are {names}")
