"""Where requests go: the ``destination`` of a route or of a mirror, as it is written."""

from __future__ import annotations

from attrs import frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.names import complete_host
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import is_wildcard_domain
from meshproxy.config.values import is_string, sole_number
from meshproxy.errors import Location
from meshproxy.records import record

_FIELDS = frozenset({"host", "subset", "port"})
LARGEST_WEIGHT = 2**31 - 1


@record(eq=False)
class Destination:
    """Where a share of a route's requests goes. ``host`` is completed; ``subset`` is empty where none is named.

    ``mirror``: it gets copies of requests, the answers to which nobody sees.
    """

    host: str
    subset: str
    port: int | None
    location: Location
    host_location: Location
    subset_location: Location
    port_location: Location
    mirror: bool = False

    @property
    def loss(self) -> str:
        """What becomes of its requests when there is no endpoint for them."""
        return "nothing is mirrored to it" if self.mirror else "its requests are answered 503"


@frozen
class Scope:
    """What names in a document are completed with."""

    namespace: str
    cluster_domain: str


def decode(node: Node, scope: Scope, findings: Findings, mirror: bool = False) -> Destination | None:
    """A destination, None if it is wrong."""
    usual = _usual(node, scope, mirror)
    if usual is not None:
        return usual
    fields = Fields(node, findings, _FIELDS)
    host = fields.read("host", _host)
    if host is None:
        fields.required("host")
    subset = fields.text("subset", checks.dns_label)
    port = fields.read("port", checks.port_selector)
    if host is None or subset is None or (port is None and "port" in fields):
        return None
    location = node.location
    return Destination(
        complete_host(host, scope.namespace, scope.cluster_domain),
        subset,
        port,
        location,
        fields.location_of("host"),
        fields.location_of("subset") if subset else location,
        fields.location_of("port") if port is not None else location,
        mirror,
    )


def _usual(node: Node, scope: Scope, mirror: bool) -> Destination | None:
    """One with nothing but a host and perhaps a port, both without fault; None for others."""
    entries = node.raw_entries
    if "host" not in entries or len(entries) > 2:
        return None
    host = entries["host"][2]
    if not is_string(host) or host.text == "*" or not is_wildcard_domain(host.text):
        return None
    port = None
    location = port_location = node.location
    if len(entries) == 2:
        if "port" not in entries:
            return None
        port = sole_number(entries["port"][2], "number")
        if port is None or port > checks.LARGEST_PORT:
            return None
        port_location = node.location_of_value(entries["port"][2])
    name = complete_host(host.text, scope.namespace, scope.cluster_domain)
    return Destination(name, "", port, location, node.location_of_value(host), location, port_location, mirror)


def _host(node: Node) -> str:
    host = checks.wildcard_domain(node)
    if host == "*":
        node.fail(f"{node.path} may not be '*'")
    return host
