"""All fields that the decoders know, found by asking them: documents with one nested field each are loaded.

Whatever a decoder reads goes through ``Fields`` or ``Node.fields`` (closed sets of names) or, for documents of
Kubernetes, where unknown fields are nobody's business, through ``Node.get``. All are watched while the documents are
loaded, so a new field is found without being told to anybody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

from meshproxy.config import load
from meshproxy.config.decoding import Fields
from meshproxy.config.nodes import Node
from meshproxy.config.sources import Source, Sources
from meshproxy.errors import ConfigError
from meshproxy.model import ProxyIdentity
from tests.config.loading import bundled

ANY_KEY = "any-key"
"""The key by which a mapping with free keys is tried."""
_UNSERVED = re.compile(r"(\S+) is not served yet")
_INDEX = re.compile(r"\[\d+\]")
_HEAD = ("apiVersion", "kind", "metadata")
_SHAPES: tuple[Callable[[Any], Any], ...] = (
    lambda inner: inner,
    lambda inner: [inner],
    lambda inner: {ANY_KEY: inner},
)
_Path = tuple[tuple[str, Callable[[Any], Any]], ...]


class _Watch:
    """What was read while it watched: paths, with whether they are served."""

    def __init__(self, is_open: bool) -> None:
        self.found: dict[str, bool] = {}
        self._is_open = is_open

    def watching(self) -> Iterator[Any]:
        """Patches to enter."""
        watch, fields, get, start = self, Node.fields, Node.get, Fields.__init__

        def watched_fields(node: Node, *names: str) -> dict[str, Node]:
            watch.note(node, names)
            return fields(node, *names)

        def watched_get(node: Node, name: str) -> Node | None:
            if watch._is_open:
                watch.note(node, (name,))
            return get(node, name)

        def watched_start(
            self: Fields, node: Node, findings: Any, served: tuple[str, ...], later: tuple[str, ...] = ()
        ) -> None:
            start(self, node, findings, served, later)
            watch.note(node, served)
            watch.note(node, later, served=False)

        yield mock.patch.object(Node, "fields", watched_fields)
        yield mock.patch.object(Node, "get", watched_get)
        yield mock.patch.object(Fields, "__init__", watched_start)

    def note(self, node: Node, names: tuple[str, ...], served: bool = True) -> None:
        """Remember fields of a mapping."""
        path = _INDEX.sub("[]", node.path)
        for name in names:
            whole = f"{path}.{name}" if path else name
            self.found[whole] = self.found.get(whole, True) and served


def known_fields(api_version: str, kind: str, is_open: bool = False, sample: str = "") -> Mapping[str, bool]:
    """The paths of all fields of a kind below its head, ``spec.servers[].port`` for one, and whether each is served.

    ``is_open``: the kind may have fields that nobody here knows. ``sample``: a document of the kind
    that is loaded, too, for fields that are read only beside others.
    """
    watch = _Watch(is_open)
    waiting: list[_Path] = [()]
    seen: set[str] = set()
    unserved: set[str] = set()
    first, second, third = watch.watching()
    with first, second, third:
        _load(sample)
        while waiting:
            place = waiting.pop()
            unserved |= _load(_document(api_version, kind, place))
            for path in [it for it in watch.found if it not in seen]:
                seen.add(path)
                waiting += _tries(path)
    return {
        path: served and path not in unserved for path, served in watch.found.items() if path.split(".")[0] not in _HEAD
    }


def _tries(path: str) -> Iterator[_Path]:
    """The field with a value of each shape, and nothing beside it in all documents that hold it."""
    known: list[tuple[str, Callable[[Any], Any]]] = []
    segments = path.split(".")
    if segments[0] in _HEAD:
        return
    for index, segment in enumerate(segments):
        if segment == ANY_KEY:
            known[-1] = (known[-1][0], _SHAPES[2])
        elif index < len(segments) - 1:
            name = segment.removesuffix("[]")
            known.append((name, _SHAPES[1] if segment.endswith("[]") else _SHAPES[0]))
    for shape in _SHAPES:
        yield (*known, (segments[-1], shape))


def _document(api_version: str, kind: str, place: _Path) -> str:
    value: Any = {}
    for name, shape in reversed(place):
        value = {name: shape(value)}
    metadata = {"name": "tried", "namespace": "default"}
    return json.dumps({"apiVersion": api_version, "kind": kind, "metadata": metadata, **value})


def _load(text: str) -> set[str]:
    """Load a document; the paths of fields that are said not to be served."""
    try:
        load(Sources((Source("tried.yaml", text),), text), bundled(), ProxyIdentity(), None)
    except ConfigError as error:
        return {path[1] for it in error.diagnostics if (path := _UNSERVED.fullmatch(it.message)) is not None}
    return set()
