"""Kubernetes' ``Service``, as far as a gateway looks at it.

Its other fields are for other programs and are not even checked, as it is with fields that a newer Kubernetes adds.
"""

from __future__ import annotations

from attrs import frozen

from meshproxy.config import checks, traffic_distribution
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.nodes import Node
from meshproxy.config.ports import ServicePort

_EXTERNAL_NAME = "ExternalName"
_APP_PROTOCOLS = {"kubernetes.io/h2c": "HTTP2", "kubernetes.io/ws": "HTTP", "kubernetes.io/wss": "HTTPS"}
_NAMED_PROTOCOLS = ("GRPC-WEB", "GRPC", "HTTP2", "HTTP", "HTTPS", "TLS", "TCP", "MONGO", "REDIS", "MYSQL", "UDP")


@frozen(eq=False)
class KubernetesService:
    """A service and its ports, those of UDP left out. Protocols are those that names or ``appProtocol`` declare.

    ``alias`` is the host that an ``ExternalName`` service stands for, "" for every other service.
    """

    metadata: Metadata
    ports: tuple[ServicePort, ...]
    alias: str = ""


def decode(document: Document, findings: Findings) -> KubernetesService:
    """The service, without the parts that are wrong."""
    traffic_distribution.warn_of_no_effect(document, findings)
    spec = document.spec
    if spec is None:
        return KubernetesService(document.metadata, ())
    alias = findings.attempt(_alias, spec) or ""
    ports_node = spec.get("ports")
    nodes = () if ports_node is None else findings.attempt(ports_node.items) or ()
    read = (findings.attempt(_port, node) for node in nodes)
    return KubernetesService(document.metadata, tuple(port for port in read if port is not None), alias)


def _alias(spec: Node) -> str:
    kind = spec.get("type")
    if kind is None or kind.string() != _EXTERNAL_NAME:
        return ""
    name = spec.get("externalName")
    if name is None:
        spec.fail(f"{spec.path}.externalName is required with type {_EXTERNAL_NAME}")
    return checks.host_or_ip(name)


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
