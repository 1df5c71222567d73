"""What all objects have: kind, name, namespace, labels, age; and the document that an object stands in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.errors import Location

DEFAULT_NAMESPACE = "default"
_LONGEST_NAME = 253
_LONGEST_NAMESPACE = 63
_NO_TIME = float("-inf")


@frozen
class Metadata:
    """The identity of an object. ``created`` is a Unix time, minus infinity where none is given."""

    kind: str
    name: str
    namespace: str
    location: Location = field(eq=False)
    labels: Mapping[str, str] = field(factory=dict, eq=False)
    created: float = field(default=_NO_TIME, eq=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def qualified(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    @property
    def age(self) -> tuple[float, str, str]:
        """Sorts objects of one kind as Istio does: the older first, then by name, then by namespace."""
        return (self.created, self.name, self.namespace)


@frozen(eq=False)
class Document:
    """An object before its content is looked at. ``spec`` is None where there is none."""

    metadata: Metadata
    node: Node
    spec: Node | None

    @property
    def annotations(self) -> Node | None:
        """The ``annotations``, None if there are none."""
        metadata = self.node.get("metadata")
        return None if metadata is None else metadata.get("annotations")


def read_document(node: Node, kind: str, top_level: tuple[str, ...], findings: Findings) -> Document | None:
    """The document of an object whose kind has the ``top_level`` fields beside those of every kind.

    None if it has no name, which is reported.
    """
    fields = Fields(node, findings, ("apiVersion", "kind", "metadata", "status", *top_level))
    metadata_node = fields.required("metadata")
    if metadata_node is None:
        return None
    metadata = _read_metadata(metadata_node, kind, findings)
    return None if metadata is None else Document(metadata, node, fields.get("spec"))


def _read_metadata(node: Node, kind: str, findings: Findings) -> Metadata | None:
    if node.kind != "mapping":
        findings.attempt(node.entries)
        return None
    # Kubernetes keeps many more fields here; none of them means anything to a gateway.
    name, namespace = node.get("name"), node.get("namespace")
    if name is None:
        findings.error(node.location, "metadata.name is required")
        return None
    text = findings.attempt(name.string)
    owner = DEFAULT_NAMESPACE if namespace is None else findings.attempt(namespace.string)
    if not text or owner is None:
        if text == "":
            findings.error(name.location, "metadata.name may not be empty")
        return None
    # As Kubernetes has them; and findings repeat them.
    for what, of_this, longest in (("name", text, _LONGEST_NAME), ("namespace", owner, _LONGEST_NAMESPACE)):
        if len(of_this) > longest:
            findings.error(node.key_location(what), f"metadata.{what} may have at most {longest} characters")
            return None
    created = node.get("creationTimestamp")
    time = None if created is None else findings.attempt(_timestamp, created)
    return Metadata(
        kind,
        text,
        owner or DEFAULT_NAMESPACE,
        name.location,
        _read_labels(node.get("labels"), findings),
        _NO_TIME if time is None else time,
    )


def _read_labels(node: Node | None, findings: Findings) -> dict[str, str]:
    if node is None:
        return {}
    read = ((key, findings.attempt(value.string)) for key, value in findings.attempt(node.entries) or ())
    return {key: text for key, text in read if text is not None}


def _timestamp(node: Node) -> float:
    text = node.string()
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        node.fail(f"{node.path} must be a time such as 2024-05-01T12:00:00Z, not {text!r}")
