"""Services, ports and workloads that nothing can reach, though each looks right by itself."""

from __future__ import annotations

from collections.abc import Mapping

from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.findings import Findings
from meshproxy.config.labelled import Labelled
from meshproxy.config.names import is_visible
from meshproxy.config.service_entry import EntryPort, Resolution, ServiceEntry
from meshproxy.config.workload import WorkloadEntry


def warn_of_services(compiled: Compiled, findings: Findings) -> None:
    """Report what of the services and workloads is lost."""
    entries = [it for it in compiled.objects.service_entries if it.metadata not in compiled.faulty]
    _warn_of_short_hosts(entries, findings)
    _warn_of_lost_ports(entries, findings)
    _warn_of_protocols(entries, compiled, findings)
    _warn_of_slices(compiled, findings)
    _warn_of_workloads(entries, compiled, findings)


def _warn_of_short_hosts(entries: list[ServiceEntry], findings: Findings) -> None:
    for entry in entries:
        for host, place in entry.hosts:
            if "." not in host:
                message = (
                    f"no destination can reach host {host}: there the name means"
                    f" {host}.{entry.metadata.namespace}.svc.cluster.local, here it does not"
                )
                findings.warning(place, message, "give it a name with a dot")


def _warn_of_lost_ports(entries: list[ServiceEntry], findings: Findings) -> None:
    first: dict[tuple[str, str], ServiceEntry] = {}
    for entry in entries:
        lost: dict[EntryPort, tuple[str, ServiceEntry]] = {}
        for host, _ in entry.hosts:
            owner = first.setdefault((entry.metadata.namespace, host), entry)
            if owner is not entry:
                numbers = {port.number for port in owner.ports}
                lost.update({port: (host, owner) for port in entry.ports if port.number not in numbers})
        for port, (host, owner) in lost.items():
            message = f"port {port.number} has no effect for {host}: only the ports of {owner.metadata} count"
            findings.warning(port.location, message, f"see {owner.metadata.location}")


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


def _warn_of_workloads(entries: list[ServiceEntry], compiled: Compiled, findings: Findings) -> None:
    objects = compiled.objects
    if "ServiceEntry" in objects.broken:
        return
    by_namespace: dict[str, list[WorkloadEntry]] = {}
    for workload in objects.workloads:
        by_namespace.setdefault(workload.metadata.namespace, []).append(workload)
    selectors: dict[str, list[Mapping[str, str]]] = {}
    for entry in entries:
        if entry.selector is not None and entry.resolution is not Resolution.NONE:
            selectors.setdefault(entry.metadata.namespace, []).append(entry.selector)
    for namespace, workloads in by_namespace.items():
        labelled = Labelled(workloads, lambda it: it.workload.labels.items())
        for workload in labelled.without_any(selectors.get(namespace, ())):
            message = f"{workload.metadata} has no effect: no ServiceEntry of its namespace selects it"
            hint = "a workloadSelector has to have no other labels than it has"
            findings.warning(workload.metadata.location, message, hint)
