"""Where Kubernetes' services are served: ``EndpointSlice``, ``Endpoints``, and the ``Pod`` behind an address.

An endpoint has the labels of the pod that its ``targetRef`` names, if that pod is among the documents; nothing else of
a pod is looked at but its addresses, which a ServiceEntry's ``workloadSelector`` may select.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import canonical_ip
from meshproxy.errors import Location
from meshproxy.model import Endpoint

SLICE_FIELDS = ("addressType", "endpoints", "ports")
ENDPOINTS_FIELDS = ("subsets",)
_SERVICE_NAME = "kubernetes.io/service-name"
_ADDRESS_TYPES = ("IPv4", "IPv6", "FQDN")
_CONDITIONS = ("ready", "serving", "terminating")
PodName = tuple[str, str]
"""Namespace and name of a pod."""


@frozen(eq=False)
class Pod:
    """The labels of a pod, and its first address while it runs."""

    metadata: Metadata
    address: str | None


@frozen(eq=False)
class PodAddress:
    """An address; ``pod`` is None where no pod is named. ``hostname`` is that of the pod, "" if unknown.

    ``leaving``: it is not ready, and about to end, but serves what it has begun.
    """

    address: str
    location: Location
    pod: PodName | None
    hostname: str = ""
    leaving: bool = False


@frozen(eq=False)
class AddressGroup:
    """Addresses of a service that have their ports in common; ``ports`` are numbers by port name."""

    ports: Mapping[str, int]
    addresses: tuple[PodAddress, ...]

    def endpoints_at(
        self, port_name: str, leaving: bool, pods: Mapping[PodName, Pod]
    ) -> Iterator[tuple[Endpoint, Location]]:
        """See ``EndpointSource``."""
        number = self.ports.get(port_name)
        if number is None:
            return
        for entry in self.addresses:
            if entry.leaving is not leaving:
                continue
            pod = None if entry.pod is None else pods.get(entry.pod)
            labels = () if pod is None else tuple(sorted(pod.metadata.labels.items()))
            yield Endpoint(entry.address, number, labels=labels, hostname=entry.hostname), entry.location


@frozen(eq=False)
class ServiceAddresses:
    """An ``EndpointSlice`` or ``Endpoints``: where the service of a name is served."""

    metadata: Metadata
    service: str
    groups: tuple[AddressGroup, ...]

    @property
    def ports(self) -> frozenset[str]:
        """The names of all ports."""
        return frozenset(name for group in self.groups for name in group.ports)


def decode_pod(document: Document, findings: Findings) -> Pod:
    """The pod."""
    status = document.node.get("status")
    address = None
    if status is not None:
        phase, text = status.get("phase"), status.get("podIP")
        runs = phase is None or findings.attempt(phase.string) == "Running"
        if runs and text is not None:
            address = canonical_ip(findings.attempt(text.string) or "")
    return Pod(document.metadata, address)


def decode_slice(document: Document, findings: Findings) -> ServiceAddresses | None:
    """The slice; None for one that belongs to no service or holds host names."""
    node, metadata = document.node, document.metadata
    service = metadata.labels.get(_SERVICE_NAME)
    fields = Fields(node, findings, ("apiVersion", "kind", "metadata", *SLICE_FIELDS))
    kind = fields.required("addressType") and fields.read(
        "addressType", lambda found: checks.one_of(found, _ADDRESS_TYPES)
    )
    if service is None:
        hint = f"add the label {_SERVICE_NAME}"
        findings.warning(metadata.location, "this EndpointSlice belongs to no Service and has no effect", hint)
        return None
    if kind == "FQDN":
        findings.warning(node.location, "an EndpointSlice of host names has no effect, as in Istio")
        return None
    addresses: list[PodAddress] = []
    for entry in fields.items("endpoints"):
        addresses += findings.attempt(_usable_addresses, entry, metadata.namespace) or ()
    return ServiceAddresses(metadata, service, (AddressGroup(_ports(fields), tuple(addresses)),))


def decode_endpoints(document: Document, findings: Findings) -> ServiceAddresses:
    """The object of the older kind, which has the name of its service."""
    node, metadata = document.node, document.metadata
    groups = []
    for subset in Fields(node, findings, ("apiVersion", "kind", "metadata", *ENDPOINTS_FIELDS)).items("subsets"):
        fields = Fields(subset, findings, ("addresses", "notReadyAddresses", "ports"))
        read = (findings.attempt(_address, entry, metadata.namespace) for entry in fields.items("addresses"))
        groups.append(AddressGroup(_ports(fields), tuple(address for address in read if address is not None)))
    return ServiceAddresses(metadata, metadata.name, tuple(groups))


def _ports(fields: Fields) -> dict[str, int]:
    read = (fields.findings.attempt(_port, entry) for entry in fields.items("ports"))
    return dict(port for port in read if port is not None)


def _port(node: Node) -> tuple[str, int] | None:
    name, number = node.get("name"), node.get("port")
    if number is None:  # "all ports": nothing that a gateway could connect to
        return None
    return ("" if name is None else name.string()), checks.port_number(number)


def _usable_addresses(node: Node, namespace: str) -> list[PodAddress]:
    addresses = node.get("addresses")
    if addresses is None:
        node.fail(f"{node.path}.addresses is required")
    pod = _pod(node, namespace)
    hostname = _hostname(node, pod)
    conditions = node.get("conditions")
    told = {} if conditions is None else {name: _condition(conditions, name) for name in _CONDITIONS}
    leaving = told.get("terminating") or False
    found = [PodAddress(_ip(entry), entry.location, pod, hostname, leaving) for entry in addresses.items()]
    return found if told.get("serving" if leaving else "ready", not leaving) is not False else []


def _condition(conditions: Node, name: str) -> bool | None:
    node = conditions.get(name)
    return None if node is None else node.boolean()


def _address(node: Node, namespace: str) -> PodAddress:
    address = node.get("ip")
    if address is None:
        node.fail(f"{node.path}.ip is required")
    pod = _pod(node, namespace)
    return PodAddress(_ip(address), address.location, pod, _hostname(node, pod))


def _hostname(node: Node, pod: PodName | None) -> str:
    """The name that the pod itself has: that of a stateful set's pod is always the same."""
    hostname = node.get("hostname")
    if hostname is not None:
        return hostname.string()
    return "" if pod is None else pod[1]  # unless it says otherwise, it is called like the pod


def _ip(node: Node) -> str:
    text = node.string()
    address = canonical_ip(text)
    if address is None:
        node.fail(f"{node.path} must be an IP address, not {text!r}")
    return address


def _pod(node: Node, namespace: str) -> PodName | None:
    target = node.get("targetRef")
    if target is None:
        return None
    kind, name, owner = target.get("kind"), target.get("name"), target.get("namespace")
    if name is None or kind is None or kind.string() != "Pod":
        return None
    return (namespace if owner is None else owner.string()), name.string()
