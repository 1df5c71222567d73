"""Kubernetes' ``Service``, as far as a gateway looks at it.

Its other fields are for other programs and are not even checked, as it is with fields that a newer Kubernetes adds.
"""

from __future__ import annotations

from attrs import frozen

from meshproxy.config import checks, traffic_distribution
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.names import EVERYWHERE, NOWHERE
from meshproxy.config.nodes import Node
from meshproxy.config.ports import ServicePort
from meshproxy.config.syntax import is_dns_label

_EXTERNAL_NAME = "ExternalName"
_EXPORT_TO = "networking.istio.io/exportTo"
_FOR_ALL = frozenset({EVERYWHERE})
_APP_PROTOCOLS = {"kubernetes.io/h2c": "HTTP2", "kubernetes.io/ws": "HTTP", "kubernetes.io/wss": "HTTPS"}
_NAMED_PROTOCOLS = ("GRPC-WEB", "GRPC", "HTTP2", "HTTP", "HTTPS", "TLS", "TCP", "MONGO", "REDIS", "MYSQL", "UDP")


@frozen(eq=False)
class KubernetesService:
    """A service and its ports, those of UDP left out. Protocols are those that names or ``appProtocol`` declare.

    ``alias`` is the host that an ``ExternalName`` service stands for, "" for every other service. ``export_to`` are the
    namespaces that see it, by Istio's annotation.
    """

    metadata: Metadata
    ports: tuple[ServicePort, ...]
    alias: str = ""
    export_to: frozenset[str] = _FOR_ALL


def decode(document: Document, findings: Findings) -> KubernetesService:
    """The service, without the parts that are wrong."""
    traffic_distribution.warn_of_no_effect(document, findings)
    spec = document.spec
    if spec is None:
        return KubernetesService(document.metadata, ())
    annotations = document.annotations
    exported = None if annotations is None else annotations.get(_EXPORT_TO)
    export_to = None if exported is None else findings.attempt(_export_to, exported, document.metadata, findings)
    alias = findings.attempt(_alias, spec) or ""
    ports_node = spec.get("ports")
    nodes = () if ports_node is None else findings.attempt(ports_node.items) or ()
    read = (findings.attempt(_port, node) for node in nodes)
    ports = tuple(port for port in read if port is not None)
    return KubernetesService(document.metadata, ports, alias, export_to or _FOR_ALL)


def _export_to(node: Node, metadata: Metadata, findings: Findings) -> frozenset[str]:
    """The namespaces that a list with commas names; none if it is empty."""
    text = node.string()
    names = [name.strip() for name in text.split(",")] if text else []
    for name in names:
        if name not in (".", EVERYWHERE, NOWHERE) and not is_dns_label(name):
            findings.warning(node.location, f"{node.path}: {name!r} is neither '.', '*', '~' nor a namespace")
    return frozenset(metadata.namespace if name == "." else name for name in names)


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
