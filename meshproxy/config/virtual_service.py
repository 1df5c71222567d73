"""The kind ``VirtualService``: hosts, and what is done with their requests."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.names import MESH, complete_host, gateway_name, overlap
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import canonical_ip, is_wildcard_domain, regex_problem
from meshproxy.errors import Location, Severity
from meshproxy.model import PathKind, PathMatch

_LARGEST_WEIGHT = 2**31 - 1
_LATER_ACTIONS = ("redirect", "directResponse", "delegate")
_LATER_HTTP = (
    *_LATER_ACTIONS,
    "rewrite",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirrors",
    "mirrorPercent",
    "mirror_percent",
    "mirrorPercentage",
    "corsPolicy",
    "headers",
)
_LATER_MATCH = (
    "scheme",
    "method",
    "authority",
    "headers",
    "withoutHeaders",
    "queryParams",
    "ignoreUriCase",
    "statPrefix",
)


@frozen(eq=False)
class Destination:
    """Where a share of a route's requests goes. ``host`` is completed; ``subset`` is empty where none is named."""

    host: str
    subset: str
    port: int | None
    weight: int
    location: Location
    host_location: Location
    subset_location: Location
    port_location: Location


@frozen(eq=False)
class Match:
    """One block of a route's ``match``. ``gateways`` are qualified names, None where the block names none."""

    path: PathMatch
    name: str
    port: int | None
    gateways: frozenset[str] | None
    source_labels: Mapping[str, str]
    source_namespace: str
    location: Location

    @property
    def identity(self) -> object:
        """Equal for blocks that hold for the same requests."""
        labels = frozenset(self.source_labels.items())
        return (self.path, self.port, self.gateways, labels, self.source_namespace)


@frozen(eq=False)
class HttpRoute:
    """An entry of ``http``. Without ``matches`` it takes every request."""

    name: str
    matches: tuple[Match, ...]
    destinations: tuple[Destination, ...]
    location: Location


@frozen
class GatewayReference:
    """A gateway by its qualified name, or ``mesh``; ``text`` is what is written."""

    name: str
    text: str
    location: Location


@frozen(eq=False)
class VirtualService:
    """Completed hosts with their places, the gateways, and the routes in order."""

    metadata: Metadata
    hosts: tuple[tuple[str, Location], ...]
    gateways: tuple[GatewayReference, ...]
    export_to: frozenset[str]
    http: tuple[HttpRoute, ...]


def decode(document: Document, cluster_domain: str, findings: Findings) -> VirtualService:
    """The virtual service, without the parts that are wrong."""
    metadata = document.metadata
    if document.spec is None:
        findings.error(document.node.location, "spec is required")
        return VirtualService(metadata, (), (), frozenset(), ())
    fields = Fields(document.spec, findings, ("hosts", "gateways", "exportTo", "http"), ("tls", "tcp"))
    references = checks.gateway_references(fields, "gateways")
    gateways = tuple(
        GatewayReference(gateway_name(text, metadata.namespace), text, location) for text, location in references
    )
    export_to = checks.export_to(fields, metadata.namespace)
    if fields.is_empty("http") and "tls" not in fields and "tcp" not in fields:
        findings.error(document.spec.location, "spec needs http, tcp or tls")
    hosts = _hosts(fields, references, metadata.namespace, cluster_domain)
    if fields.is_empty("hosts") and "gateways" in fields:
        message = "a VirtualService without hosts is a delegate, it has no gateways"
        findings.error(fields.location_of("gateways"), message)
    known = len(findings.diagnostics)
    routes = [_http_route(node, metadata.namespace, cluster_domain, findings) for node in fields.items("http")]
    if not any(found.severity is Severity.ERROR for found in findings.diagnostics[known:]):
        _warn_of_unreachable(routes, findings)
    return VirtualService(metadata, hosts, gateways, export_to, tuple(routes))


def _hosts(
    fields: Fields, references: list[tuple[str, Location]], namespace: str, cluster_domain: str
) -> tuple[tuple[str, Location], ...]:
    findings = fields.findings
    in_mesh = not references or any(text == MESH for text, _ in references)
    found: list[tuple[str, Location]] = []
    written: list[str] = []
    for text, node in checks.strings(fields, "hosts"):
        if text.startswith("outbound_") and not in_mesh:
            continue  # for traffic between clusters
        if not is_wildcard_domain(text) and canonical_ip(text) is None:
            findings.attempt(checks.host_or_ip, node)
            continue
        if text == "*" and in_mesh:
            hint = "name the gateways that it is for in spec.gateways"
            findings.error(node.location, "host '*' is not allowed where a VirtualService is for the mesh", hint)
        other = next((host for host in written if overlap(host, text)), None)
        if other is not None:
            findings.error(node.location, f"{node.path} {text!r} is a duplicate of {other!r}")
        written.append(text)
        found.append((complete_host(text, namespace, cluster_domain), node.location))
    return tuple(found)


