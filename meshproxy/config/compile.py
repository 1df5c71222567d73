"""From configuration files to a snapshot.

The stages: documents -> objects -> services and rules by host -> tables of virtual hosts, which ask for clusters. A
stage works with what the one before could make sense of, so that one load reports all errors; only warnings about
things that seem to be missing are held back while some object of their kind is broken.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from meshproxy.config import delegates, effort
from meshproxy.config.active import active_services, report_unserved
from meshproxy.config.backend_policies import BackendPolicies
from meshproxy.config.balancing import Strategies
from meshproxy.config.clusters import Clusters
from meshproxy.config.effects import Compiled, Table, warn_of_no_effect
from meshproxy.config.findings import MOST, Findings, TooManyErrors, in_order
from meshproxy.config.memory import Memory
from meshproxy.config.objects import Decoder, Objects
from meshproxy.config.parts import Part, Parts
from meshproxy.config.rules import Rules
from meshproxy.config.secrets import Secrets
from meshproxy.config.servers import joined, selected
from meshproxy.config.services import Services
from meshproxy.config.sources import Sources, with_excerpts
from meshproxy.config.virtual_hosts import Places, VirtualHosts
from meshproxy.errors import ConfigError, Diagnostic, Location, Severity
from meshproxy.model import Listener, ProxyIdentity, Snapshot
from meshproxy.registry import Registry
from meshproxy.routing import RouteTable


def load(sources: Sources, registry: Registry, identity: ProxyIdentity, previous: Snapshot | None = None) -> Snapshot:
    """What ``Loader.load`` promises, for a single load."""
    return Loader(registry, identity).load(sources, previous)


class Loader:
    """Loads the configurations of a proxy, one at a time.

    What is the same as in the load before is taken over from it. Nothing but the time that it takes shows that: a load
    gives what one that begins from nothing gives. ``secret_files`` has the contents of the files with secrets that the
    last load asked for, by their paths, also if it failed; None for one that cannot be read.
    """

    secret_files: Mapping[str, bytes | None]

    def __init__(self, registry: Registry, identity: ProxyIdentity) -> None:
        self._registry = registry
        self._identity = identity
        self._decoder = Decoder(registry, identity.cluster_domain)
        self._parts = Parts()
        self._memory = Memory()
        self.secret_files = {}

    def load(self, sources: Sources, previous: Snapshot | None = None) -> Snapshot:
        """The snapshot that the files describe.

        A cluster that is as it was in ``previous`` is the very same object. Pure but for the import of plugins, so it
        may run in any thread. Raises ``ConfigError`` with all errors and warnings of the load.
        """
        findings = Findings()
        snapshot = None
        self.secret_files = {}
        self._memory.begin()
        try:
            with effort.limited_effort():
                snapshot = self._compile(sources, previous, findings)
        except ConfigError as error:
            findings.diagnostics += error.diagnostics
        except TooManyErrors:
            message = f"there are more errors than the first {MOST:,}: the rest was not looked at"
            findings.diagnostics.append(Diagnostic(message))
        finally:
            self._memory.end()
        if findings.unlisted:
            message = f"{findings.unlisted:,} more warnings are not listed"
            findings.diagnostics.append(Diagnostic(message, severity=Severity.WARNING))
        found = with_excerpts(in_order(findings.diagnostics), sources)
        if findings.has_errors or snapshot is None:
            raise ConfigError(found)
        return evolve(snapshot, digest=sources.digest, warnings=tuple(found))

    def _compile(self, sources: Sources, previous: Snapshot | None, findings: Findings) -> Snapshot | None:
        parts, objects = self._read(sources, findings)
        count = sum(part.documents for part in parts)
        if not count and not any(part.unreadable for part in parts):
            for source in sources.files:
                findings.error(Location(source.name), "there is no document in this file, nor in any other")
            return None
        identity = self._identity
        services = Services(objects, identity)
        rules = Rules(objects.destination_rules, identity)
        strategies = Strategies(self._registry, findings)
        known = {} if previous is None else previous.clusters
        policies = BackendPolicies(objects.backend_policies, identity)
        secrets = Secrets(objects.secrets, sources.secret_files)
        self.secret_files = secrets.files
        clusters = Clusters(
            services, rules, policies, secrets, strategies, findings, objects.broken, objects.mesh, identity, known
        )
        tables, places = self._tables(objects, clusters, findings)
        compiled = Compiled(objects, services, rules, policies, clusters, tables, identity, places, self._memory)
        warn_of_no_effect(compiled, findings)
        listeners = tuple(
            Listener(table.bind, table.port, self._route_table(table), table.servers[0][1].location) for table in tables
        )
        if not listeners and "Gateway" not in objects.broken:
            message = "nothing to serve: no Gateway opens a port"
            if objects.gateways:
                findings.warning(None, message)
            else:
                findings.error(None, message)
        return Snapshot(listeners, clusters.clusters, objects.mesh.settings, documents=count, origins=clusters.origins)

    def _read(self, sources: Sources, findings: Findings) -> tuple[list[Part], Objects]:
        """All parts and objects of the files."""
        while True:
            too_many = None
            try:
                parts = self._parts.read(sources.files)
                objects = self._decoder.objects(parts, findings)
            except TooManyErrors as error:
                too_many = error
            if self._parts.must_be_read_again():
                effort.begin_again()
                findings.clear()
            elif too_many is not None:
                raise too_many
            else:
                return parts, objects

    def _tables(self, objects: Objects, clusters: Clusters, findings: Findings) -> tuple[list[Table], Places]:
        identity, memory = self._identity, self._memory
        opened = selected(objects.gateways, identity)
        active = active_services(objects, opened, identity)
        complete = "VirtualService" not in objects.broken
        addresses = joined(opened, findings)
        report_unserved(objects, active, addresses, findings)
        virtual_services = delegates.resolve(objects.virtual_services, active, complete, findings, memory)
        virtual_hosts = VirtualHosts(virtual_services, identity, clusters, memory, objects.mesh.retries)
        tables = []
        for (bind, port), servers in addresses.items():
            served = [it for it in servers if not it.server.unserved]
            if served:
                pairs = [(it.gateway, it.server) for it in served]
                tables.append(Table(bind, port, pairs, virtual_hosts.table(served)))
        return tables, virtual_hosts.places

    def _route_table(self, table: Table) -> RouteTable:
        kept, address = self._memory.tables, (table.bind, table.port)
        made = kept.now[address] = RouteTable(table.virtual_hosts, kept.before.get(address))
        return made
