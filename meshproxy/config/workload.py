"""What a ``WorkloadEntry`` and an endpoint of a ``ServiceEntry`` have in common: an address, its ports and labels."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import canonical_ip, is_dns_label, is_fqdn
from meshproxy.errors import Location
from meshproxy.model import UNIX_MARKS, Endpoint

UNIX = "unix://"
_LARGEST_WEIGHT = 2**32 - 1
_LONGEST_ADDRESS = 256
# What the kernel takes: sockaddr_un has 108 bytes, one of them for the end.
_LONGEST_UNIX_PATH = 107
_MOST_PORTS = 128
_MOST_LABELS = 256
_LONGEST_PORT_NAME = 62


@frozen(eq=False)
class Workload:
    """An address with its own port numbers by name of the service port.

    ``address`` is as in ``Endpoint``, or a host name, as ``is_name`` tells.
    """

    address: str
    ports: Mapping[str, int]
    labels: Mapping[str, str]
    weight: int
    locality: str
    location: Location
    is_name: bool = False

    @property
    def is_unix(self) -> bool:
        """Whether the address is that of a UNIX socket."""
        return self.address.startswith(UNIX_MARKS)

    def endpoint(self, port_name: str, target: int) -> Endpoint:
        """Where the service port of a name is served; ``target`` is its number where the workload names none."""
        port = 0 if self.is_unix else self.ports.get(port_name, target)
        labels = tuple(sorted(self.labels.items()))
        return Endpoint(self.address, port, self.weight, labels, self.locality, self.address if self.is_name else "")


@frozen(eq=False)
class WorkloadEntry:
    """The kind ``WorkloadEntry``. Its labels are those of the workload overlaid by those of the document."""

    metadata: Metadata
    workload: Workload


def decode(document: Document, findings: Findings) -> WorkloadEntry | None:
    """The entry; None for one without address."""
    if document.spec is None:
        findings.error(document.node.location, "spec is required")
        return None
    workload = read_workload(document.spec, findings)
    if workload is None:
        return None
    labels = {**workload.labels, **document.metadata.labels}
    return WorkloadEntry(document.metadata, evolve(workload, labels=labels))


def read_workload(node: Node, findings: Findings, may_be_remote: bool = True) -> Workload | None:
    """A workload; None for one that is wrong or has no address.

    ``may_be_remote``: one in another network, which it names, need not have any.
    """
    served = ("address", "ports", "labels", "weight", "locality", "network", "serviceAccount")
    fields = Fields(node, findings, served)
    for name, longest in (("network", 2048), ("serviceAccount", 253), ("locality", 2048)):
        if len(fields.string(name)) > longest:
            findings.error(fields.location_of(name), f"{fields.path_of(name)} may have at most {longest} characters")
    ports = _ports(fields)
    labels = checks.labels(fields, "labels")
    if len(labels) > _MOST_LABELS:
        message = f"{fields.path_of('labels')} may have at most {_MOST_LABELS} labels"
        findings.error(fields.location_of("labels"), message)
    weight = fields.integer("weight", 0, _LARGEST_WEIGHT)
    given = fields.get("address")
    remote = may_be_remote and "network" in fields
    if given is None or (given.is_empty_text and remote):
        if remote:
            message = f"{node.path} has no address: a gateway of another network cannot reach it"
            findings.warning(node.location, message, code="IST0133")
        else:
            fields.required("address")
        return None
    read = fields.read("address", _address)
    if read is None:
        return None
    address, is_name = read
    if address.startswith(UNIX_MARKS) and "ports" in fields:
        findings.error(fields.location_of("ports"), f"{fields.path_of('ports')}: a unix socket has no ports")
    # Zero is the default too.
    return Workload(address, ports, labels, weight or 1, fields.string("locality"), node.location, is_name)


def _ports(fields: Fields) -> dict[str, int]:
    findings = fields.findings
    entries = fields.entries("ports")
    if len(entries) > _MOST_PORTS:
        message = f"{fields.path_of('ports')} may have at most {_MOST_PORTS} entries"
        findings.error(fields.location_of("ports"), message)
    ports = {}
    for name, node in entries:
        number = findings.attempt(checks.port_number, node)
        if not is_dns_label(name) or len(name) > _LONGEST_PORT_NAME:
            findings.error(node.location, f"{name!r} in {fields.path_of('ports')} is no name of a port")
        elif number is not None:
            ports[name] = number
    return ports


def _address(node: Node) -> tuple[str, bool]:
    """The address, and whether it is a host name."""
    text = node.string()
    if len(text) > _LONGEST_ADDRESS:
        node.fail(f"{node.path} may have at most {_LONGEST_ADDRESS} characters")
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX)
        if not path.startswith(UNIX_MARKS) or path.endswith("/") or "\0" in path:
            node.fail(f"{node.path} must be {UNIX} and the absolute path of a socket or @name, not {text!r}")
        if len(path.encode()) > _LONGEST_UNIX_PATH:
            node.fail(f"{node.path}: the path of a unix socket has at most {_LONGEST_UNIX_PATH} bytes")
        return path, False
    address = canonical_ip(text)
    if address is not None:
        return address, False
    if not is_fqdn(text):
        node.fail(f"{node.path} must be an IP address, a host name or {UNIX} and a path, not {text!r}")
    return text, True
