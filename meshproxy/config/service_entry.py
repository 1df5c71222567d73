"""The kind ``ServiceEntry``: hosts outside Kubernetes, their ports, and where their endpoints come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from attrs import frozen

from meshproxy.config import checks, traffic_distribution
from meshproxy.config.decoding import Fields, not_served
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.names import NOWHERE
from meshproxy.config.nodes import Node
from meshproxy.config.ports import ServicePort
from meshproxy.config.selectors import read_selector
from meshproxy.config.syntax import HTTP_PROTOCOLS, TLS_PROTOCOLS, is_fqdn, is_ip_or_cidr, is_partial_wildcard
from meshproxy.config.workload import Workload, read_workload
from meshproxy.errors import Location

_LOCATIONS = ("MESH_EXTERNAL", "MESH_INTERNAL")
_MOST_HOSTS = _MOST_ADDRESSES = _MOST_PORTS = _MOST_SELECTOR_LABELS = 256
_MOST_ENDPOINTS = 4096
_LONGEST_ADDRESS = 64
_DYNAMIC_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", "TLS")
_AUTO_ALLOCATE = "networking.istio.io/enable-autoallocate-ip"


class Resolution(Enum):
    """How endpoints are found: not at all by a gateway, listed, all answers of DNS, the first answer, per request."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"

    @property
    def by_name(self) -> bool:
        """Whether addresses may be host names, which are looked up."""
        return self in (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)


@frozen(eq=False)
class EntryPort(ServicePort):
    """``target`` is the port number at endpoints that do not name one themselves."""

    target: int


@frozen(eq=False)
class ServiceEntry:
    """``hosts`` are as written. ``selector``: workloads with these labels are endpoints too; None: none are."""

    metadata: Metadata
    hosts: tuple[tuple[str, Location], ...]
    ports: tuple[EntryPort, ...]
    endpoints: tuple[Workload, ...]
    export_to: frozenset[str]
    resolution: Resolution
    selector: Mapping[str, str] | None
    location: Location


def decode(document: Document, findings: Findings) -> ServiceEntry:
    """The entry, without the parts that are wrong."""
    traffic_distribution.warn_of_no_effect(document, findings)
    metadata = document.metadata
    if document.spec is None:
        findings.error(document.node.location, "spec is required")
        return ServiceEntry(metadata, (), (), (), frozenset(), Resolution.NONE, None, metadata.location)
    fields = Fields(
        document.spec,
        findings,
        (
            "hosts",
            "addresses",
            "ports",
            "location",
            "resolution",
            "endpoints",
            "workloadSelector",
            "exportTo",
            "subjectAltNames",
        ),
    )
    checks.strings(fields, "subjectAltNames")  # for TLS
    fields.read("location", lambda node: checks.one_of(node, _LOCATIONS))  # has no effect without mutual TLS
    names = [resolution.value for resolution in Resolution]
    resolution = Resolution(fields.read("resolution", lambda node: checks.one_of(node, names)) or "NONE")
    if resolution is Resolution.DYNAMIC_DNS:
        not_served(findings, fields.location_of("resolution"), f"spec.resolution {resolution.value}")
    hosts = _hosts(fields, resolution)
    _check_addresses(fields, resolution)
    ports = _ports(fields)
    endpoints = _endpoints(fields, resolution, ports)
    selector = _selector(fields, resolution)
    _check_ports(fields, ports, resolution, metadata)
    if resolution.by_name and not fields.items("endpoints"):
        # Istio wants this even where a selector says who is asked instead.
        for host, location in hosts:
            if not is_fqdn(host):
                findings.error(location, f"{host!r} cannot be looked up", "name the addresses in spec.endpoints")
    export_to = checks.export_to(fields, metadata.namespace, may_be_nowhere=True) - {NOWHERE}
    location = fields.location_of("resolution")
    return ServiceEntry(metadata, hosts, ports, endpoints, export_to, resolution, selector, location)


def _hosts(fields: Fields, resolution: Resolution) -> tuple[tuple[str, Location], ...]:
    findings = fields.findings
    if fields.is_empty("hosts"):
        findings.error(fields.location_of("hosts"), "spec.hosts needs at least one host")
    _check_count(fields, "hosts", _MOST_HOSTS)
    found: dict[str, Location] = {}
    for node in fields.items("hosts"):
        host = findings.attempt(checks.wildcard_domain, node)
        if host == "*":
            findings.error(node.location, f"{node.path} may not be '*'")
        elif host is not None:
            if resolution is Resolution.DYNAMIC_DNS:
                if not host.startswith("*"):
                    findings.error(node.location, f"{node.path} must be a wildcard with resolution DYNAMIC_DNS")
            elif is_partial_wildcard(host):
                findings.warning(node.location, f"{host!r}: '*' stands for a part of a label", code="IST0133")
            if host in found:
                findings.warning(node.location, f"{node.path} {host!r} is there again", f"see {found[host]}")
            found.setdefault(host, node.location)
    return tuple(found.items())


def _check_addresses(fields: Fields, resolution: Resolution) -> None:
    """Virtual addresses mean nothing to a gateway, but they may be wrong."""
    _check_count(fields, "addresses", _MOST_ADDRESSES)
    if resolution is Resolution.DYNAMIC_DNS and fields.items("addresses"):
        location = fields.location_of("addresses")
        fields.findings.error(location, "spec.addresses may not be there with resolution DYNAMIC_DNS")
        return
    for text, node in checks.strings(fields, "addresses"):
        if not is_ip_or_cidr(text) or len(text) > _LONGEST_ADDRESS:
            fields.findings.error(node.location, f"{node.path} must be an IP address or a range, not {text!r}")
        elif "/" in text and resolution not in (Resolution.NONE, Resolution.STATIC):
            fields.findings.error(node.location, f"{node.path} may be a range only with resolution NONE or STATIC")


