"""Findings of ``istioctl analyze`` about virtual services that sidecars look at and a gateway does not."""

from __future__ import annotations

from collections.abc import Iterator

from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.findings import Findings
from meshproxy.config.names import EVERYWHERE
from meshproxy.config.virtual_service import VirtualService

_ANY = ""
_MOST_COMPARED = 200_000  # pairs of a host and a namespace


def warn_of_sidecars(compiled: Compiled, findings: Findings) -> None:
    """Report rules that sidecars cannot tell apart, and rules that only sidecars follow although it hardly looks so."""
    meshed = [service for service in compiled.objects.virtual_services if service.is_meshed]
    _warn_of_common_hosts(list(meshed), findings)
    _warn_of_bypassed(meshed, compiled, findings)


def _warn_of_common_hosts(meshed: list[VirtualService], findings: Findings) -> None:
    """Of hosts that are the same or that a wildcard covers, as far as some namespace sees both.

    Of a very large configuration not all are compared.
    """
    first: dict[tuple[str, str], VirtualService] = {}
    for number, service in enumerate(meshed):
        for host, _ in service.hosts:
            for namespace in (_ANY, *service.export_to):
                first.setdefault((host, namespace), service)
        if len(first) > _MOST_COMPARED:
            del meshed[number + 1 :]
            break
    for service in meshed:
        for host, place in service.hosts:
            same = _another(first, service, host)
            if same is not None:
                # The older one is told nothing: one finding for both is enough.
                if same.metadata.age < service.metadata.age:
                    message = f"{same.metadata} has host {host} too; a sidecar follows only one of the two"
                    findings.warning(place, message, f"see {same.metadata.location}", "IST0109")
                continue
            for wildcard in _wildcards(host):
                other = _another(first, service, wildcard)
                if other is not None:
                    message = (
                        f"host {host} is one of {wildcard} of {other.metadata}; a sidecar follows only one of the two"
                    )
                    findings.warning(place, message, f"see {other.metadata.location}", "IST0109")
                    break


def _another(first: dict[tuple[str, str], VirtualService], service: VirtualService, host: str) -> VirtualService | None:
    """The first virtual service but for this one that has a host and is seen where this one is."""
    # What all namespaces see meets everything, and everything meets it.
    namespaces = (_ANY,) if EVERYWHERE in service.export_to else (EVERYWHERE, *sorted(service.export_to))
    found = (first.get((host, namespace)) for namespace in namespaces)
    return next((it for it in found if it is not None and it is not service), None)


def _wildcards(host: str) -> Iterator[str]:
    """The wildcards that cover a host, the narrowest first."""
    dot = host.find(".", 2 if host.startswith("*.") else 0)
    while dot >= 0:
        yield f"*{host[dot:]}"
        dot = host.find(".", dot + 1)
    if host != "*":
        yield "*"


def _warn_of_bypassed(meshed: list[VirtualService], compiled: Compiled, findings: Findings) -> None:
    by_subset: dict[str, VirtualService] = {}
    for service in meshed:
        if any(entry.destination.subset for route in service.http for entry in route.destinations):
            for host, _ in service.hosts:
                by_subset.setdefault(host, service)
    if not by_subset:
        return
    for service in compiled.active:
        for destination in (it.destination for route in service.http for it in route.destinations):
            other = by_subset.get(destination.host)
            if other is not None and other is not service and not destination.subset:
                message = (
                    f"requests go to {destination.host} past {other.metadata}, which chooses subsets of it:"
                    " only sidecars follow that"
                )
                hint = f"name the subset here; see {other.metadata.location}"
                findings.warning(destination.location, message, hint, "IST0140")
