"""Kubernetes' ``Service`` and ``EndpointSlice``, as far as a gateway looks at them.

Their other fields are for other programs and are not even checked, as it is with fields that a newer Kubernetes adds.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields, not_served
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.nodes import Node
from meshproxy.config.ports import ServicePort
from meshproxy.config.syntax import canonical_ip
from meshproxy.errors import Location
from meshproxy.model import Endpoint

SLICE_FIELDS = ("addressType", "endpoints", "ports")
_SERVICE_NAME = "kubernetes.io/service-name"
_APP_PROTOCOLS = {"kubernetes.io/h2c": "HTTP2", "kubernetes.io/ws": "HTTP", "kubernetes.io/wss": "HTTPS"}
_NAMED_PROTOCOLS = ("GRPC-WEB", "GRPC", "HTTP2", "HTTP", "HTTPS", "TLS", "TCP", "MONGO", "REDIS", "MYSQL", "UDP")


@frozen(eq=False)
class KubernetesService:
    """A service and its ports, those of UDP left out. Protocols are those that names or ``appProtocol`` declare."""

    metadata: Metadata
    ports: tuple[ServicePort, ...]


@frozen(eq=False)
class EndpointSlice:
    """Ready addresses of a service and, by port name, their port number."""

    metadata: Metadata
    service: str
    ports: dict[str, int]
    addresses: tuple[tuple[str, Location], ...]

    def endpoints_at(self, port_name: str) -> Iterator[tuple[Endpoint, Location]]:
        """Where the service port of a name is served. Labels stay with the pods, which are not known here."""
        number = self.ports.get(port_name)
        if number is not None:
            for address, location in self.addresses:
                yield Endpoint(address, number), location


def decode_service(document: Document, findings: Findings) -> KubernetesService:
    """The service, without the parts that are wrong."""
    spec = document.spec
    if spec is None:
        return KubernetesService(document.metadata, ())
    external = spec.get("externalName")
    if external is not None:
        not_served(findings, spec.key_location("externalName"), external.path)
    ports_node = spec.get("ports")
    nodes = () if ports_node is None else findings.attempt(ports_node.items) or ()
    read = (findings.attempt(_port, node) for node in nodes)
    return KubernetesService(document.metadata, tuple(port for port in read if port is not None))


def _port(node: Node) -> ServicePort | None:
    number, name, transport = node.get("port"), node.get("name"), node.get("protocol")
    if number is None:
        node.fail(f"{node.path}.port is required")
    if transport is not None and transport.string() == "UDP":
        return None
    text = "" if name is None else name.string()
    application = node.get("appProtocol")
    declared = text if application is None else application.string()
    return ServicePort(checks.port_number(number), text, _protocol(declared, application is not None), node.location)


def _protocol(declared: str, application: bool) -> str:
    if declared in _APP_PROTOCOLS:
        return _APP_PROTOCOLS[declared]
    upper = declared.upper()
    for protocol in _NAMED_PROTOCOLS:
        if upper == protocol or (not application and upper.startswith(protocol + "-")):
            return protocol
    return ""


def decode_slice(document: Document, findings: Findings) -> EndpointSlice | None:
    """The slice; None for one that belongs to no service or holds host names."""
    node = document.node
    service = document.metadata.labels.get(_SERVICE_NAME)
    fields = Fields(node, findings, ("apiVersion", "kind", "metadata", *SLICE_FIELDS))
    kind = fields.required("addressType") and fields.read(
        "addressType", lambda found: checks.one_of(found, ("IPv4", "IPv6", "FQDN"))
    )
    if service is None:
        hint = f"add the label {_SERVICE_NAME}"
        findings.warning(document.metadata.location, "this EndpointSlice belongs to no Service and has no effect", hint)
        return None
    if kind == "FQDN":
        findings.warning(node.location, "an EndpointSlice of host names has no effect, as in Istio")
        return None
    ports = {}
    for entry in fields.items("ports"):
        read = findings.attempt(_slice_port, entry)
        if read is not None:
            ports[read[0]] = read[1]
    addresses: list[tuple[str, Location]] = []
    for entry in fields.items("endpoints"):
        addresses += findings.attempt(_ready_addresses, entry) or ()
    return EndpointSlice(document.metadata, service, ports, tuple(addresses))


def _slice_port(node: Node) -> tuple[str, int] | None:
    name, number = node.get("name"), node.get("port")
    if number is None:  # "all ports": nothing that a gateway could connect to
        return None
    return ("" if name is None else name.string()), checks.port_number(number)


def _ready_addresses(node: Node) -> list[tuple[str, Location]]:
    addresses = node.get("addresses")
    if addresses is None:
        node.fail(f"{node.path}.addresses is required")
    found = []
    for entry in addresses.items():
        text = entry.string()
        address = canonical_ip(text)
        if address is None:
            entry.fail(f"{entry.path} must be an IP address, not {text!r}")
        found.append((address, entry.location))
    conditions = node.get("conditions")
    if conditions is not None:
        ready, terminating = conditions.get("ready"), conditions.get("terminating")
        if (ready is not None and not ready.boolean()) or (terminating is not None and terminating.boolean()):
            return []
    return found
