"""The kind ``VirtualService``: hosts, and what is done with their requests."""

from __future__ import annotations

from attrs import field, frozen

from meshproxy.config import checks, http_route, stream_routes
from meshproxy.config.decoding import Fields
from meshproxy.config.destinations import Destination, Scope
from meshproxy.config.findings import Findings
from meshproxy.config.http_match import Match
from meshproxy.config.http_route import HttpRoute
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.names import MESH, complete_host, gateway_name, overlapping
from meshproxy.config.nodes import Node
from meshproxy.errors import Diagnostic, Location


@frozen
class GatewayReference:
    """A gateway by its qualified name, or ``mesh``; ``text`` is what is written."""

    name: str
    text: str
    location: Location


@frozen(eq=False)
class VirtualService:
    """Completed hosts with their places, the gateways, and the routes in order.

    ``completed`` are those of the hosts that were short. ``unserved`` is what is to be reported if the virtual service
    has an effect at all.
    """

    metadata: Metadata
    hosts: tuple[tuple[str, Location], ...] = ()
    gateways: tuple[GatewayReference, ...] = ()
    export_to: frozenset[str] = frozenset()
    http: tuple[HttpRoute, ...] = ()
    unserved: tuple[Diagnostic, ...] = ()
    completed: frozenset[str] = frozenset()

    destinations: tuple[Destination, ...] = field(init=False, repr=False)
    """Those of all routes, and those that get copies."""

    destination_hosts: frozenset[str] = field(init=False, repr=False)

    narrowed: tuple[Match, ...] = field(init=False, repr=False)
    """The match blocks that ask something of the gateway or of the proxy."""

    judged: tuple[Match, ...] = field(init=False, repr=False)
    """The match blocks with conditions that may exclude all requests or each other."""

    @destinations.default
    def _collect(self) -> tuple[Destination, ...]:
        found: list[Destination] = []
        for route in self.http:
            found += [entry.destination for entry in route.destinations]
            found += [destination for destination, _ in route.mirrored()]
        return tuple(found)

    @destination_hosts.default
    def _hosts_of_destinations(self) -> frozenset[str]:
        return frozenset([destination.host for destination in self.destinations])

    @narrowed.default
    def _narrowed_matches(self) -> tuple[Match, ...]:
        return tuple([match for route in self.http for match in route.matches if not match.everywhere])

    @judged.default
    def _judged_matches(self) -> tuple[Match, ...]:
        return tuple([match for route in self.http for match in route.matches if match.may_exclude])

    @property
    def is_meshed(self) -> bool:
        """Whether it is for sidecars, too."""
        return bool(self.hosts) and (not self.gateways or any(it.name == MESH for it in self.gateways))


def decode(document: Document, cluster_domain: str, findings: Findings) -> VirtualService:
    """The virtual service, without the parts that are wrong."""
    metadata = document.metadata
    if document.spec is None:
        findings.error(document.node.location, "spec is required")
        return VirtualService(metadata)
    fields = Fields(document.spec, findings, ("hosts", "gateways", "exportTo", "http", "tls", "tcp"))
    scope = Scope(metadata.namespace, cluster_domain)
    references = checks.gateway_references(fields, "gateways")
    in_mesh = not references or any(text == MESH for text, _ in references)
    gateways = tuple(
        GatewayReference(gateway_name(text, metadata.namespace), text, location) for text, location in references
    )
    export_to = checks.export_to(fields, metadata.namespace)
    if all(fields.is_empty(section) for section in ("http", "tls", "tcp")):
        findings.error(document.spec.location, "spec needs http, tcp or tls")
    written = _hosts(fields, in_mesh)
    is_delegate = fields.is_empty("hosts")
    if is_delegate:
        _check_delegate(fields)
    routes = [http_route.decode(node, scope, findings, in_mesh, is_delegate) for node in fields.items("http")]
    with findings.unserved_aside() as unserved:
        stream_routes.check(fields, scope, [text for text, _ in written])
    hosts = tuple((complete_host(text, metadata.namespace, cluster_domain), location) for text, location in written)
    completed = frozenset(host for (text, _), (host, _) in zip(written, hosts, strict=True) if text != host)
    return VirtualService(metadata, hosts, gateways, export_to, tuple(routes), tuple(unserved), completed)


def _check_delegate(fields: Fields) -> None:
    for name in ("gateways", "tls", "tcp"):
        if name in fields and not fields.is_empty(name):
            message = f"a VirtualService without hosts is a delegate, it has no {name}"
            fields.findings.error(fields.location_of(name), message)


def _hosts(fields: Fields, in_mesh: bool) -> list[tuple[str, Location]]:
    """The hosts as they are written."""
    findings = fields.findings
    found: list[tuple[str, Node]] = []
    for text, node in checks.strings(fields, "hosts"):
        # The name of a cluster is for traffic between clusters, which finds its way by SNI.
        is_cluster = text.startswith("outbound_") and not in_mesh and not fields.is_empty("tls")
        if not is_cluster and findings.attempt(checks.host_or_ip, node) is None:
            continue
        if text == "*" and in_mesh:
            hint = "name the gateways that it is for in spec.gateways"
            findings.error(node.location, "host '*' is not allowed where a VirtualService is for the mesh", hint)
        found.append((text, node))
    for later, earlier in overlapping([text for text, _ in found]).items():
        text, node = found[later]
        findings.error(node.location, f"{node.path} {text!r} is a duplicate of {found[earlier][0]!r}")
    return [(text, node.location) for text, node in found]
