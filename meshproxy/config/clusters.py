"""Clusters: made for the destinations of routes, each once, and taken over from the snapshot before where equal.

A destination whose service, port or subset does not exist gets a name all the same, as in Istio: no cluster has it, and
its share of requests is answered 503.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from attrs import asdict, evolve, field, frozen

from meshproxy.config.backend_policies import BackendPolicies
from meshproxy.config.backend_policy import Blocks
from meshproxy.config.balancers import Balancers, equal
from meshproxy.config.balancing import Balancing, Strategies
from meshproxy.config.cluster_endpoints import drains, of_subset, usable_endpoints
from meshproxy.config.connection_pool import PoolBlock
from meshproxy.config.decoding import not_served
from meshproxy.config.destination_rule import Policy, Subset
from meshproxy.config.destinations import Destination
from meshproxy.config.diagnostics import suggest
from meshproxy.config.findings import Findings
from meshproxy.config.hash_keys import KeySetting
from meshproxy.config.mesh import MeshOptions
from meshproxy.config.outliers import OutlierSetting
from meshproxy.config.placing import Placing
from meshproxy.config.rules import MergedRule, Rules
from meshproxy.config.secrets import Secrets
from meshproxy.config.service_entry import Resolution
from meshproxy.config.services import Service, Services
from meshproxy.config.syntax import canonical_ip
from meshproxy.errors import ConfigError
from meshproxy.interfaces import ILoadBalancerBuilder
from meshproxy.model import UNIX_MARKS, Cluster, Endpoint, PolicyOrigin, ProxyIdentity, taking
from meshproxy.policies import ConnectionPool, Drain, HealthCheck, OutlierDetection, Persistence

_NOT_SERVED_PROTOCOLS = ("HTTP2", "GRPC", "GRPC-WEB")
_ENCRYPTED = ("HTTPS", "TLS")


@frozen(eq=False)
class Resolved:
    """A destination as a route needs it.

    ``key`` is the consistentHash whose hash key the route takes over. ``blocks`` are those of backend policies for it.
    """

    cluster: str
    key: Balancing | None = None
    blocks: Blocks = field(factory=Blocks)

    @property
    def policy_keys(self) -> KeySetting | None:
        """What backend policies say of keys."""
        return None if self.blocks.consistent_hash is None else self.blocks.consistent_hash.keys


class _Found(NamedTuple):
    """Of what a cluster is to be made."""

    service: Service
    port: int
    rule: MergedRule | None
    subset: Subset | None


@frozen(eq=False)
class _Wanted:
    """A cluster before its balancer is built. ``endpoints`` may have host names for addresses, by its resolution."""

    endpoints: tuple[Endpoint, ...]
    resolution: Resolution
    balancing: Balancing
    builder: ILoadBalancerBuilder
    connect_timeout: float
    outliers: OutlierDetection | None
    pool: ConnectionPool
    persistence: Persistence | None
    draining: tuple[Drain, ...]
    health_check: HealthCheck | None


MOST_ENDPOINTS = 500_000
"""For all clusters together. Each of them keeps what it knows of each of its endpoints."""


class Clusters:
    """The clusters of a snapshot while it is compiled.

    ``broken``: kinds of which objects may be missing. ``resolved`` has the destinations that some route uses,
    ``origins`` says where the load balancers come from.
    """

    def __init__(
        self,
        services: Services,
        rules: Rules,
        policies: BackendPolicies,
        secrets: Secrets,
        strategies: Strategies,
        findings: Findings,
        broken: set[str],
        mesh: MeshOptions,
        proxy: ProxyIdentity,
        previous: Mapping[str, Cluster],
    ) -> None:
        self.clusters: dict[str, Cluster] = {}
        self.origins: dict[str, PolicyOrigin] = {}
        self.resolved: set[Destination] = set()
        self._services = services
        self._rules = rules
        self._policies = policies
        self._secrets = secrets
        self._strategies = strategies
        self._findings = findings
        self._broken = broken
        self._connect_timeout = mesh.connect_timeout
        self._placing = Placing(mesh.locality, proxy, findings)
        self._previous = previous
        self._owners: dict[str, Service] = {}
        self._balancers = Balancers(strategies, findings)
        # Nearly all destinations ask for what another one has asked for before.
        self._found: dict[tuple[object, ...], Resolved] = {}
        self._left = MOST_ENDPOINTS

    def resolve(self, destination: Destination, namespace: str, gateway_port: int) -> Resolved:
        """The cluster and hash key for a destination of a virtual service in ``namespace``."""
        self.resolved.add(destination)
        key = (destination.host, destination.subset, destination.port, namespace, gateway_port)
        known = self._found.get(key)
        if known is not None:
            return known
        resolved, found = self._look_up(destination, namespace, gateway_port)
        if found is not None:
            self._make(resolved, destination, found)
            if self._owners[resolved.cluster] is found.service:
                self._found[key] = resolved  # there is nothing to say about it
        return resolved

    def owner(self, host: str, port: int, subset: str) -> Service | None:
        """The service whose endpoints are in the cluster for a port and subset of a host."""
        return self._owners.get(_name(port, subset, host))

    def check(self, destination: Destination, namespace: str, gateway_port: int) -> None:
        """Only report what a destination lacks."""
        self._look_up(destination, namespace, gateway_port)

    def _look_up(self, destination: Destination, namespace: str, gateway_port: int) -> tuple[Resolved, _Found | None]:
        """What a destination comes to, and of what its cluster is to be made, None where something is missing."""
        host = destination.host
        service = self._services.find(host, namespace)
        if service is None:
            self._warn_of_unknown_host(destination, host)
            port = gateway_port if destination.port is None else destination.port
            return Resolved(_name(port, destination.subset, host)), None
        rule = self._rules.find(host, service.namespace)
        subset = None if rule is None else rule.subsets.get(destination.subset)
        # By the host that is written, also where it is an alias; so does Istio.
        key = None if rule is None else rule.consistent(destination.port, subset)
        port = _port(destination, service, gateway_port)
        name = _name(port, destination.subset, service.alias or host)
        if service.alias:
            real = self._services.find(service.alias, namespace)
            if real is None or real.alias:
                self._warn_of_unknown_host(destination, service.alias, f"{service.metadata} stands for it")
                return Resolved(name, key), None
            service = real
            rule = self._rules.find(service.host, service.namespace)
            subset = None if rule is None else rule.subsets.get(destination.subset)
        found = _Found(service, port, rule, subset)
        blocks = self._policies.blocks(service.host, service.namespace, port, destination.subset)
        return Resolved(name, key, blocks), (found if self._exists(destination, found) else None)

    def _exists(self, destination: Destination, found: _Found) -> bool:
        service, port, rule, subset = found
        exists = True
        if port not in service.ports:
            exists = False
            if service.metadata.kind not in self._broken:
                ports = ", ".join(map(str, sorted(service.ports))) or "none"
                hint = f"its ports are {ports}" if destination.port else f"its ports are {ports}: name one of them"
                message = f"{service.host} has no port {port}: {destination.loss}"
                self._findings.warning(destination.port_location, message, hint, "IST0101")
        if destination.subset and subset is None:
            exists = False
            if "DestinationRule" not in self._broken:
                if rule is None:
                    hint = "no DestinationRule for this host applies here"
                else:
                    known = ", ".join(rule.subsets) or "none"
                    hint = suggest(destination.subset, rule.subsets) or f"its subsets are {known}"
                message = f"{service.host} has no subset {destination.subset!r}: {destination.loss}"
                self._findings.warning(destination.subset_location, message, hint, "IST0101")
        return exists

    def _warn_of_unknown_host(self, destination: Destination, host: str, hint: str = "") -> None:
        if self._broken & {"Service", "ServiceEntry"}:
            return
        if self._services.is_hidden(host):
            message = f"the exportTo of {host} hides it from this proxy: {destination.loss}"
            self._findings.warning(destination.host_location, message, hint, "IST0101")
            return
        hint = hint or suggest(host, self._services.hosts)
        short = host.partition(".")[0]
        if not hint and "." in host and short in self._services.hosts:
            hint = f"a ServiceEntry's host {short!r} is not completed; a destination's is: give it a name with a dot"
        message = f"there is no service {host}: {destination.loss}"
        self._findings.warning(destination.host_location, message, hint, "IST0101")

    def _make(self, resolved: Resolved, destination: Destination, found: _Found) -> None:
        name, blocks = resolved.cluster, resolved.blocks
        service, port, rule, subset = found
        owner = self._owners.setdefault(name, service)
        if owner is not service:
            message = f"{service.host} is taken from {owner.metadata}, which another VirtualService uses already"
            self._findings.warning(destination.host_location, message)
        if owner is not service or name in self.clusters:
            return
        protocol = service.ports[port].protocol
        if protocol in _NOT_SERVED_PROTOCOLS:
            hint = f"{service.metadata} declares it at {service.ports[port].location}"
            what = f"protocol {protocol} of port {port} of {service.host}"
            not_served(self._findings, destination.host_location, what, hint)
            return
        if protocol in _ENCRYPTED:
            message = f"port {port} of {service.host} is {protocol}, but requests are sent there as plain HTTP"
            self._findings.warning(service.ports[port].location, message, "as Istio does without trafficPolicy.tls")
        endpoints = usable_endpoints(destination, service, port, subset, self._broken, self._findings)
        leaving = () if blocks.persistence is None else of_subset(service.leaving(port, self._findings), subset)
        endpoints = (*endpoints, *leaving) if leaving else endpoints
        if blocks.consistent_hash is not None:
            spread = service.resolution is Resolution.DNS
            endpoints = blocks.consistent_hash.identified(endpoints, service.host, spread, self._findings)
        self._left -= len(endpoints)
        if self._left < 0:
            message = f"there would be more than {MOST_ENDPOINTS:,} endpoints, counted for each port and subset anew"
            raise ConfigError.at(destination.location, message)
        if not endpoints and service.resolution.by_name:
            return  # Istio makes no cluster of names without a name
        policy = Policy() if rule is None else rule.effective(port, subset)
        balancing, outliers = policy.balancing or self._strategies.default, policy.outliers
        if balancing is None:
            return
        self.origins[name] = _origin(balancing, rule, port, subset)
        block = policy.connection_pool or PoolBlock()
        timeout, keeping = block.connect_timeout, blocks.persistence
        cluster = _Wanted(
            endpoints,
            service.resolution,
            balancing,
            self._builder(service, endpoints, balancing, outliers, blocks),
            self._connect_timeout if timeout is None else timeout,
            None if outliers is None else outliers.detection,
            evolve(block.pool, retry_budget=policy.retry_budget),
            None if keeping is None else keeping.policy(service.host, self._secrets, self._findings),
            drains(blocks, service, endpoints, leaving, self._findings),
            None if blocks.health_check is None else blocks.health_check.of(service.host),
        )
        self._add(name, cluster)

    def _builder(
        self,
        service: Service,
        endpoints: tuple[Endpoint, ...],
        balancing: Balancing,
        outliers: OutlierSetting | None,
        blocks: Blocks,
    ) -> ILoadBalancerBuilder:
        builder, hashing = balancing.builder, blocks.consistent_hash
        if hashing is not None:
            builder = hashing.bounded(balancing, service.host, self._strategies, self._findings)
            hashing.warn_of_unused_keys(balancing, blocks.is_sticky, service.host, self._findings)
        return self._placing.placed(builder, balancing, outliers, service, endpoints)

    def _add(self, name: str, wanted: _Wanted) -> None:
        builder, endpoints = wanted.builder, wanted.endpoints
        logical = wanted.resolution is Resolution.DNS_ROUND_ROBIN
        targets = endpoints if wanted.resolution.by_name and any(map(_is_name, endpoints)) else ()
        if targets:
            endpoints = ()  # they come at run time
        made = partial(
            Cluster,
            name,
            endpoints,
            builder,
            connect_timeout=wanted.connect_timeout,
            targets=targets,
            logical=logical,
            outliers=wanted.outliers,
            warmup=wanted.balancing.warmup,
            pool=wanted.pool,
            persistence=wanted.persistence,
            draining=wanted.draining,
            health_check=wanted.health_check,
        )
        old = self._previous.get(name)
        if old is not None and (old.endpoints, old.draining) != (endpoints, wanted.draining):
            old = None
        before = None if old is None or not equal(old.builder, builder) else old.balancer
        balancer = self._balancers.balancer(taking(endpoints, wanted.draining), wanted.balancing, builder, before)
        if targets:
            self._balancers.count(targets, wanted.balancing, builder)
        if balancer is not None:
            cluster = made(balancer=balancer)
            same = old is not None and before is balancer and _settings(old) == _settings(cluster)
            self.clusters[name] = old if old is not None and same else cluster


def _settings(cluster: Cluster) -> dict[str, Any]:
    """All that makes a cluster the same as another one, but for its builder, which only ``equal`` can compare."""
    return asdict(cluster, recurse=False, filter=lambda attribute, _: attribute.name != "builder")


def _is_name(endpoint: Endpoint) -> bool:
    return not endpoint.address.startswith(UNIX_MARKS) and canonical_ip(endpoint.address) is None


def _origin(balancing: Balancing, rule: MergedRule | None, port: int, subset: Subset | None) -> PolicyOrigin:
    level = "" if rule is None else rule.balancing_level(port, subset)
    if rule is None or not level:
        return PolicyOrigin(balancing.name)
    owners = " and ".join(str(part.metadata) for part in rule.rules)
    return PolicyOrigin(balancing.name, f"{level} of {owners}", balancing.location, balancing.named_at)


def _port(destination: Destination, service: Service, gateway_port: int) -> int:
    if destination.port is not None:
        return destination.port
    return next(iter(service.ports)) if len(service.ports) == 1 else gateway_port


def _name(port: int, subset: str, host: str) -> str:
    return f"outbound|{port}|{subset}|{host}"
