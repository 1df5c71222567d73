"""Services by host: those of Kubernetes and those of ServiceEntries, with their ports and endpoints.

Rules (Istio): hosts are compared exactly, a wildcard is found only by itself. Of several services with one host, that
in the asking namespace wins if the proxy sees it, then any that the proxy sees; within a namespace Kubernetes wins,
else the oldest. ServiceEntries with the same host and namespace are one service: the oldest has the ports and the
resolution, all have endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import define, field, frozen

from meshproxy.config.findings import Findings
from meshproxy.config.labelled import Labelled
from meshproxy.config.metadata import Metadata
from meshproxy.config.names import is_visible
from meshproxy.config.objects import Objects
from meshproxy.config.pods import AddressGroup, Pod, PodName, ServiceAddresses
from meshproxy.config.ports import EndpointSource, ServicePort
from meshproxy.config.service_entry import Resolution, ServiceEntry
from meshproxy.config.workload import Workload
from meshproxy.errors import Location
from meshproxy.model import Endpoint, ProxyIdentity


@define(eq=False)
class Service:
    """A host with ports. ``alias``: the host that it only stands for; it has no endpoints itself then."""

    host: str
    metadata: Metadata
    ports: Mapping[int, ServicePort]
    export_to: frozenset[str]
    resolution: Resolution = Resolution.STATIC
    alias: str = ""
    sources: list[EndpointSource] = field(factory=list)
    _endpoints: dict[int, tuple[Endpoint, ...]] = field(factory=dict, init=False)
    _leaving: dict[int, tuple[Endpoint, ...]] = field(factory=dict, init=False)
    _labelled: dict[int, Labelled[Endpoint]] = field(factory=dict, init=False)

    @property
    def namespace(self) -> str:
        """The namespace of the object that made it."""
        return self.metadata.namespace

    def endpoints(self, number: int, findings: Findings) -> tuple[Endpoint, ...]:
        """The endpoints of a port in order of locality, and in order of configuration within one.

        Where ``resolution`` is by name, an address may be a host name.
        """
        known = self._endpoints.get(number)
        if known is None:
            known = self._endpoints[number] = self._collect(self.ports[number].name, False, findings)
        return known

    def leaving(self, number: int, findings: Findings) -> tuple[Endpoint, ...]:
        """The endpoints of a port that are about to end, but serve what they have begun; none that is in use too."""
        known = self._leaving.get(number)
        if known is None:
            used = {endpoint.key for endpoint in self.endpoints(number, findings)}
            found = self._collect(self.ports[number].name, True, findings)
            known = self._leaving[number] = tuple(endpoint for endpoint in found if endpoint.key not in used)
        return known

    def labelled(self, number: int, findings: Findings) -> Labelled[Endpoint]:
        """The endpoints of a port by their labels."""
        known = self._labelled.get(number)
        if known is None:
            known = self._labelled[number] = Labelled(self.endpoints(number, findings), lambda it: it.labels)
        return known

    def _collect(self, port_name: str, leaving: bool, findings: Findings) -> tuple[Endpoint, ...]:
        found: dict[tuple[str, int], Endpoint] = {}
        for source in self.sources:
            for endpoint, location in source.endpoints_at(port_name, leaving):
                first = found.setdefault((endpoint.address, endpoint.port), endpoint)
                if first is not endpoint:
                    findings.warning(location, f"endpoint {endpoint.key} of {self.host} is there again and counts once")
        ordered = tuple(sorted(found.values(), key=lambda endpoint: endpoint.locality))
        return ordered[:1] if self.resolution is Resolution.DNS_ROUND_ROBIN else ordered

    @property
    def reason_for_no_endpoint(self) -> str:
        """A hint for a service without any, "" where there is none to give."""
        if self.resolution is Resolution.NONE:
            return "without resolution: STATIC a gateway sees no endpoints"
        selectors = [source.entry.selector for source in self.sources if isinstance(source, _EntrySource)]
        selector = next((selector for selector in selectors if selector), None)
        if selector is None:
            return ""
        labels = ", ".join(f"{key}={value}" for key, value in sorted(selector.items()))
        return f"no WorkloadEntry that can be used has the labels {labels} in namespace {self.namespace}"


@frozen(eq=False)
class _EntrySource:
    """The endpoints of one ServiceEntry for one of its hosts, by the resolution of the service that it is a part of."""

    entry: ServiceEntry
    host: str
    resolution: Resolution
    workloads: tuple[Workload, ...]

    def endpoints_at(self, port_name: str, leaving: bool) -> Iterator[tuple[Endpoint, Location]]:
        """See ``EndpointSource``."""
        if leaving:
            return
        port = next((port for port in self.entry.ports if port.name == port_name), None)
        if port is None or self.resolution is Resolution.NONE:
            return
        if self.resolution.by_name and not self.entry.endpoints and self.entry.selector is None:
            yield Endpoint(self.host, port.target, hostname=self.host), self.entry.location
        for workload in self.workloads:
            if self.resolution.by_name or not workload.is_name:
                yield workload.endpoint(port_name, port.target), workload.location


@frozen(eq=False)
class _PodSource:
    """The endpoints of one group of addresses."""

    group: AddressGroup
    pods: Mapping[PodName, Pod]

    def endpoints_at(self, port_name: str, leaving: bool) -> Iterator[tuple[Endpoint, Location]]:
        """See ``EndpointSource``."""
        return self.group.endpoints_at(port_name, leaving, self.pods)


class Services:
    """All services that this proxy sees, by host."""

    def __init__(self, objects: Objects, identity: ProxyIdentity) -> None:
        self._by_host: dict[str, list[Service]] = {}
        self._hidden: set[str] = set()
        for service in [*_kubernetes(objects, identity.cluster_domain), *_entries(objects)]:
            if is_visible(service.export_to, identity.namespace):
                self._by_host.setdefault(service.host, []).append(service)
            else:
                self._hidden.add(service.host)

    def find(self, host: str, namespace: str) -> Service | None:
        """The service that an object in ``namespace`` means by ``host``."""
        found = self._by_host.get(host, ())
        return next((service for service in found if service.namespace == namespace), found[0] if found else None)

    def all(self, host: str) -> Sequence[Service]:
        """All services with this host."""
        return self._by_host.get(host, ())

    @property
    def hosts(self) -> Mapping[str, object]:
        """All hosts, as keys."""
        return self._by_host

    def is_hidden(self, host: str) -> bool:
        """Whether a service with this host exists that this proxy does not see."""
        return host in self._hidden and host not in self._by_host


def _kubernetes(objects: Objects, domain: str) -> list[Service]:
    slices, endpoints = _by_service(objects.slices), _by_service(objects.endpoints)
    pods = {(pod.metadata.namespace, pod.metadata.name): pod for pod in objects.pods}
    found = []
    for service in objects.services:
        metadata = service.metadata
        ports = {port.number: port for port in service.ports}
        host = f"{metadata.name}.{metadata.namespace}.svc.{domain}"
        key = (metadata.namespace, metadata.name)
        # Kubernetes keeps both kinds with the same content.
        groups = slices.get(key) or endpoints.get(key) or ()
        sources: list[EndpointSource] = [_PodSource(group, pods) for group in groups]
        found.append(Service(host, metadata, ports, service.export_to, alias=service.alias, sources=sources))
    return found


def _by_service(kind: Iterable[ServiceAddresses]) -> dict[tuple[str, str], list[AddressGroup]]:
    found: dict[tuple[str, str], list[AddressGroup]] = {}
    for addresses in kind:
        found.setdefault((addresses.metadata.namespace, addresses.service), []).extend(addresses.groups)
    return found


def _entries(objects: Objects) -> list[Service]:
    found: dict[tuple[str, str], Service] = {}
    candidates = _Candidates(objects)
    for entry in objects.service_entries:
        namespace = entry.metadata.namespace
        ports = {port.number: port for port in entry.ports}
        for host, _ in entry.hosts:
            service = found.get((namespace, host))
            if service is None:
                service = Service(host, entry.metadata, ports, entry.export_to, entry.resolution)
                found[namespace, host] = service
            resolution = service.resolution
            # What is selected may be anything; a static service takes only addresses of it.
            usable = candidates.selected(entry, with_unix=resolution.by_name)
            service.sources.append(_EntrySource(entry, host, resolution, entry.endpoints + usable))
    return list(found.values())


class _Candidates:
    """What a ``workloadSelector`` may select: workload entries and pods that have an address.

    Selectors that choose the same share what they find.
    """

    def __init__(self, objects: Objects) -> None:
        found: dict[str, list[Workload]] = {}
        for entry in objects.workloads:
            found.setdefault(entry.metadata.namespace, []).append(entry.workload)
        for pod in objects.pods:
            if pod.address is not None:
                metadata = pod.metadata
                workload = Workload(pod.address, {}, metadata.labels, 1, "", metadata.location)
                found.setdefault(metadata.namespace, []).append(workload)
        self._all = {namespace: Labelled(them, _labels_of) for namespace, them in found.items()}
        self._without_unix = {
            namespace: Labelled([it for it in them if not it.is_unix], _labels_of) for namespace, them in found.items()
        }

    def selected(self, entry: ServiceEntry, with_unix: bool) -> tuple[Workload, ...]:
        """Those of its namespace that an entry selects, in order, with or without UNIX sockets."""
        known = (self._all if with_unix else self._without_unix).get(entry.metadata.namespace)
        return () if entry.selector is None or known is None else known.with_labels(entry.selector)


def _labels_of(workload: Workload) -> Iterable[tuple[str, str]]:
    return workload.labels.items()
