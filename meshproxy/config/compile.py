"""From configuration files to a snapshot.

The stages: documents -> objects -> services and rules by host -> tables of virtual hosts, which ask for clusters. A
stage works with what the one before could make sense of, so that one load reports all errors; only warnings about
things that seem to be missing are held back while some object of their kind is broken.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve

from meshproxy.config import delegates
from meshproxy.config import objects as objects_module
from meshproxy.config.active import active_services, report_unserved
from meshproxy.config.backend_policies import BackendPolicies
from meshproxy.config.balancing import Strategies
from meshproxy.config.clusters import Clusters
from meshproxy.config.documents import documents
from meshproxy.config.effects import Compiled, Table, warn_of_no_effect
from meshproxy.config.effort import limited_effort
from meshproxy.config.findings import MOST, Findings, TooManyErrors, in_order
from meshproxy.config.nodes import Node
from meshproxy.config.objects import KINDS, Objects
from meshproxy.config.rules import Rules
from meshproxy.config.secrets import Secrets
from meshproxy.config.servers import joined, selected
from meshproxy.config.services import Services
from meshproxy.config.sources import Sources, with_excerpts
from meshproxy.config.virtual_hosts import VirtualHosts
from meshproxy.errors import ConfigError, Diagnostic, Location, Severity
from meshproxy.model import Listener, ProxyIdentity, Snapshot
from meshproxy.registry import Registry
from meshproxy.routing import RouteTable


def load(sources: Sources, registry: Registry, identity: ProxyIdentity, previous: Snapshot | None = None) -> Snapshot:
    """The snapshot that the files describe, for a proxy with this identity.

    A cluster that is as it was in ``previous`` is the very same object. Pure but for the import of plugins, so it may
    run in any thread. Raises ``ConfigError`` with all errors and warnings of the load.
    """
    findings = Findings()
    snapshot = None
    with _without_collections(), limited_effort():
        try:
            snapshot = _compile(sources, registry, identity, previous, findings)
        except ConfigError as error:
            findings.diagnostics += error.diagnostics
        except TooManyErrors:
            message = f"there are more errors than the first {MOST:,}: the rest was not looked at"
            findings.diagnostics.append(Diagnostic(message))
    if findings.unlisted:
        message = f"{findings.unlisted:,} more warnings are not listed"
        findings.diagnostics.append(Diagnostic(message, severity=Severity.WARNING))
    found = with_excerpts(in_order(findings.diagnostics), sources)
    if findings.has_errors or snapshot is None:
        raise ConfigError(found)
    return evolve(snapshot, digest=sources.digest, warnings=tuple(found))


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
    nodes = documents(sources, findings)
    objects = _objects(sources, nodes, identity, findings, strategies)
    count = len(nodes)
    del nodes  # large, and no longer needed
    if objects is None:
        return None
    services = Services(objects, identity)
    rules = Rules(objects.destination_rules, identity)
    known = {} if previous is None else previous.clusters
    timeout = objects.mesh.connect_timeout
    policies = BackendPolicies(objects.backend_policies, identity)
    secrets = Secrets(objects.secrets)
    clusters = Clusters(
        services, rules, policies, secrets, strategies, findings, objects.broken, timeout, identity, known
    )
    tables = _tables(objects, clusters, identity, findings)
    warn_of_no_effect(Compiled(objects, services, rules, policies, clusters, tables, identity), findings)
    listeners = tuple(
        Listener(table.bind, table.port, RouteTable(table.virtual_hosts), table.servers[0][1].location)
        for table in tables
    )
    if not listeners and "Gateway" not in objects.broken:
        message = "nothing to serve: no Gateway opens a port"
        if objects.gateways:
            findings.warning(None, message)
        else:
            findings.error(None, message)
    return Snapshot(listeners, clusters.clusters, objects.mesh.settings, documents=count, origins=clusters.origins)


def _objects(
    sources: Sources, nodes: list[Node], identity: ProxyIdentity, findings: Findings, strategies: Strategies
) -> Objects | None:
    unreadable = findings.has_errors
    if not nodes and not unreadable:
        for source in sources.files:
            findings.error(Location(source.name), "there is no document in this file, nor in any other")
        return None
    objects = objects_module.decode(nodes, identity.cluster_domain, findings, strategies)
    if unreadable:
        objects.broken |= KINDS
    return objects


def _tables(objects: Objects, clusters: Clusters, identity: ProxyIdentity, findings: Findings) -> list[Table]:
    opened = selected(objects.gateways, identity)
    active = active_services(objects, opened, identity)
    complete = "VirtualService" not in objects.broken
    addresses = joined(opened, findings)
    report_unserved(objects, active, addresses, findings)
    virtual_services = delegates.resolve(objects.virtual_services, active, complete, findings)
    virtual_hosts = VirtualHosts(virtual_services, identity, clusters, objects.mesh.retries)
    tables = []
    for (bind, port), servers in addresses.items():
        served = [it for it in servers if not it.server.unserved]
        if served:
            pairs = [(it.gateway, it.server) for it in served]
            tables.append(Table(bind, port, pairs, virtual_hosts.table(served)))
    return tables