def _ports(fields: Fields) -> tuple[EntryPort, ...]:
    _check_count(fields, "ports", _MOST_PORTS)
    found: list[EntryPort] = []
    for node in fields.items("ports"):
        port = _port(node, fields.findings)
        if port is None:
            continue
        for what in ("name", "number"):
            if getattr(port, what) in [getattr(other, what) for other in found]:
                message = f"{node.path}.{what} {getattr(port, what)!r} is there twice"
                fields.findings.error(node.key_location(what), message)
                break
        else:
            found.append(port)
    return tuple(found)


def _port(node: Node, findings: Findings) -> EntryPort | None:
    fields = Fields(node, findings, ("number", "name", "protocol", "targetPort"))
    fields.required("number")
    fields.required("name")
    number = fields.read("number", checks.port_number)
    name = fields.read("name", checks.dns_label)
    protocol = fields.read("protocol", _protocol_or_nothing) if "protocol" in fields else ""
    target = fields.integer("targetPort", 0, checks.LARGEST_PORT)
    if number is None or name is None or protocol is None:
        return None
    return EntryPort(number, name, protocol, node.location, target or number)


def _protocol_or_nothing(node: Node) -> str:
    return checks.protocol(node) if node.string() else ""


def _check_ports(fields: Fields, ports: Iterable[EntryPort], resolution: Resolution, metadata: Metadata) -> None:
    """What the protocols of the ports forbid or need."""
    findings = fields.findings
    several = len(fields.items("hosts")) > 1
    addressed = bool(fields.items("addresses"))
    allocated = resolution is not Resolution.NONE and metadata.labels.get(_AUTO_ALLOCATE) != "false"
    for port in ports:
        web = port.protocol in HTTP_PROTOCOLS | TLS_PROTOCOLS
        if resolution is Resolution.DYNAMIC_DNS and port.protocol not in _DYNAMIC_PROTOCOLS:
            message = f"with resolution DYNAMIC_DNS the protocol of a port is one of {', '.join(_DYNAMIC_PROTOCOLS)}"
            findings.error(port.location, message)
        elif several and resolution is not Resolution.NONE and not web:
            message = "several hosts cannot share a port that is neither HTTP nor TLS"
            findings.error(port.location, message, "make a ServiceEntry for each host")
        elif several and addressed and resolution.by_name and port.protocol in TLS_PROTOCOLS:
            message = f"port {port.number} of several hosts with common addresses is one to a mesh"
            findings.warning(port.location, message, "make a ServiceEntry for each host", "IST0133")
        elif port.protocol in ("", "TCP") and not addressed and not allocated:
            # Sidecars tell services on a TCP port apart by address.
            message = f"port {port.number} is TCP or of no protocol, which needs spec.addresses in a mesh"
            findings.warning(port.location, message, code="IST0134")


def _endpoints(fields: Fields, resolution: Resolution, ports: tuple[EntryPort, ...]) -> tuple[Workload, ...]:
    findings = fields.findings
    _check_count(fields, "endpoints", _MOST_ENDPOINTS)
    nodes = fields.items("endpoints")
    if resolution in (Resolution.NONE, Resolution.DYNAMIC_DNS) and "endpoints" in fields:
        hint = "write resolution: STATIC" if resolution is Resolution.NONE else ""
        location = fields.node.key_location("endpoints")
        findings.error(location, f"resolution {resolution.value} has no endpoints", hint)
    if resolution is Resolution.DNS_ROUND_ROBIN and len(nodes) > 1:
        findings.error(nodes[1].location, "resolution DNS_ROUND_ROBIN has at most one endpoint")
    names = {port.name for port in ports}
    single = len(fields.items("ports")) == 1
    found = []
    for node in nodes:
        workload = read_workload(node, findings, may_be_remote=not resolution.by_name)
        if workload is not None:
            _check_endpoint(node, workload, resolution, names, single, findings)
            found.append(workload)
    return tuple(found)


def _check_endpoint(
    node: Node, workload: Workload, resolution: Resolution, names: set[str], single_port: bool, findings: Findings
) -> None:
    if workload.is_unix:
        address = node.get("address") or node
        if resolution.by_name:
            findings.error(address.location, f"{address.path} may not be a unix socket with resolution DNS")
        elif resolution is Resolution.STATIC and not single_port:
            findings.error(address.location, f"{address.path}: a unix socket needs a service with exactly one port")
        return
    if resolution is Resolution.STATIC and workload.is_name:
        address = node.get("address") or node
        message = f"{address.path} must be an IP address with resolution STATIC, not {workload.address!r}"
        findings.error(address.location, message, "resolution: DNS looks up names")
    for name in workload.ports:
        if name not in names:
            message = f"{node.path}.ports names {name!r}, which is no name in spec.ports"
            findings.error(node.location, message)


def _selector(fields: Fields, resolution: Resolution) -> Mapping[str, str] | None:
    node = fields.get("workloadSelector")
    if node is None:
        return None
    location = fields.node.key_location("workloadSelector")
    if "endpoints" in fields:
        fields.findings.error(location, "spec may have only one of endpoints and workloadSelector")
    if resolution is Resolution.NONE:
        message = "spec.workloadSelector has no effect with resolution NONE"
        fields.findings.warning(location, message, "write resolution: STATIC", "IST0133")
    return read_selector(node, "labels", _MOST_SELECTOR_LABELS, fields.findings)


def _check_count(fields: Fields, name: str, most: int) -> None:
    if len(fields.items(name)) > most:
        fields.findings.error(fields.location_of(name), f"{fields.path_of(name)} may have at most {most} items")
