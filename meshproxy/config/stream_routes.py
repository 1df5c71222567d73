"""The sections ``tls`` and ``tcp`` of a virtual service: what has to be right about them, though neither is served."""

from __future__ import annotations

from collections.abc import Sequence

from meshproxy.config import checks, destinations
from meshproxy.config.decoding import Fields, not_served
from meshproxy.config.destinations import LARGEST_WEIGHT, Scope
from meshproxy.config.findings import Findings
from meshproxy.config.names import is_within
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import canonical_ip, is_ip_or_cidr

_MATCH = ("port", "gateways", "sourceLabels", "sourceNamespace", "destinationSubnets")


def check(fields: Fields, scope: Scope, hosts: Sequence[str]) -> None:
    """Report what is wrong, and that the sections are not served. ``hosts``: those of the document, as written."""
    for section in ("tls", "tcp"):
        if section in fields and not fields.is_empty(section):
            not_served(fields.findings, fields.node.key_location(section), fields.path_of(section))
    for node in fields.items("tls"):
        route = Fields(node, fields.findings, ("match", "route"))
        if route.is_empty("match"):
            fields.findings.error(route.location_of("match"), f"{route.path_of('match')} needs at least one block")
        for block in route.items("match"):
            _check_sni_hosts(_check_match(block, (*_MATCH, "sniHosts"), fields.findings), hosts)
        _check_route(route, scope)
    for node in fields.items("tcp"):
        route = Fields(node, fields.findings, ("match", "route"))
        for block in route.items("match"):
            _check_match(block, (*_MATCH, "sourceSubnet"), fields.findings).string("sourceSubnet")
        _check_route(route, scope)


def _check_match(node: Node, names: tuple[str, ...], findings: Findings) -> Fields:
    fields = Fields(node, findings, names)
    fields.integer("port", 0, checks.LARGEST_PORT)
    checks.gateway_references(fields, "gateways")
    checks.labels(fields, "sourceLabels")
    fields.text("sourceNamespace", checks.dns_label)
    for text, place in checks.strings(fields, "destinationSubnets"):
        if not is_ip_or_cidr(text):
            findings.error(place.location, f"{place.path} must be an address or a range of them, not {text!r}")
    return fields


def _check_sni_hosts(fields: Fields, hosts: Sequence[str]) -> None:
    findings = fields.findings
    if fields.is_empty("sniHosts"):
        findings.error(fields.location_of("sniHosts"), f"{fields.path_of('sniHosts')} needs at least one host")
    for text, node in checks.strings(fields, "sniHosts"):
        if canonical_ip(text) is not None:
            findings.warning(node.location, f"{node.path} {text!r}: clients send no address as SNI", code="IST0133")
        elif findings.attempt(checks.wildcard_domain, node) and not any(is_within(text, host) for host in hosts):
            findings.error(node.location, f"{node.path} {text!r} is covered by none of spec.hosts")


def _check_route(fields: Fields, scope: Scope) -> None:
    findings = fields.findings
    if fields.is_empty("route"):
        findings.error(fields.location_of("route"), f"{fields.path_of('route')} needs at least one destination")
    weights = []
    for node in fields.items("route"):
        entry = Fields(node, findings, ("destination", "weight"))
        weights.append(entry.integer("weight", 0, LARGEST_WEIGHT))
        destination = entry.required("destination")
        if destination is not None:
            destinations.decode(destination, scope, findings)
    if len(weights) > 1 and not any(weights):
        findings.error(fields.location_of("route"), f"{fields.path_of('route')}: all weights are 0")
