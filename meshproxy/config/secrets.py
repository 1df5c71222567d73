"""Secrets: the kind ``Secret`` of Kubernetes, and other places where a secret may come from.

Rules: what a secret is never shows, neither in a finding nor in the line of the file that a finding quotes. So findings
about a Secret point to its name.
"""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from attrs import field, frozen

from meshproxy.config.decoding import Fields
from meshproxy.config.diagnostics import suggest
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.nodes import Node
from meshproxy.errors import ConfigError, Location

_FIELDS = ("apiVersion", "kind", "metadata", "status", "type", "immutable", "data", "stringData")
_LEAST_BYTES = 16
_MOST_BYTES = 4096
_HINT = "such as the output of: openssl rand -base64 32"
_KINDS = ("file", "environment", "secretRef")


@frozen(eq=False)
class Secret:
    """The values of a Secret by their keys."""

    metadata: Metadata
    values: Mapping[str, bytes] = field(repr=False)


@frozen(eq=False)
class SecretSource:
    """Where a secret comes from: ``kind`` is a field of the configuration, ``name`` that of the file or variable.

    ``key`` is that of a Secret, whose name is ``name``.
    """

    kind: str
    name: str
    location: Location
    key: str = ""


def top_level(node: Node) -> tuple[str, ...]:
    """The fields of a Secret, right and wrong ones: ``decode`` alone may say something about them."""
    return tuple(name for name, _ in node.entries())


def decode(document: Document, findings: Findings) -> Secret | None:
    """The Secret; None for one that is wrong."""
    metadata = document.metadata
    for name in top_level(document.node):
        if name not in _FIELDS:
            findings.error(metadata.location, f"{metadata} has no field {name!r}", suggest(name, _FIELDS))
    values: dict[str, bytes] = {}
    try:
        for name in ("data", "stringData"):  # the second one wins, as in Kubernetes
            node = document.node.get(name)
            for key, child in () if node is None else node.entries():
                text = child.string()
                values[key] = b64decode("".join(text.split()), validate=True) if name == "data" else text.encode()
    except (ConfigError, ValueError):  # neither of their messages may be shown
        message = f"{metadata} is wrong: data has texts in base64, stringData has plain texts"
        findings.error(metadata.location, message, "put numbers in quotes")
        return None
    return Secret(metadata, values)


def decode_source(node: Node, findings: Findings) -> SecretSource | None:
    """An item of ``secrets``; None for one that is wrong."""
    known = len(findings.diagnostics)
    fields = Fields(node, findings, _KINDS)
    kinds = [kind for kind in _KINDS if kind in fields]
    if len(kinds) != 1:
        if len(findings.diagnostics) == known:
            findings.error(node.location, f"{node.path} must have exactly one of {', '.join(_KINDS)}")
        return None
    (kind,) = kinds
    if kind != "secretRef":
        name = fields.read(kind, _path if kind == "file" else _variable)
        return None if name is None else SecretSource(kind, name, fields.location_of(kind))
    reference = fields.get(kind)
    assert reference is not None
    inner = Fields(reference, findings, ("name", "key"))
    inner.required("name")
    inner.required("key")
    found, key = inner.string("name"), inner.string("key")
    return SecretSource(kind, found, reference.location, key) if found and key else None


def _path(node: Node) -> str:
    text = node.string()
    if not os.path.isabs(text) or "\0" in text:
        node.fail(f"{node.path} must be an absolute path, not {text!r}")
    return text


def _variable(node: Node) -> str:
    text = node.string()
    if not text or "=" in text or "\0" in text:
        node.fail(f"{node.path} must be the name of an environment variable")
    return text


class Secrets:
    """Finds out what secrets are. Each is read once in a load.

    ``known`` has the contents of files that were read before, by their paths. ``files`` then has those of all files
    that were asked for; None for one that cannot be read.
    """

    def __init__(
        self,
        secrets: Iterable[Secret],
        known: Mapping[str, bytes | None] = MappingProxyType({}),
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._by_name = {(it.metadata.namespace, it.metadata.name): it for it in secrets}
        self._known_files = known
        self._environment = environment
        self.files: dict[str, bytes | None] = {}
        self._known: dict[SecretSource, bytes | None] = {}

    def value(self, source: SecretSource, namespace: str, findings: Findings) -> bytes | None:
        """The secret, for a document of a namespace; None if it is missing or too short, which is reported once."""
        if source not in self._known:
            self._known[source] = findings.attempt(self._read, source, namespace)
        return self._known[source]

    def _read(self, source: SecretSource, namespace: str) -> bytes:
        where = {"file": "the file", "environment": "the environment variable", "secretRef": "the Secret"}[source.kind]
        what = f"{where} {source.name}"
        if source.kind == "file":
            value = self._contents(source)
        elif source.kind == "environment":
            if source.name not in self._environment:
                raise ConfigError.at(source.location, f"there is no environment variable {source.name}")
            value = os.fsencode(self._environment[source.name])
        else:
            secret = self._by_name.get((namespace, source.name))
            if secret is None:
                raise ConfigError.at(source.location, f"there is no Secret {namespace}/{source.name}")
            if source.key not in secret.values:
                raise ConfigError.at(source.location, f"{secret.metadata} has no key {source.key}")
            value = secret.values[source.key]
        value = value.strip(b"\r\n")
        if len(value) < _LEAST_BYTES:
            message = f"what {what} holds is too short for a secret: it needs at least {_LEAST_BYTES} bytes"
            raise ConfigError.at(source.location, message, _HINT)
        return value

    def _contents(self, source: SecretSource) -> bytes:
        path = source.name
        value, why = (self._known_files[path], "") if path in self._known_files else _contents(path)
        self.files[path] = value
        if value is None:
            raise ConfigError.at(source.location, f"{path} {why or 'could not be read'}")
        return value


def hold_still(files: Mapping[str, bytes | None]) -> bool:
    """Whether files hold what ``Secrets.files`` says."""
    return all(_contents(path)[0] == known for path, known in files.items())


def _contents(path: str) -> tuple[bytes | None, str]:
    """What a file holds, or None and why."""
    try:
        if not os.path.isfile(path) and os.path.exists(path):
            return None, "is no regular file"
        with open(path, "rb") as file:
            return file.read(_MOST_BYTES), ""
    except OSError as error:
        return None, f"cannot be read: {error.strerror or error}"


__all__ = ["Secret", "SecretSource", "Secrets", "decode", "decode_source", "hold_still", "top_level"]
