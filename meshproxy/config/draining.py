"""``draining`` of a BackendPolicy: endpoints that take no new sessions and keep those they have for a while."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import canonical_ip
from meshproxy.errors import Location
from meshproxy.model import Endpoint
from meshproxy.policies import FOR_EVER, Drain


@frozen(eq=False)
class DrainingSetting:
    """The list, and where each of its items stands."""

    location: Location
    drains: tuple[tuple[Drain, Location], ...]

    def of(
        self, endpoints: Sequence[Endpoint], persistent: bool, service: str, findings: Findings
    ) -> tuple[Drain, ...]:
        """Those of a service's endpoints, of which there are none where addresses are looked up later.

        ``persistent``: sessions are known by cookies.
        """
        found = []
        for drain, location in self.drains:
            if endpoints and not any(drain.covers(it.address, it.port) for it in endpoints):
                message = f"no endpoint of {service} is at {drain.shown}, so this drains none"
                findings.warning(location, message)
                continue
            if drain.until != FOR_EVER and not persistent:
                message = f"until has no effect: without persistence {drain.shown} gets no request of {service} at all"
                findings.warning(location, message)
            found.append(drain)
        if endpoints and all(any(drain.covers(it.address, it.port) for drain in found) for it in endpoints):
            findings.warning(self.location, f"all endpoints of {service} drain: new sessions are answered 503")
        return tuple(found)


def decode(node: Node, findings: Findings) -> DrainingSetting:
    """The list, without the items that are wrong."""
    found: dict[tuple[str, int | None], tuple[Drain, Location]] = {}
    for item in findings.attempt(node.items) or ():
        drain = _drain(item, findings)
        if drain is None:
            continue
        if (drain.address, drain.port) in found:
            findings.error(item.location, f"{item.path}: {drain.shown} is there already")
        found[drain.address, drain.port] = (drain, item.location)
    return DrainingSetting(node.location, tuple(found.values()))


def _drain(node: Node, findings: Findings) -> Drain | None:
    fields = Fields(node, findings, ("address", "port", "until"))
    fields.required("address")
    address = fields.read("address", _ip)
    port = fields.read("port", checks.port_number)
    until = fields.read("until", _time)
    if address is None or (port is None and "port" in fields) or (until is None and "until" in fields):
        return None
    return Drain(address, port, FOR_EVER if until is None else until)


def _ip(node: Node) -> str:
    text = node.string()
    address = canonical_ip(text)
    if address is None:
        node.fail(f"{node.path} must be an IP address, not {text!r}", "a port stands beside it" if ":" in text else "")
    return address


def _time(node: Node) -> float:
    text = node.string()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        node.fail(f"{node.path} must be a time such as 2030-05-01T12:00:00Z, with its zone, not {text!r}")
    return found.timestamp()
