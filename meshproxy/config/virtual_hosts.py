"""The virtual hosts of a listener: which virtual services meet which hosts, and their routes in order of precedence.

Source: Istio's table of virtual hosts of a gateway. All servers of one address share a table. The lists of virtual
services with a common host are joined, the older first; routes that take every path go behind all others of that host.
Where a server redirects to https, that comes before all routes of its hosts, even where there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from meshproxy.config.clusters import Clusters
from meshproxy.config.gateway import Server
from meshproxy.config.http_compile import Placed, RouteCompiler
from meshproxy.config.http_match import Match
from meshproxy.config.http_policies import DEFAULT_RETRIES, Retries
from meshproxy.config.memory import Memory
from meshproxy.config.metadata import Metadata
from meshproxy.config.names import EVERYWHERE, HostSet
from meshproxy.config.servers import Opened
from meshproxy.config.virtual_service import VirtualService
from meshproxy.errors import ConfigError
from meshproxy.model import ProxyIdentity
from meshproxy.routes import Comparison, Redirect, Route, RouteMatch, TextMatch, VirtualHost

MOST_ROUTES = 500_000
"""For all hosts together. Joining every virtual service with every host can make more than a machine can hold."""

Places = dict[Metadata, set[tuple[str, int]]]
"""Virtual services with the gateways and ports that have one of their hosts."""

_HOSTS_AT_ONCE = 2  # that are compared with those of a server in the time that a route takes
_COST_OF_ANOTHER_PORT = 5  # Routes are made anew for each port.
_PLAIN = RouteMatch(scheme=TextMatch(Comparison.EXACT, "http"))
_TO_HTTPS = Redirect(scheme="https", keep_port=True)


@frozen(eq=False)
class RouteList:
    """The routes of one virtual service, up to the first that takes everything, and the entries that they are of."""

    entries: tuple[Placed, ...]
    routes: tuple[Route, ...]


class VirtualHosts:
    """Makes the tables of one snapshot.

    Once they are made, ``places`` has the gateways and ports that have a host in common with a virtual service.
    ``retries`` are those of a route that has none of its own. What is as it was in the load before is taken over.
    """

    def __init__(
        self,
        virtual_services: Iterable[VirtualService],
        identity: ProxyIdentity,
        clusters: Clusters,
        memory: Memory,
        retries: Retries = DEFAULT_RETRIES,
    ) -> None:
        self.places: Places = {}
        self._identity = identity
        self._labels = dict(identity.labels)
        self._compiler = RouteCompiler(clusters, retries, memory)
        by_gateway: dict[str, list[VirtualService]] = {}
        for service in _in_order(virtual_services, identity.namespace):
            for name in dict.fromkeys(reference.name for reference in service.gateways):
                by_gateway.setdefault(name, []).append(service)
        self._by_gateway = by_gateway
        self._by_host: dict[str, _ByHost] = {}
        self._shared: dict[tuple[int, ...], _ByHost] = {}
        self._ordered: dict[tuple[Route | RouteList | None, ...], tuple[Route, ...]] = {}
        self._left = MOST_ROUTES
        self._compiled: set[VirtualService] = set()
        self._hosts: dict[VirtualService, list[str]] = {}
        self._lists = memory.lists
        self._virtual_hosts = memory.hosts

    def table(self, servers: Sequence[Opened]) -> list[VirtualHost]:
        """The virtual hosts for the servers of one address, in the order in which they were joined."""
        hosts: dict[str, dict[RouteList, None]] = {}
        redirects: dict[str, Route] = {}
        for opened in servers:
            redirect = None
            if opened.server.https_redirect:
                redirect = Route(_PLAIN, _TO_HTTPS, location=opened.server.location)
            name = opened.gateway.metadata.qualified
            for service in self._overlapping(opened):
                self._left -= 1 + len(service.hosts) // _HOSTS_AT_ONCE
                self._check_left(opened.server)
                common = self._common_hosts(opened.server, service)
                if not common:
                    continue
                self.places.setdefault(service.metadata, set()).add((name, opened.server.port))
                found = self._list_of(service, opened.server.port, name)
                if found.routes:
                    self._left -= len(found.routes) * len(common)
                    for host in common:
                        hosts.setdefault(host.lower(), {})[found] = None
                        if redirect is not None:
                            redirects.setdefault(host.lower(), redirect)
            if redirect is not None:
                for entry in opened.server.hosts:
                    hosts.setdefault(entry.host.lower(), {})
                    redirects.setdefault(entry.host.lower(), redirect)
        address = (servers[0].server.bind, servers[0].server.port)
        table = []
        for host, lists in hosts.items():
            ordered = self._in_order(lists, redirects.get(host))
            known = self._virtual_hosts.before.get((address, host))
            if known is None or known.routes != ordered:
                known = VirtualHost(host, ordered)
            self._virtual_hosts.now[address, host] = known
            table.append(known)
        return table

    def _overlapping(self, opened: Opened) -> list[VirtualService]:
        """The virtual services of a gateway with a host that overlaps with one of a server."""
        name = opened.gateway.metadata.qualified
        by_host = self._by_host.get(name)
        if by_host is None:
            services = self._by_gateway.get(name, [])
            key = tuple(map(id, services))  # many gateways may have the same ones
            by_host = self._shared.get(key)
            if by_host is None:
                self._left -= sum(len(service.hosts) for service in services)
                self._check_left(opened.server)
                by_host = self._shared[key] = _ByHost(services)
            self._by_host[name] = by_host
        return by_host.overlapping([entry.host for entry in opened.server.hosts])

    def _check_left(self, server: Server) -> None:
        if self._left <= 0:
            message = f"this gateway would have more than {MOST_ROUTES:,} routes, counted for each host anew"
            raise ConfigError.at(server.location, message)

    def _in_order(self, lists: Iterable[RouteList], redirect: Route | None) -> tuple[Route, ...]:
        """In order of precedence; the same tuple for hosts with the same routes."""
        key = (redirect, *lists)
        ordered = self._ordered.get(key)
        if ordered is None:
            ordered = self._ordered[key] = _in_precedence(lists, redirect)
        return ordered

    def _common_hosts(self, server: Server, service: VirtualService) -> list[str]:
        hosts = self._hosts.get(service)
        if hosts is None:
            hosts = self._hosts[service] = [host for host, _ in service.hosts]
        return server.hosts_for(service.metadata.namespace).common(hosts)

    def _list_of(self, service: VirtualService, port: int, gateway: str) -> RouteList:
        key = (service, port, gateway)
        found = self._lists.now.get(key)
        if found is None:
            found = self._lists.before.get(key)
            if found is None or not self._is_still(found, service.metadata.namespace, port):
                found = self._new_list(service, port, gateway)
            self._lists.now[key] = found
            if service in self._compiled:
                self._left -= _COST_OF_ANOTHER_PORT * len(found.routes)
            self._compiled.add(service)
        return found

    def _is_still(self, known: RouteList, namespace: str, port: int) -> bool:
        """Whether the entries of a list of the load before are those of this one."""
        return all(self._compiler.place(it.http, namespace, port) is it for it in known.entries)

    def _new_list(self, service: VirtualService, port: int, gateway: str) -> RouteList:
        namespace, compiler = service.metadata.namespace, self._compiler
        entries: list[Placed] = []
        routes: list[Route] = []
        for http in service.http:
            if not http.acts:
                continue
            placed = None
            for match in http.matches or (None,):
                if match is not None and service.narrowed and not self._applies(match, port, gateway):
                    continue
                if placed is None:
                    placed = compiler.place(http, namespace, port)
                    entries.append(placed)
                route = compiler.route(placed, match)
                routes.append(route)
                if route.match.catch_all:
                    return RouteList(tuple(entries), tuple(routes))
        return RouteList(tuple(entries), tuple(routes))

    def _applies(self, match: Match, port: int, gateway: str) -> bool:
        if match.port is not None and match.port != port:
            return False
        if match.gateways is not None:
            return gateway in match.gateways
        if match.source_namespace and match.source_namespace != self._identity.namespace:
            return False
        return match.source_labels.items() <= self._labels.items()


class _ByHost:
    """The virtual services of a gateway, in order, by their hosts."""

    def __init__(self, services: Sequence[VirtualService]) -> None:
        self._services = services
        self._numbers: dict[str, list[int]] = {}
        for number, service in enumerate(services):
            for host, _ in service.hosts:
                self._numbers.setdefault(host, []).append(number)
        self._hosts = HostSet(self._numbers)

    def overlapping(self, hosts: Iterable[str]) -> list[VirtualService]:
        """Those with a host that overlaps with one of these."""
        found = {number for host in self._hosts.overlapping(hosts) for number in self._numbers[host]}
        return [self._services[number] for number in sorted(found)]


def _in_order(services: Iterable[VirtualService], namespace: str) -> list[VirtualService]:
    """The visible ones: those that only this namespace sees, those exported to it by name, those for everyone."""
    private: list[VirtualService] = []
    exported: list[VirtualService] = []
    public: list[VirtualService] = []
    for service in services:
        if EVERYWHERE in service.export_to:
            public.append(service)
        elif namespace in service.export_to:
            (private if service.metadata.namespace == namespace else exported).append(service)
    return private + exported + public


def _in_precedence(lists: Iterable[RouteList], redirect: Route | None) -> tuple[Route, ...]:
    """First a redirect to https, then specific routes, then those that take everything."""
    first = [] if redirect is None else [redirect]
    specific: dict[Route, None] = {}
    last: dict[Route, None] = {}
    for it in lists:
        # Only the end of a list can take everything. What comes twice, through two gateways, need not be there twice.
        end = it.routes[-1:] if it.routes[-1].match.catch_all else ()
        specific.update(dict.fromkeys(it.routes[: len(it.routes) - len(end)]))
        last.update(dict.fromkeys(end))
    return (*first, *specific, *last)
