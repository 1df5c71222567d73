"""The virtual hosts of a listener: which virtual services meet which hosts, and their routes in order of precedence.

Source: Istio's table of virtual hosts of a gateway. All servers of one address share a table. The lists of virtual
services with a common host are joined, the older first; routes that take every path go behind all others of that host.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from meshproxy.config.clusters import Clusters
from meshproxy.config.gateway import Gateway, Server
from meshproxy.config.names import EVERYWHERE, HostSet
from meshproxy.config.virtual_service import HttpRoute, Match, VirtualService
from meshproxy.interfaces import IHashKey
from meshproxy.model import Forward, PathMatch, ProxyIdentity, Route, VirtualHost, WeightedDestination


@frozen(eq=False)
class Opened:
    """A server that is opened, and the gateway that it is of."""

    gateway: Gateway
    server: Server


class VirtualHosts:
    """Makes the tables of one snapshot.

    Once they are made: ``met`` has the pairs of gateway and virtual service with a host in common, ``routed`` the
    virtual services of which some listener has a route; both by qualified names.
    """

    def __init__(self, virtual_services: Iterable[VirtualService], identity: ProxyIdentity, clusters: Clusters) -> None:
        self.met: set[tuple[str, str]] = set()
        self.routed: set[str] = set()
        self._identity = identity
        self._labels = dict(identity.labels)
        self._clusters = clusters
        self._by_gateway: dict[str, list[VirtualService]] = {}
        for service in _in_order(virtual_services, identity.namespace):
            for name in dict.fromkeys(reference.name for reference in service.gateways):
                self._by_gateway.setdefault(name, []).append(service)
        self._usable: dict[tuple[Server, str], HostSet] = {}
        self._hosts: dict[VirtualService, list[str]] = {}
        self._routes: dict[tuple[VirtualService, int, str], list[Route]] = {}
        self._forwards: dict[tuple[HttpRoute, int], Forward] = {}
        self._made: dict[tuple[HttpRoute | Match, int], Route] = {}

    def table(self, servers: Sequence[Opened]) -> list[VirtualHost]:
        """The virtual hosts for the servers of one address, in the order in which they were joined."""
        hosts: dict[str, dict[Route, None]] = {}
        for opened in servers:
            name = opened.gateway.metadata.qualified
            for service in self._by_gateway.get(name, ()):
                common = self._common_hosts(opened.server, service)
                if not common:
                    continue
                self.met.add((name, service.metadata.qualified))
                routes = self._routes_of(service, opened.server.port, name)
                if routes:
                    self.routed.add(service.metadata.qualified)
                    for host in common:
                        # The routes of a service that comes twice, through two gateways, need not be there twice.
                        hosts.setdefault(host.lower(), {}).update(dict.fromkeys(routes))
        return [VirtualHost(host, _catch_all_last(routes)) for host, routes in hosts.items()]

    def _common_hosts(self, server: Server, service: VirtualService) -> list[str]:
        hosts = self._hosts.get(service)
        if hosts is None:
            hosts = self._hosts[service] = [host for host, _ in service.hosts]
        key = (server, service.metadata.namespace)
        usable = self._usable.get(key)
        if usable is None:
            usable = self._usable[key] = server.hosts_for(service.metadata.namespace)
        return usable.common(hosts)

    def _routes_of(self, service: VirtualService, port: int, gateway: str) -> list[Route]:
        key = (service, port, gateway)
        routes = self._routes.get(key)
        if routes is None:
            routes = self._routes[key] = list(self._entries(service, port, gateway))
        return routes

    def _entries(self, service: VirtualService, port: int, gateway: str) -> Iterable[Route]:
        """The list of one virtual service, which ends with the first entry that takes everything."""
        for http in service.http:
            if not http.destinations:
                continue
            if not http.matches:
                yield self._route(http, None, service, port)
                return
            for match in http.matches:
                if self._applies(match, port, gateway):
                    yield self._route(http, match, service, port)
                    if match.path.catch_all:
                        return

    def _route(self, http: HttpRoute, match: Match | None, service: VirtualService, port: int) -> Route:
        """One entry; the same object for all gateways, so that it is known again."""
        key = (match or http, port)
        route = self._made.get(key)
        if route is None:
            forward = self._forward(http, service, port)
            if match is None:
                route = Route(PathMatch(), forward, http.name, http.location)
            else:
                name = f"{http.name}.{match.name}" if match.name else http.name
                route = Route(match.path, forward, name, match.location)
            self._made[key] = route
        return route

    def _applies(self, match: Match, port: int, gateway: str) -> bool:
        if match.port is not None and match.port != port:
            return False
        if match.gateways is not None:
            return gateway in match.gateways
        if match.source_namespace and match.source_namespace != self._identity.namespace:
            return False
        return match.source_labels.items() <= self._labels.items()

    def _forward(self, http: HttpRoute, service: VirtualService, port: int) -> Forward:
        key = (http, port)
        forward = self._forwards.get(key)
        if forward is None:
            forward = self._forwards[key] = self._make_forward(http, service, port)
        return forward

    def _make_forward(self, http: HttpRoute, service: VirtualService, port: int) -> Forward:
        single = len(http.destinations) == 1
        destinations = []
        hash_policy: list[IHashKey] = []
        avoid_previous_hosts = True
        for destination in http.destinations:
            if not single and not destination.weight:
                continue
            resolved = self._clusters.resolve(destination, service.metadata.namespace, port)
            destinations.append(WeightedDestination(resolved.cluster, destination.weight or 1))
            if resolved.key is not None:
                # Even a consistentHash without a key: it is the block that counts.
                avoid_previous_hosts = not single
                if resolved.key.hash_key is not None:
                    hash_policy.append(resolved.key.hash_key)
        return Forward(tuple(destinations), tuple(hash_policy), avoid_previous_hosts=avoid_previous_hosts)


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


def _catch_all_last(routes: Iterable[Route]) -> tuple[Route, ...]:
    ordered = list(routes)
    specific = [route for route in ordered if not route.match.catch_all]
    return tuple(specific + [route for route in ordered if route.match.catch_all])
