"""Warnings about objects that load and do nothing: the "silently" of Istio, said aloud.

Codes are those of ``istioctl analyze`` for the same finding.
"""

from __future__ import annotations

from meshproxy.config.destination_rule import DestinationRule
from meshproxy.config.diagnostics import suggest
from meshproxy.config.findings import Findings
from meshproxy.config.gateway import Gateway
from meshproxy.config.names import MESH, is_visible, is_within
from meshproxy.config.objects import Objects
from meshproxy.config.rules import MergedRule, Rules, warn_of_lost_parts
from meshproxy.config.services import Services
from meshproxy.config.virtual_hosts import VirtualHosts
from meshproxy.config.virtual_service import VirtualService
from meshproxy.model import ProxyIdentity


def warn_of_no_effect(
    objects: Objects,
    services: Services,
    rules: Rules,
    virtual_hosts: VirtualHosts,
    identity: ProxyIdentity,
    findings: Findings,
) -> None:
    """Report what has no effect, after all tables of ``virtual_hosts`` were made."""
    labels = dict(identity.labels)
    for gateway in objects.gateways:
        if not gateway.selector.items() <= labels.items():
            missing = ", ".join(f"{key}={value}" for key, value in sorted(gateway.selector.items() - labels.items()))
            message = f"{gateway.metadata} is not opened: its selector asks for labels that this proxy does not have"
            findings.warning(gateway.metadata.location, message, f"it does not have {missing}", "IST0101")
    _warn_of_virtual_services(objects, virtual_hosts, identity, findings)
    if not objects.broken & {"Service", "ServiceEntry"}:
        _warn_of_rules(objects.destination_rules, services, rules, identity, findings)


def _warn_of_virtual_services(
    objects: Objects, virtual_hosts: VirtualHosts, identity: ProxyIdentity, findings: Findings
) -> None:
    gateways = {gateway.metadata.qualified: gateway for gateway in objects.gateways}
    for service in objects.virtual_services:
        place = service.metadata.location
        if not service.hosts:
            if "VirtualService" not in objects.broken:
                findings.warning(place, "a VirtualService without hosts is a delegate, and nothing delegates to it")
        elif all(reference.name == MESH for reference in service.gateways):
            hint = "name the Gateway in spec.gateways"
            findings.warning(place, f"{service.metadata} is for sidecars only and has no effect at a gateway", hint)
        elif not is_visible(service.export_to, identity.namespace):
            message = f"{service.metadata} has no effect: its exportTo hides it from namespace {identity.namespace}"
            findings.warning(place, message)
        elif "Gateway" not in objects.broken:
            _warn_of_references(service, gateways, virtual_hosts.met, findings)
            _warn_of_no_route(service, virtual_hosts, findings)


def _warn_of_references(
    service: VirtualService, gateways: dict[str, Gateway], met: set[tuple[str, str]], findings: Findings
) -> None:
    hosts = [host for host, _ in service.hosts]
    for reference in service.gateways:
        if reference.name == MESH:
            continue
        gateway = gateways.get(reference.name)
        if gateway is None:
            hint = suggest(reference.name, gateways)
            findings.warning(reference.location, f"there is no Gateway {reference.name}", hint, "IST0101")
        elif (reference.name, service.metadata.qualified) not in met and not any(
            server.hosts_for(service.metadata.namespace).common(hosts) for server in gateway.servers
        ):
            message = f"no host of this VirtualService fits any that {gateway.metadata} has for its namespace"
            findings.warning(service.hosts[0][1], message, f"see {gateway.metadata.location}", "IST0132")


def _warn_of_no_route(service: VirtualService, virtual_hosts: VirtualHosts, findings: Findings) -> None:
    name = service.metadata.qualified
    if name in virtual_hosts.routed or name not in {met for _, met in virtual_hosts.met}:
        return
    if any(route.destinations for route in service.http):
        message = f"{service.metadata} has no effect: none of its matches is for a gateway and port that is opened"
        findings.warning(service.metadata.location, message)


def _warn_of_rules(
    destination_rules: list[DestinationRule],
    services: Services,
    rules: Rules,
    identity: ProxyIdentity,
    findings: Findings,
) -> None:
    warned: set[int] = set()
    for rule in destination_rules:
        hosts = [host for host in services.hosts if is_within(host, rule.host)] if "*" in rule.host else [rule.host]
        applied = [rules.find(host, found.namespace) for host in hosts for found in services.all(host)]
        if not applied:
            hint = suggest(rule.host, services.hosts)
            message = f"there is no service {rule.host}, so this rule has no effect"
            findings.warning(rule.location, message, hint, "IST0174")
            continue
        if not any(found is not None and rule in found.rules for found in applied):
            _warn_of_unused(rule, applied, identity, findings)
        for found in applied:
            if found is not None and len(found.rules) > 1 and id(found) not in warned:
                warned.add(id(found))
                warn_of_lost_parts(found, findings)


def _warn_of_unused(
    rule: DestinationRule, applied: list[MergedRule | None], identity: ProxyIdentity, findings: Findings
) -> None:
    winner = next((found for found in applied if found is not None), None)
    if winner is not None:
        hint = f"{winner.rules[0].metadata} applies to {rule.host} here"
    elif not is_visible(rule.export_to, identity.namespace):
        hint = f"its exportTo hides it from namespace {identity.namespace}"
    else:
        hint = "it is neither in the namespace of the service, of this proxy, nor in the root namespace"
    findings.warning(rule.location, f"{rule.metadata} has no effect", hint)
