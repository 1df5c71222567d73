"""Which servers of which gateways are opened, and which of them share an address.

Source: Istio's merging of gateways. Servers come in the order of their gateways, the older first. Servers of plain HTTP
share an address; where the first one is of another kind, or a later one is, the later one is dropped. Of servers with a
``tls`` block, even one that only redirects, a later one is dropped when it repeats a host of an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from meshproxy.config.findings import Findings
from meshproxy.config.gateway import UNOPENED, Gateway, Server
from meshproxy.model import ProxyIdentity

Address = tuple[str, int]


@frozen(eq=False)
class Opened:
    """A server that is opened, and the gateway that it is of."""

    gateway: Gateway
    server: Server


def selected(gateways: Iterable[Gateway], identity: ProxyIdentity) -> list[Gateway]:
    """The gateways that this proxy is meant to open."""
    labels = dict(identity.labels)
    return [gateway for gateway in gateways if gateway.selector.items() <= labels.items()]


def joined(gateways: Iterable[Gateway], findings: Findings) -> Mapping[Address, list[Opened]]:
    """The servers of each address, in order, without those that are dropped; what is dropped is said."""
    addresses: dict[Address, list[Opened]] = {}
    redirecting: dict[Address, dict[tuple[str, str], Server]] = {}
    for gateway in gateways:
        for server in gateway.servers:
            if server.protocol == UNOPENED:
                continue
            address = (server.bind, server.port)
            if server.has_tls and _repeats_host(server, redirecting.setdefault(address, {}), findings):
                continue
            others = addresses.setdefault(address, [])
            if others and not _go_together(others[0].server, server):
                first = others[0].server
                message = f"this server is dropped: {first.protocol} comes first on port {server.port}"
                findings.warning(server.location, message, f"see {first.location}", "IST0145")
                continue
            others.append(Opened(gateway, server))
    return addresses


def _repeats_host(server: Server, known: dict[tuple[str, str], Server], findings: Findings) -> bool:
    """Whether a host is one of an earlier server of this address; otherwise they are all known from now on."""
    for entry in server.hosts:
        earlier = known.get((entry.namespace, entry.host))
        if earlier is not None:
            message = f"this server is dropped: an earlier one with tls has host {entry.host} on port {server.port}"
            findings.warning(entry.location, message, f"see {earlier.location}", "IST0145")
            return True
    known.update(((entry.namespace, entry.host), server) for entry in server.hosts)
    return False


def _go_together(first: Server, later: Server) -> bool:
    if first.is_encrypted:
        return later.has_tls
    return first.is_http and later.is_http
