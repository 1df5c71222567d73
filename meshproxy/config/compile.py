"""From configuration files to a snapshot.

The stages: documents -> objects -> services and rules by host -> tables of virtual hosts, which ask for clusters. A
stage works with what the one before could make sense of, so that one load reports all errors; only warnings about
things that seem to be missing are held back while some object of their kind is broken.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from meshproxy.config import objects as objects_module
from meshproxy.config.balancing import Strategies
from meshproxy.config.clusters import Clusters
from meshproxy.config.documents import documents
from meshproxy.config.effects import warn_of_no_effect
from meshproxy.config.findings import Findings, in_order
from meshproxy.config.objects import KINDS, Objects
from meshproxy.config.rules import Rules
from meshproxy.config.services import Services
from meshproxy.config.sources import Sources, with_excerpts
from meshproxy.config.virtual_hosts import Opened, VirtualHosts
from meshproxy.errors import ConfigError
from meshproxy.model import Listener, ProxyIdentity, Snapshot
from meshproxy.registry import Registry
from meshproxy.routing import RouteTable


def load(sources: Sources, registry: Registry, identity: ProxyIdentity, previous: Snapshot | None = None) -> Snapshot:
    """The snapshot that the files describe, for a proxy with this identity.

    A cluster that is as it was in ``previous`` is the very same object. Pure but for the import of plugins, so it may
    run in any thread. Raises ``ConfigError`` with all errors and warnings of the load.
    """
    findings = Findings()
    with _without_collections():
        snapshot = _compile(sources, registry, identity, previous, findings)
    found = with_excerpts(in_order(findings.diagnostics), sources)
    if findings.has_errors or snapshot is None:
        raise ConfigError(found)
    return Snapshot(snapshot.listeners, snapshot.clusters, snapshot.mesh, sources.digest, tuple(found))


@contextmanager
def _without_collections() -> Iterator[None]:
    """No cyclic garbage collections meanwhile.

    They would walk the growing tree of nodes again and again, which takes as long as the load itself and stops all
    threads each time. A load leaves next to no cycles behind.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _compile(
    sources: Sources, registry: Registry, identity: ProxyIdentity, previous: Snapshot | None, findings: Findings
) -> Snapshot | None:
    strategies = Strategies(registry, findings)
    objects = _objects(sources, identity, findings, strategies)
    if objects is None:
        return None
    services = Services(objects, identity)
    rules = Rules(objects.destination_rules, identity)
    known = {} if previous is None else previous.clusters
    timeout = objects.mesh.connect_timeout
    clusters = Clusters(services, rules, strategies, findings, objects.broken, timeout, known)
    virtual_hosts = VirtualHosts(objects.virtual_services, identity, clusters)
    listeners = _listeners(objects, virtual_hosts, identity, findings)
    warn_of_no_effect(objects, services, rules, virtual_hosts, identity, findings)
    if not listeners and "Gateway" not in objects.broken:
        hint = "" if not objects.gateways else "the selector of none of them is met by the labels of this proxy"
        findings.error(None, "nothing to serve: no Gateway opens a port", hint)
    return Snapshot(tuple(listeners), clusters.clusters, objects.mesh.settings)


def _objects(sources: Sources, identity: ProxyIdentity, findings: Findings, strategies: Strategies) -> Objects | None:
    nodes = documents(sources, findings)
    unreadable = findings.has_errors
    if not nodes and not unreadable:
        findings.error(None, "the configuration is empty: there is no document in it")
        return None
    objects = objects_module.decode(nodes, identity.cluster_domain, findings, strategies)
    if unreadable:
        objects.broken |= KINDS
    return objects


def _listeners(
    objects: Objects, virtual_hosts: VirtualHosts, identity: ProxyIdentity, findings: Findings
) -> list[Listener]:
    labels = dict(identity.labels)
    addresses: dict[tuple[str, int], list[Opened]] = {}
    for gateway in objects.gateways:
        if gateway.selector.items() <= labels.items():
            for server in gateway.servers:
                addresses.setdefault((server.bind, server.port), []).append(Opened(gateway, server))
    listeners = []
    for (bind, port), servers in addresses.items():
        table = virtual_hosts.table(servers)
        location = servers[0].server.location
        if not table and "VirtualService" not in objects.broken:
            findings.warning(location, f"no VirtualService has a route for port {port}: all requests are answered 404")
        listeners.append(Listener(bind, port, RouteTable(table), location))
    return listeners
