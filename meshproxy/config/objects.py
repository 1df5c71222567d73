"""The objects of a load: of each kind, all that its documents declare."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, field

from meshproxy.config import (
    backend_policy,
    destination_rule,
    gateway,
    kubernetes,
    mesh,
    pods,
    secrets,
    service_entry,
    virtual_service,
    workload,
)
from meshproxy.config.backend_policy import BackendPolicy
from meshproxy.config.balancing import Strategies
from meshproxy.config.destination_rule import DestinationRule
from meshproxy.config.findings import Findings
from meshproxy.config.gateway import Gateway
from meshproxy.config.identification import KINDS
from meshproxy.config.kubernetes import KubernetesService
from meshproxy.config.mesh import MeshOptions
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.parts import Declaration, Part
from meshproxy.config.pods import Pod, ServiceAddresses
from meshproxy.config.secrets import Secret
from meshproxy.config.service_entry import ServiceEntry
from meshproxy.config.virtual_service import VirtualService
from meshproxy.config.workload import WorkloadEntry
from meshproxy.registry import Registry


@define
class Objects:
    """The objects of a load, each kind in Istio's order: the older first, then by name and namespace.

    ``broken`` has the kinds of which not all could be read, so that nothing is said about objects that seem missing;
    ``faulty`` has the objects with errors.
    """

    gateways: list[Gateway] = field(factory=list)
    virtual_services: list[VirtualService] = field(factory=list)
    destination_rules: list[DestinationRule] = field(factory=list)
    backend_policies: list[BackendPolicy] = field(factory=list)
    service_entries: list[ServiceEntry] = field(factory=list)
    workloads: list[WorkloadEntry] = field(factory=list)
    secrets: list[Secret] = field(factory=list)
    services: list[KubernetesService] = field(factory=list)
    slices: list[ServiceAddresses] = field(factory=list)
    endpoints: list[ServiceAddresses] = field(factory=list)
    pods: list[Pod] = field(factory=list)
    mesh: MeshOptions = field(factory=MeshOptions)
    broken: set[str] = field(factory=set)
    faulty: set[Metadata] = field(factory=set)


class Decoder:
    """Makes the objects of documents, by the settings of a process."""

    def __init__(self, registry: Registry, cluster_domain: str) -> None:
        domain = cluster_domain
        self._decoders: dict[str, Callable[[Document, Findings], object]] = {
            "Gateway": gateway.decode,
            "VirtualService": lambda it, findings: virtual_service.decode(it, domain, findings),
            "DestinationRule": lambda it, findings: destination_rule.decode(
                it, domain, findings, Strategies(registry, findings)
            ),
            "BackendPolicy": lambda it, findings: backend_policy.decode(
                it, domain, findings, Strategies(registry, findings)
            ),
            "ServiceEntry": service_entry.decode,
            "WorkloadEntry": workload.decode,
            "Secret": secrets.decode,
            "Service": kubernetes.decode,
            "EndpointSlice": pods.decode_slice,
            "Endpoints": pods.decode_endpoints,
            "Pod": pods.decode_pod,
            "Mesh": mesh.decode,
        }

    def objects(self, parts: Iterable[Part], findings: Findings) -> Objects:
        """All objects, without those and those parts that are wrong."""
        found = Objects()
        declarations: list[Declaration] = []
        for part in parts:
            findings.merge(part.findings)
            found.broken |= KINDS if part.unreadable else part.broken
            declarations += part.declarations
        lists: dict[str, list[Any]] = {
            "Gateway": found.gateways,
            "VirtualService": found.virtual_services,
            "DestinationRule": found.destination_rules,
            "BackendPolicy": found.backend_policies,
            "ServiceEntry": found.service_entries,
            "WorkloadEntry": found.workloads,
            "Secret": found.secrets,
            "Service": found.services,
            "EndpointSlice": found.slices,
            "Endpoints": found.endpoints,
            "Pod": found.pods,
        }
        meshes: list[Declaration] = []
        for declaration in sorted(_last_ones(declarations, findings), key=lambda it: it.metadata.age):
            kind = declaration.metadata.kind
            if kind == "Mesh":
                meshes.append(declaration)
                if len(meshes) > 1:
                    continue
            thing = declaration.decoded(self._decoders[kind])
            findings.merge(declaration.findings)
            if declaration.findings.has_errors and kind != "Mesh":
                found.broken.add(kind)
                found.faulty.add(declaration.metadata)
            if kind == "Mesh":
                assert isinstance(thing, MeshOptions)
                found.mesh = thing
            elif thing is not None:
                lists[kind].append(thing)
        for declaration in meshes[1:]:
            message = "there may be only one Mesh document"
            hint = f"the other one is at {meshes[0].metadata.location}"
            findings.error(declaration.metadata.location, message, hint)
        return found


def _last_ones(declarations: Iterable[Declaration], findings: Findings) -> Iterable[Declaration]:
    """Without what later documents replace, as applying them to a cluster in this order would."""
    chosen: dict[Metadata, Declaration] = {}
    for declaration in declarations:
        metadata = declaration.metadata
        earlier = chosen.pop(metadata, None)
        if earlier is not None:
            message = f"{metadata} is there again; only the last one counts"
            findings.warning(earlier.metadata.location, message, f"see {metadata.location}")
        chosen[metadata] = declaration
    return chosen.values()
