"""Which kinds of objects there are, which of them are served, and which are somebody else's.

Documents of other API groups are ignored, as Istio does. What belongs to Istio's networking group or to meshproxy is
never ignored without a word.
"""

from __future__ import annotations

from meshproxy.config import pods, secrets
from meshproxy.config.diagnostics import suggest
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document, read_document
from meshproxy.config.nodes import Node
from meshproxy.errors import Location

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


def identify(node: Node, broken: set[str], findings: Findings) -> Document | None:
    """The document if its kind is served; otherwise what has to be said is said.

    A kind that is served goes to ``broken`` if nothing can be made of the document.
    """
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
        broken.add(kind)
        return None
    top_level = secrets.top_level(node) if kind == "Secret" else _TOP_LEVEL.get(kind, ("spec",))
    document = read_document(node, kind, top_level, findings)
    if document is None:
        broken.add(kind)
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
