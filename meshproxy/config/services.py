"""Services by host: those of Kubernetes and those of ServiceEntries, with their ports and endpoints.

Rules (Istio): hosts are compared exactly, a wildcard is found only by itself. Of several services with one host, that
in the asking namespace wins if the proxy sees it, then any that the proxy sees; within a namespace Kubernetes wins,
else the oldest. ServiceEntries with the same host and namespace are one service: the oldest has the ports, all have
endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import define, field

from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Metadata
from meshproxy.config.names import EVERYWHERE, is_visible
from meshproxy.config.objects import Objects
from meshproxy.config.ports import EndpointSource, ServicePort
from meshproxy.model import Endpoint, ProxyIdentity


@define(eq=False)
class Service:
    """A host with ports. ``static``: its endpoints are listed somewhere, be it none."""

    host: str
    metadata: Metadata
    ports: Mapping[int, ServicePort]
    export_to: frozenset[str]
    static: bool
    sources: list[EndpointSource] = field(factory=list)
    _endpoints: dict[int, tuple[Endpoint, ...]] = field(factory=dict, init=False)

    @property
    def namespace(self) -> str:
        """The namespace of the object that made it."""
        return self.metadata.namespace

    def endpoints(self, number: int, findings: Findings) -> tuple[Endpoint, ...]:
        """The endpoints of a port in order of locality, and in order of configuration within one."""
        known = self._endpoints.get(number)
        if known is None:
            known = self._endpoints[number] = self._collect(self.ports[number].name, findings)
        return known

    def _collect(self, port_name: str, findings: Findings) -> tuple[Endpoint, ...]:
        found: dict[tuple[str, int], Endpoint] = {}
        for source in self.sources:
            for endpoint, location in source.endpoints_at(port_name):
                first = found.setdefault((endpoint.address, endpoint.port), endpoint)
                if first is not endpoint:
                    findings.warning(location, f"endpoint {endpoint.key} of {self.host} is there again and counts once")
        return tuple(sorted(found.values(), key=lambda endpoint: endpoint.locality))


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

    def all(self, host: str) -> Iterable[Service]:
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
    slices: dict[tuple[str, str], list[EndpointSource]] = {}
    for entry in objects.slices:
        slices.setdefault((entry.metadata.namespace, entry.service), []).append(entry)
    found = []
    for service in objects.services:
        metadata = service.metadata
        ports = {port.number: port for port in service.ports}
        host = f"{metadata.name}.{metadata.namespace}.svc.{domain}"
        sources = slices.get((metadata.namespace, metadata.name), [])
        found.append(Service(host, metadata, ports, frozenset({EVERYWHERE}), True, sources))
    return found


def _entries(objects: Objects) -> list[Service]:
    found: dict[tuple[str, str], Service] = {}
    for entry in objects.service_entries:
        ports = {port.number: port for port in entry.ports}
        for host, _ in entry.hosts:
            key = (entry.metadata.namespace, host)
            service = found.get(key)
            if service is None:
                service = found[key] = Service(host, entry.metadata, ports, entry.export_to, entry.static)
            service.sources.append(entry)
    return list(found.values())
