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
from meshproxy.errors import Location

_MATCH = ("port", "gateways", "sourceLabels", "sourceNamespace", "destinationSubnets")


def check(fields: Fields, scope: Scope, hosts: Sequence[str]) -> None:
    """Report what is wrong, and that the sections are not served. ``hosts``: those of the document, as written."""
    findings = fields.findings
    for section in ("tls", "tcp"):
        if section in fields and not fields.is_empty(section):
            not_served(findings, fields.node.key_location(section), fields.path_of(section))
    order = _Order(findings)
    for node in fields.items("tls"):
        route = Fields(node, findings, ("match", "route"))
        if route.is_empty("match"):
            findings.error(route.location_of("match"), f"{route.path_of('match')} needs at least one block")
        blocks = []
        for block in route.items("match"):
            match, asked = _read_match(block, (*_MATCH, "sniHosts"), findings)
            blocks.append((block.location, (asked, _sni_hosts(match, hosts))))
        if blocks:
            order.add(node.location, blocks)
        _check_route(route, scope)
    order = _Order(findings)
    for node in fields.items("tcp"):
        route = Fields(node, findings, ("match", "route"))
        blocks = []
        for block in route.items("match"):
            match, asked = _read_match(block, (*_MATCH, "sourceSubnet"), findings)
            blocks.append((block.location, (asked, (match.string("sourceSubnet"),))))
        order.add(node.location, blocks)
        _check_route(route, scope)


_Asked = tuple[object, tuple[str, ...]]
"""Equal for match blocks that ask for the same."""


class _Order:
    """The routes of a section from the first one on; those that come too late are reported."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._known: dict[_Asked, Location] = {}
        self._everything: Location | None = None

    def add(self, place: Location, blocks: Sequence[tuple[Location, _Asked]]) -> None:
        """Put a route with these match blocks, which takes everything if there are none, behind all others."""
        taken = [(block, self._everything or self._known.setdefault(asked, block)) for block, asked in blocks]
        lost = [(block, earlier) for block, earlier in taken if earlier is not block]
        if self._everything is not None or (blocks and len(lost) == len(blocks)):
            earlier = self._everything or lost[0][1]
            message = "this route is never reached: earlier ones take all of its connections"
            self._findings.warning(place, message, f"see {earlier}", "IST0130")
            return
        for block, earlier in lost:
            message = "this match has no effect: an earlier one takes all of its connections"
            self._findings.warning(block, message, f"see {earlier}", "IST0131")
        if not blocks:
            self._everything = place


def _read_match(node: Node, names: tuple[str, ...], findings: Findings) -> tuple[Fields, object]:
    """The fields of a block, and what it asks for, equal for blocks that are equal."""
    fields = Fields(node, findings, names)
    port = fields.integer("port", 0, checks.LARGEST_PORT) or 0
    gateways = tuple(text for text, _ in checks.gateway_references(fields, "gateways"))
    labels = frozenset(checks.labels(fields, "sourceLabels").items())
    namespace = fields.text("sourceNamespace", checks.dns_label)
    subnets = checks.strings(fields, "destinationSubnets")
    for text, place in subnets:
        if not is_ip_or_cidr(text):
            findings.error(place.location, f"{place.path} must be an address or a range of them, not {text!r}")
    return fields, (port, gateways, labels, namespace, tuple(text for text, _ in subnets))


def _sni_hosts(fields: Fields, hosts: Sequence[str]) -> tuple[str, ...]:
    findings = fields.findings
    if fields.is_empty("sniHosts"):
        findings.error(fields.location_of("sniHosts"), f"{fields.path_of('sniHosts')} needs at least one host")
    found = checks.strings(fields, "sniHosts")
    for text, node in found:
        if canonical_ip(text) is not None:
            findings.warning(node.location, f"{node.path} {text!r}: clients send no address as SNI", code="IST0133")
        elif findings.attempt(checks.wildcard_domain, node) and not any(is_within(text, host) for host in hosts):
            findings.error(node.location, f"{node.path} {text!r} is covered by none of spec.hosts")
    return tuple(text for text, _ in found)


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
