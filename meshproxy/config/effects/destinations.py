"""Destinations that are looked at nowhere else, and those that depend on the port of the gateway without saying so."""

from __future__ import annotations

from meshproxy.config.destinations import Destination
from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.findings import Findings
from meshproxy.config.virtual_service import VirtualService


def warn_of_destinations(compiled: Compiled, findings: Findings) -> None:
    """Report what destinations lack, and which name no port of a service that has several."""
    active = set(compiled.active)
    resolved = compiled.clusters.resolved
    for service in compiled.objects.virtual_services:
        if service.metadata in compiled.faulty or not (service in active or service.is_meshed):
            continue
        for destination in service.destinations:
            if destination not in resolved:
                _check(destination, service, compiled)
    # Where the service does not have the port of the gateway, that has been said by now.
    said = {finding.location for finding in findings.diagnostics if finding.code == "IST0101"}
    for service in compiled.active:
        for destination in service.destinations:
            if destination.port is not None:
                continue
            target, _ = compiled.target(destination.host, service.metadata.namespace)
            if target is not None and len(target.ports) > 1 and destination.location not in said:
                ports = ", ".join(map(str, sorted(target.ports)))
                message = f"{destination.host} has the ports {ports}: the one with the number of the gateway's is used"
                findings.warning(destination.location, message, "say which: port: {number: N}", "IST0112")


def _check(destination: Destination, service: VirtualService, compiled: Compiled) -> None:
    """One with weight 0, of a route that is never reached, or of sidecars, which may see what this proxy does not."""
    if service.is_meshed and compiled.services.is_hidden(destination.host):
        return
    found = compiled.services.find(destination.host, service.metadata.namespace)
    port = next(iter(found.ports), 0) if found is not None else 0
    compiled.clusters.check(destination, service.metadata.namespace, port)
