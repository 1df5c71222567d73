"""The kind ``ServiceEntry``: hosts outside Kubernetes, their ports and endpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields, not_served
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.names import NOWHERE
from meshproxy.config.nodes import Node
from meshproxy.config.ports import ServicePort
from meshproxy.config.syntax import (
    HTTP_PROTOCOLS,
    TLS_PROTOCOLS,
    canonical_ip,
    is_fqdn,
    is_ip_or_cidr,
    is_partial_wildcard,
)
from meshproxy.errors import Location
from meshproxy.model import Endpoint

_RESOLUTIONS = ("NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS")
_LOCATIONS = ("MESH_EXTERNAL", "MESH_INTERNAL")
_LARGEST_WEIGHT = 2**32 - 1
_MOST_HOSTS = _MOST_ADDRESSES = _MOST_PORTS = 256
_MOST_ENDPOINTS = 4096


@frozen(eq=False)
class EntryPort(ServicePort):
    """``target`` is the port number at endpoints that do not name one themselves."""

    target: int


@frozen(eq=False)
class EntryEndpoint:
    """An address with its own port numbers by port name."""

    address: str
    ports: Mapping[str, int]
    labels: tuple[tuple[str, str], ...]
    weight: int
    locality: str
    location: Location


@frozen(eq=False)
class ServiceEntry:
    """``hosts`` are as written. ``static``: its endpoints are listed; otherwise a gateway sees none."""

    metadata: Metadata
    hosts: tuple[tuple[str, Location], ...]
    ports: tuple[EntryPort, ...]
    endpoints: tuple[EntryEndpoint, ...]
    export_to: frozenset[str]
    static: bool

    def endpoints_at(self, port_name: str) -> Iterator[tuple[Endpoint, Location]]:
        """Where the service port of a name is served."""
        port = next((port for port in self.ports if port.name == port_name), None)
        if port is not None:
            for entry in self.endpoints:
                number = entry.ports.get(port_name, port.target)
                yield Endpoint(entry.address, number, entry.weight, entry.labels, entry.locality), entry.location


def decode(document: Document, findings: Findings) -> ServiceEntry:
    """The entry, without the parts that are wrong."""
    metadata = document.metadata
    if document.spec is None:
        findings.error(document.node.location, "spec is required")
        return ServiceEntry(metadata, (), (), (), frozenset(), False)
    served = ("hosts", "addresses", "ports", "location", "resolution", "endpoints", "exportTo", "subjectAltNames")
    fields = Fields(document.spec, findings, served, ("workloadSelector",))
    fields.read("location", lambda node: checks.one_of(node, _LOCATIONS))  # has no effect without mutual TLS
    resolution = fields.read("resolution", lambda node: checks.one_of(node, _RESOLUTIONS)) or "NONE"
    if resolution not in ("NONE", "STATIC"):
        not_served(findings, fields.location_of("resolution"), f"spec.resolution {resolution}")
    hosts = _hosts(fields, resolution)
    _check_addresses(fields, resolution)
    ports = _ports(fields)
    endpoints = _endpoints(fields, resolution, {port.name for port in ports})
    if len(hosts) > 1 and resolution != "NONE":
        for port in ports:
            if port.protocol not in HTTP_PROTOCOLS | TLS_PROTOCOLS:
                message = "several hosts cannot share a port that is neither HTTP nor TLS"
                findings.error(port.location, message, "make a ServiceEntry for each host")
    export_to = checks.export_to(fields, metadata.namespace, may_be_nowhere=True) - {NOWHERE}
    return ServiceEntry(metadata, hosts, ports, endpoints, export_to, resolution == "STATIC")


def _hosts(fields: Fields, resolution: str) -> tuple[tuple[str, Location], ...]:
    findings = fields.findings
    if fields.is_empty("hosts"):
        findings.error(fields.location_of("hosts"), "spec.hosts needs at least one host")
    _check_count(fields, "hosts", _MOST_HOSTS)
    found = []
    for node in fields.items("hosts"):
        host = findings.attempt(checks.wildcard_domain, node)
        if host == "*":
            findings.error(node.location, f"{node.path} may not be '*'")
        elif host is not None:
            if is_partial_wildcard(host) and resolution != "DYNAMIC_DNS":
                findings.warning(node.location, f"{host!r}: '*' stands for a part of a label", code="IST0133")
            found.append((host, node.location))
    return tuple(found)


def _check_addresses(fields: Fields, resolution: str) -> None:
    """Virtual addresses mean nothing to a gateway, but they may be wrong."""
    _check_count(fields, "addresses", _MOST_ADDRESSES)
    for text, node in checks.strings(fields, "addresses"):
        if not is_ip_or_cidr(text):
            fields.findings.error(node.location, f"{node.path} must be an IP address or a range, not {text!r}")
        elif "/" in text and resolution not in ("NONE", "STATIC"):
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
    target = fields.read("targetPort", checks.port_number)
    if number is None or name is None or protocol is None:
        return None
    return EntryPort(number, name, protocol, node.location, target or number)


def _protocol_or_nothing(node: Node) -> str:
    return checks.protocol(node) if node.string() else ""


def _endpoints(fields: Fields, resolution: str, port_names: set[str]) -> tuple[EntryEndpoint, ...]:
    _check_count(fields, "endpoints", _MOST_ENDPOINTS)
    nodes = fields.items("endpoints")
    if resolution == "NONE" and "endpoints" in fields:
        hint = "write resolution: STATIC"
        fields.findings.error(fields.node.key_location("endpoints"), "resolution NONE has no endpoints", hint)
    if resolution == "DNS_ROUND_ROBIN" and len(nodes) > 1:
        fields.findings.error(nodes[1].location, "resolution DNS_ROUND_ROBIN has at most one endpoint")
    read = (_endpoint(node, resolution, port_names, fields.findings) for node in nodes)
    return tuple(endpoint for endpoint in read if endpoint is not None)


def _endpoint(node: Node, resolution: str, port_names: set[str], findings: Findings) -> EntryEndpoint | None:
    served = ("address", "ports", "labels", "weight", "locality", "network", "serviceAccount")
    fields = Fields(node, findings, served)
    for name, most in (("network", 2048), ("serviceAccount", 253), ("locality", 2048)):
        if len(fields.string(name)) > most:
            findings.error(fields.location_of(name), f"{fields.path_of(name)} may have at most {most} characters")
    ports = {}
    for name, port in fields.entries("ports"):
        number = findings.attempt(checks.port_number, port)
        if name not in port_names:
            findings.error(port.location, f"{fields.path_of('ports')} names {name!r}, which is no name in spec.ports")
        elif number is not None:
            ports[name] = number
    labels = checks.labels(fields, "labels")
    weight = fields.integer("weight", 0, _LARGEST_WEIGHT)
    if "address" not in fields:
        if "network" in fields:
            message = f"{node.path} has no address: a gateway of another network cannot reach it"
            findings.warning(node.location, message)
        else:
            fields.required("address")
        return None
    address = fields.read("address", lambda found: _address(found, resolution, bool(ports)))
    if address is None:
        return None
    # Zero is the default too.
    pairs = tuple(sorted(labels.items()))
    return EntryEndpoint(address, ports, pairs, weight or 1, fields.string("locality"), node.location)


def _address(node: Node, resolution: str, has_ports: bool) -> str:
    text = node.string()
    if text.startswith("unix://"):
        path = text.removeprefix("unix://")
        if not path.startswith(("/", "@")) or path.endswith("/"):
            node.fail(f"{node.path} must be unix:// and an absolute path or @name, not {text!r}")
        if has_ports:
            node.fail(f"{node.path}: a unix socket has no ports")
        node.fail(f"{node.path} of a unix socket is not served yet")
    address = canonical_ip(text)
    if address is not None:
        return address
    if resolution == "STATIC":
        node.fail(f"{node.path} must be an IP address with resolution STATIC, not {text!r}")
    if not is_fqdn(text):
        node.fail(f"{node.path} must be an IP address or a host name, not {text!r}")
    return text


def _check_count(fields: Fields, name: str, most: int) -> None:
    if len(fields.items(name)) > most:
        fields.findings.error(fields.location_of(name), f"{fields.path_of(name)} may have at most {most} items")
