"""From documents to objects: which kinds there are, which of them are served, and which are somebody else's.

Documents of other API groups are ignored, as Istio does. What belongs to Istio's networking group or to meshproxy is
never ignored without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

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
from meshproxy.config.diagnostics import suggest
from meshproxy.config.findings import Findings
from meshproxy.config.gateway import Gateway
from meshproxy.config.kubernetes import KubernetesService
from meshproxy.config.mesh import MeshOptions
from meshproxy.config.metadata import Document, Metadata, read_document
from meshproxy.config.nodes import Node
from meshproxy.config.pods import Pod, ServiceAddresses
from meshproxy.config.secrets import Secret
from meshproxy.config.service_entry import ServiceEntry
from meshproxy.config.virtual_service import VirtualService
from meshproxy.config.workload import WorkloadEntry
from meshproxy.errors import Location, Severity

_ISTIO = "networking.istio.io"
_ISTIO_VERSIONS = ("v1", "v1beta1", "v1alpha3")
_OURS = "meshproxy.dev"
_OUR_VERSIONS = ("v1alpha1",)
_SERVED = {
    (_ISTIO, "Gateway"),
    (_ISTIO, "VirtualService"),
    (_ISTIO, "DestinationRule"),
    (_ISTIO, "ServiceEntry"),
    (_ISTIO, "WorkloadEntry"),
    (_OURS, "Mesh"),
    (_OURS, "BackendPolicy"),
    ("", "Secret"),
    ("", "Service"),
    ("", "Endpoints"),
    ("", "Pod"),
    ("discovery.k8s.io", "EndpointSlice"),
}
KINDS = frozenset(kind for _, kind in _SERVED)
_TOP_LEVEL = {"EndpointSlice": pods.SLICE_FIELDS, "Endpoints": pods.ENDPOINTS_FIELDS}
_FOR_OTHERS = ("EnvoyFilter", "ProxyConfig", "Sidecar", "WorkloadGroup")
# Kinds that groups beside those served here have too.
_COMMON_KINDS = ("Gateway", "Secret", "Service", "Endpoints", "Pod", "Mesh")
_T = TypeVar("_T")


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


def decode(documents: Iterable[Node], cluster_domain: str, findings: Findings, strategies: Strategies) -> Objects:
    """All objects, without those and those parts that are wrong."""
    found = Objects()
    # Later documents replace earlier ones of the same name, as applying them to a cluster in this order would.
    chosen: dict[Metadata, Document] = {}
    for node in documents:
        document = _identify(node, found, findings)
        if document is not None:
            earlier = chosen.pop(document.metadata, None)
            if earlier is not None:
                message = f"{document.metadata} is there again; only the last one counts"
                findings.warning(earlier.metadata.location, message, f"see {document.metadata.location}")
            chosen[document.metadata] = document
    decoders: dict[str, Callable[[Document], None]] = {
        "Gateway": lambda it: _append(found.gateways, gateway.decode(it, findings)),
        "VirtualService": lambda it: _append(
            found.virtual_services, virtual_service.decode(it, cluster_domain, findings)
        ),
        "DestinationRule": lambda it: _append(
            found.destination_rules, destination_rule.decode(it, cluster_domain, findings, strategies)
        ),
        "BackendPolicy": lambda it: _append(
            found.backend_policies, backend_policy.decode(it, cluster_domain, findings, strategies)
        ),
        "ServiceEntry": lambda it: _append(found.service_entries, service_entry.decode(it, findings)),
        "WorkloadEntry": lambda it: _append(found.workloads, workload.decode(it, findings)),
        "Secret": lambda it: _append(found.secrets, secrets.decode(it, findings)),
        "Service": lambda it: _append(found.services, kubernetes.decode(it, findings)),
        "EndpointSlice": lambda it: _append(found.slices, pods.decode_slice(it, findings)),
        "Endpoints": lambda it: _append(found.endpoints, pods.decode_endpoints(it, findings)),
        "Pod": lambda it: _append(found.pods, pods.decode_pod(it, findings)),
    }
    meshes = []
    for document in sorted(chosen.values(), key=lambda it: it.metadata.age):
        kind = document.metadata.kind
        if kind == "Mesh":
            meshes.append(document)
            continue
        before = len(findings.diagnostics)
        decoders[kind](document)
        if any(it.severity is Severity.ERROR for it in findings.diagnostics[before:]):
            found.broken.add(kind)
            found.faulty.add(document.metadata)
    if meshes:
        found.mesh = mesh.decode(meshes[0], findings)
    for document in meshes[1:]:
        message = "there may be only one Mesh document"
        findings.error(document.metadata.location, message, f"the other one is at {meshes[0].metadata.location}")
    return found


def _append(found: list[_T], thing: _T | None) -> None:
    if thing is not None:
        found.append(thing)


def _identify(node: Node, found: Objects, findings: Findings) -> Document | None:
    """The document if its kind is served; otherwise what has to be said is said."""
    texts = []
    for name in ("apiVersion", "kind"):
        child = node.get(name)
        text = None if child is None else findings.attempt(child.string)
        if not text:
            if child is None or text is not None:
                findings.error(node.location, f"a document needs {name}")
            return None
        texts.append(text)
    api_version, kind = texts
    group, slash, version = api_version.rpartition("/")
    if group in (_ISTIO, _OURS) and not _is_known(node, group, kind, findings):
        return None
    if (group, kind) not in _SERVED:
        _warn_of_group(node, group, kind, findings)
        return None
    versions = {_ISTIO: _ISTIO_VERSIONS, _OURS: _OUR_VERSIONS}.get(group, ("v1",))
    if version not in versions:
        hint = f"use {', '.join(group + slash + it for it in versions)}"
        findings.error(_place(node, "apiVersion"), f"{kind} has no version {version}", hint)
        found.broken.add(kind)
        return None
    top_level = secrets.top_level(node) if kind == "Secret" else _TOP_LEVEL.get(kind, ("spec",))
    document = read_document(node, kind, top_level, findings)
    if document is None:
        found.broken.add(kind)
    return document


def _is_known(node: Node, group: str, kind: str, findings: Findings) -> bool:
    kinds = [name for owner, name in _SERVED if owner == group]
    if kind in kinds:
        return True
    if group == _ISTIO and kind in _FOR_OTHERS:
        findings.warning(_place(node, "kind"), f"kind {kind} has no effect here")
    else:
        findings.error(_place(node, "kind"), f"{group} has no kind {kind!r}", suggest(kind, sorted(kinds)))
    return False


def _warn_of_group(node: Node, group: str, kind: str, findings: Findings) -> None:
    """Say that a document has no effect if its group is probably a slip; others have a Gateway too."""
    groups = [owner for owner, name in _SERVED if name == kind]
    hint = suggest(group, groups)
    if hint or (groups and kind not in _COMMON_KINDS):
        findings.warning(_place(node, "apiVersion"), f"{kind} of the group {group!r} has no effect here", hint)


def _place(node: Node, name: str) -> Location:
    child = node.get(name)
    return node.location if child is None else child.location