def _http_route(node: Node, namespace: str, cluster_domain: str, findings: Findings) -> HttpRoute:
    fields = Fields(node, findings, ("name", "match", "route"), _LATER_HTTP)
    matches = tuple(_match(block, namespace, findings) for block in fields.items("match"))
    actions = [name for name in ("route", *_LATER_ACTIONS) if name in fields]
    route = fields.items("route")
    if fields.is_empty("route") and len(actions) == ("route" in fields):
        findings.error(node.location, f"{node.path} needs route, redirect or directResponse")
    elif len(actions) > 1:
        findings.error(node.key_location(actions[1]), f"{node.path} may not have both {actions[0]} and {actions[1]}")
    read = [_destination(entry, namespace, cluster_domain, findings) for entry in route]
    destinations = tuple(destination for destination in read if destination is not None)
    if len(read) > 1 and len(destinations) == len(read) and not any(entry.weight for entry in destinations):
        findings.error(fields.location_of("route"), f"{fields.path_of('route')}: all weights are 0")
    return HttpRoute(fields.string("name"), matches, destinations, node.location)


def _destination(node: Node, namespace: str, cluster_domain: str, findings: Findings) -> Destination | None:
    outer = Fields(node, findings, ("destination", "weight"), ("headers",))
    weight = outer.integer("weight", 0, _LARGEST_WEIGHT)
    inner_node = outer.required("destination")
    if inner_node is None:
        return None
    fields = Fields(inner_node, findings, ("host", "subset", "port"))
    host_node = fields.required("host")
    host = None if host_node is None else findings.attempt(_destination_host, host_node)
    subset = fields.read("subset", checks.dns_label)
    port = fields.read("port", checks.port_selector)
    if host is None or (subset is None and "subset" in fields) or (port is None and "port" in fields):
        return None
    return Destination(
        complete_host(host, namespace, cluster_domain),
        subset or "",
        port,
        weight or 0,
        inner_node.location,
        fields.location_of("host"),
        fields.location_of("subset"),
        fields.location_of("port"),
    )


def _destination_host(node: Node) -> str:
    host = checks.wildcard_domain(node)
    if host == "*":
        node.fail(f"{node.path} may not be '*'")
    return host


def _match(node: Node, namespace: str, findings: Findings) -> Match:
    served = ("name", "uri", "port", "gateways", "sourceLabels", "sourceNamespace")
    fields = Fields(node, findings, served, _LATER_MATCH)
    references = checks.gateway_references(fields, "gateways")
    port = fields.integer("port", 0, checks.LARGEST_PORT)
    return Match(
        fields.read("uri", _path_match) or PathMatch(),
        fields.string("name"),
        port or None,
        frozenset(gateway_name(text, namespace) for text, _ in references) if references else None,
        checks.labels(fields, "sourceLabels"),
        fields.read("sourceNamespace", checks.dns_label) or "",
        node.location,
    )


def _path_match(node: Node) -> PathMatch:
    found = node.fields("exact", "prefix", "regex")
    if len(found) > 1:
        node.fail(f"{node.path} may have only one of {', '.join(found)}")
    for name, value in found.items():
        text = value.string()
        problem = regex_problem(text) if name == "regex" else ""
        if problem:
            value.fail(f"{value.path} {problem}")
        return PathMatch(PathKind(name), text)
    return PathMatch()


def _warn_of_unreachable(routes: list[HttpRoute], findings: Findings) -> None:
    """Rules that can never take effect: those behind one without a match, and repeated matches."""
    first_bare: HttpRoute | None = None
    seen: dict[object, Match] = {}
    for route in routes:
        if first_bare is not None:
            message = "this route is never reached: an earlier one has no match and takes every request"
            findings.warning(route.location, message, f"see {first_bare.location}", "IST0130")
            continue
        if not route.matches:
            first_bare = route
        for match in route.matches:
            earlier = seen.setdefault(match.identity, match)
            if earlier is not match:
                message = "this match has no effect: an earlier one is equal"
                findings.warning(match.location, message, f"see {earlier.location}", "IST0131")
