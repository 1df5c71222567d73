"""What a load has made of its documents, as the warnings about it look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from attrs import field, frozen

from meshproxy.config.backend_policies import BackendPolicies
from meshproxy.config.clusters import Clusters
from meshproxy.config.gateway import Gateway, HostsByNamespace, Server, ServerHost
from meshproxy.config.memory import Memory
from meshproxy.config.metadata import Metadata
from meshproxy.config.names import MESH, HostSet, is_visible
from meshproxy.config.objects import Objects
from meshproxy.config.rules import MergedRule, Rules
from meshproxy.config.services import Service, Services
from meshproxy.config.virtual_hosts import Places
from meshproxy.config.virtual_service import VirtualService
from meshproxy.errors import Location
from meshproxy.model import ProxyIdentity
from meshproxy.routes import Forward, Route, VirtualHost

Owners = Mapping[Location, VirtualService]
"""The virtual service in which a route or a match block stands."""


@frozen(eq=False)
class Table:
    """The virtual hosts of one address, and the servers that share it; ``bind`` is as in ``Listener``."""

    bind: str
    port: int
    servers: Sequence[tuple[Gateway, Server]]
    virtual_hosts: Sequence[VirtualHost]


@frozen(eq=False)
class Compiled:
    """All stages of a load."""

    objects: Objects
    services: Services
    rules: Rules
    backend_policies: BackendPolicies
    clusters: Clusters
    tables: Sequence[Table]
    identity: ProxyIdentity
    places: Places
    memory: Memory
    _by_namespace: dict[Gateway, HostsByNamespace] = field(factory=dict, init=False)
    _all_hosts: dict[Gateway, HostSet] = field(factory=dict, init=False)
    _folded_hosts: dict[Gateway, tuple[HostSet, Mapping[str, Location]]] = field(factory=dict, init=False)
    _targets: dict[tuple[str, str], tuple[Service | None, MergedRule | None]] = field(factory=dict, init=False)

    @property
    def faulty(self) -> set[Metadata]:
        """The objects that have errors, so that what they seem to lack is not talked about."""
        return self.objects.faulty

    @cached_property
    def gateways(self) -> dict[str, Gateway]:
        """All gateways by qualified name."""
        return {gateway.metadata.qualified: gateway for gateway in self.objects.gateways}

    @cached_property
    def gateways_by_name(self) -> dict[str, str]:
        """For the name of each gateway the qualified name of the first one that is called so."""
        return {name.partition("/")[2]: name for name in reversed(self.gateways)}

    @cached_property
    def active(self) -> list[VirtualService]:
        """The virtual services with hosts that this proxy sees and that name a gateway, not only the mesh."""
        return [
            service
            for service in self.objects.virtual_services
            if service.hosts
            and is_visible(service.export_to, self.identity.namespace)
            and any(reference.name != MESH for reference in service.gateways)
        ]

    @cached_property
    def bound(self) -> dict[str, list[VirtualService]]:
        """The active virtual services by the qualified name of each gateway that they name."""
        found: dict[str, list[VirtualService]] = {}
        for service in self.active:
            for name in dict.fromkeys(reference.name for reference in service.gateways):
                found.setdefault(name, []).append(service)
        return found

    @cached_property
    def owners(self) -> Owners:
        """Those of all places of routes and match blocks."""
        return {place: service for service in self.objects.virtual_services for place in _places(service)}

    @cached_property
    def routes(self) -> list[Route]:
        """Every route of every table, each once."""
        return list(dict.fromkeys(route for routes in self.route_lists for route in routes))

    @cached_property
    def route_lists(self) -> list[tuple[Route, ...]]:
        """The routes of each virtual host of each table; the very same of many hosts are there once."""
        return list({id(host.routes): host.routes for table in self.tables for host in table.virtual_hosts}.values())

    @cached_property
    def used(self) -> dict[str, set[tuple[int, str]]]:
        """For each host that some route sends requests or copies of them to: the ports and subsets of it."""
        found: dict[str, set[tuple[int, str]]] = {}
        actions = {id(route.action): route.action for route in self.routes}
        names: set[str] = set()
        for action in actions.values():
            if isinstance(action, Forward):
                names.update([it.cluster for it in action.destinations])
                if action.mirrors:
                    names.update([it.cluster for it in action.mirrors])
        for name in names:
            _, port, subset, host = name.split("|", 3)
            found.setdefault(host, set()).add((int(port), subset))
        return found

    @cached_property
    def _named(self) -> set[str]:
        """The hosts that destinations of routes name."""
        return {destination.host for destination in self.clusters.resolved}

    def target(self, host: str, namespace: str) -> tuple[Service | None, MergedRule | None]:
        """The service that an object in ``namespace`` means by a host, and the rule for it."""
        key = (host, namespace)
        known = self._targets.get(key)
        if known is None:
            service = self.services.find(host, namespace)
            rule = None if service is None else self.rules.find(service.host, service.namespace)
            known = self._targets[key] = (service, rule)
        return known

    def used_of(self, service: Service) -> set[tuple[int, str]]:
        """The ports and subsets of a service that some route leads to; of an alias, those of what it stands for."""
        if service.alias:
            return self.used.get(service.alias, set()) if service.host in self._named else set()
        used = self.used.get(service.host, set())
        if len(self.services.all(service.host)) < 2:
            return used
        owned = {found: self.clusters.owner(service.host, *found) for found in used}
        if not any(owned.values()):
            return used
        return {found for found, owner in owned.items() if owner is service}

    def places_of(self, service: VirtualService) -> set[tuple[str, int]]:
        """The gateways and ports that are opened and have a host of a virtual service."""
        return self.places.get(service.metadata, set())

    def hosts_for(self, gateway: Gateway, namespace: str) -> HostSet:
        """The hosts of all servers of a gateway that virtual services of a namespace may use."""
        if gateway not in self._by_namespace:
            self._by_namespace[gateway] = HostsByNamespace(_entries(gateway))
        return self._by_namespace[gateway].usable(namespace)

    def all_hosts(self, gateway: Gateway) -> HostSet:
        """The hosts of all servers of a gateway, whoever may use them."""
        if gateway not in self._all_hosts:
            self._all_hosts[gateway] = HostSet([entry.host for entry in _entries(gateway)])
        return self._all_hosts[gateway]

    def folded_hosts(self, gateway: Gateway) -> tuple[HostSet, Mapping[str, Location]]:
        """The hosts of all servers of a gateway in lower case, and where each stands."""
        if gateway not in self._folded_hosts:
            places = {entry.host.lower(): entry.location for entry in _entries(gateway)}
            self._folded_hosts[gateway] = (HostSet(places), places)
        return self._folded_hosts[gateway]


def _places(service: VirtualService) -> list[Location]:
    return [place for it in service.http for place in (it.location, *[match.location for match in it.matches])]


def _entries(gateway: Gateway) -> list[ServerHost]:
    return [entry for server in gateway.servers for entry in server.hosts]
