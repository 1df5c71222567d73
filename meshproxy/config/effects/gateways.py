"""Gateways and hosts of gateways that do nothing at this proxy."""

from __future__ import annotations

from collections.abc import Mapping

from meshproxy.config.effects.compiled import Compiled, Table
from meshproxy.config.findings import Findings
from meshproxy.config.gateway import Gateway, ServerHost
from meshproxy.config.names import EVERYWHERE, HostSet
from meshproxy.config.virtual_service import VirtualService
from meshproxy.errors import Location

_ALL_ADDRESSES = "0.0.0.0"


def warn_of_gateways(compiled: Compiled, findings: Findings) -> None:
    """Report selectors that this proxy does not meet, hosts that nobody has routes for, and conflicts."""
    _warn_of_selectors(compiled, findings)
    _warn_of_repeated_hosts(compiled, findings)
    _warn_of_same_address(compiled, findings)
    if "VirtualService" not in compiled.objects.broken:
        for table in compiled.tables:
            _warn_of_hosts(table, compiled, findings)


def _warn_of_selectors(compiled: Compiled, findings: Findings) -> None:
    labels = dict(compiled.identity.labels)
    for gateway in compiled.objects.gateways:
        lacking = sorted(gateway.selector.items() - labels.items())
        if lacking:
            message = f"{gateway.metadata} is not opened: its selector asks for labels that this proxy does not have"
            hint = f"it does not have {', '.join(f'{key}={value}' for key, value in lacking)} (see --proxy-label)"
            findings.warning(gateway.metadata.location, message, hint, "IST0101")


def _warn_of_repeated_hosts(compiled: Compiled, findings: Findings) -> None:
    """Istio calls it a conflict, though plain HTTP servers share what both are given."""
    first: dict[tuple[str, int, str, str], tuple[Gateway, ServerHost]] = {}
    said: set[tuple[str, str]] = set()
    for table in compiled.tables:
        for gateway, server in table.servers:
            for entry in server.hosts:
                key = (table.bind, table.port, entry.namespace, entry.host)
                other, place = first.setdefault(key, (gateway, entry))
                pair = (other.metadata.qualified, gateway.metadata.qualified)
                if other is gateway and place is not entry:
                    message = f"an earlier server of this Gateway has host {entry.host} on port {server.port} too"
                    findings.warning(entry.location, message, f"see {place.location}")
                elif other is not gateway and pair not in said:
                    said.add(pair)
                    message = (
                        f"{other.metadata} has host {entry.host} on port {server.port} too:"
                        " the routes of both are joined for it"
                    )
                    findings.warning(entry.location, message, f"see {place.location}", "IST0145")


def _warn_of_same_address(compiled: Compiled, findings: Findings) -> None:
    """Servers whose ``bind`` says what servers without one mean anyway: only one of two listeners gets the address."""
    plain = {table.port: table for table in compiled.tables if not table.bind}
    for table in compiled.tables:
        other = plain.get(table.port)
        if table.bind == _ALL_ADDRESSES and other is not None:
            message = f"bind {table.bind} is the address of servers without bind: both cannot listen on it"
            first = other.servers[0][1].location
            findings.warning(table.servers[0][1].location, message, f"leave bind away; see {first}")


def _warn_of_hosts(table: Table, compiled: Compiled, findings: Findings) -> None:
    if any(gateway.metadata in compiled.faulty for gateway, _ in table.servers):
        return
    if not table.virtual_hosts:
        location = table.servers[0][1].location
        message = f"no VirtualService has a route for port {table.port}: all requests are answered 404"
        findings.warning(location, message)
        return
    known: dict[str, _Bound] = {}
    for gateway, server in table.servers:
        name = gateway.metadata.qualified
        if name not in known:
            known[name] = _Bound(name, compiled)
        for entry in server.hosts:
            if not known[name].meets(entry) and not server.https_redirect:
                message = f"no VirtualService has a host that fits {entry.host}: its requests are answered 404"
                findings.warning(entry.location, message, known[name].reason(entry))


class _Bound:
    """The hosts of the virtual services that name one gateway, by their namespace."""

    def __init__(self, gateway: str, compiled: Compiled) -> None:
        hosts: dict[str, list[str]] = {}
        self._owners: dict[str, tuple[VirtualService, Location]] = {}
        for service in compiled.bound.get(gateway, ()):
            for host, place in service.hosts:
                hosts.setdefault(service.metadata.namespace, []).append(host)
                hosts.setdefault(EVERYWHERE, []).append(host)
                for name in (host, host.lower()):
                    self._owners.setdefault(name, (service, place))
        self._sets: Mapping[str, HostSet] = {namespace: HostSet(found) for namespace, found in hosts.items()}
        self._all = self._sets.get(EVERYWHERE, HostSet(()))
        self._folded = HostSet([host.lower() for host in hosts.get(EVERYWHERE, ())])

    def meets(self, entry: ServerHost) -> bool:
        """Whether a virtual service that may use an entry has a host that fits it."""
        hosts = self._sets.get(entry.namespace)
        return hosts is not None and hosts.overlaps(entry.host)

    def reason(self, entry: ServerHost) -> str:
        """Which virtual service nearly fits, and what keeps it away."""
        for known, host, reason in (
            (self._all, entry.host, f"only VirtualServices of namespace {entry.namespace} may use it, and {{}} is not"),
            (self._folded, entry.host.lower(), "upper and lower case differ: see {}"),
        ):
            owner = self._owners.get(known.first_within(host) or known.narrowest(host) or "")
            if owner is not None:
                return reason.format(owner[0].metadata if known is self._all else owner[1])
        return ""
