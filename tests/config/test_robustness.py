"""Whatever stands in a configuration, a load ends with a snapshot or with errors that have a place."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.sources import Source, Sources
from meshproxy.errors import ConfigError
from meshproxy.model import ProxyIdentity, Snapshot
from tests.config.loading import bundled, load
from tests.config.pictures import loaded as content
from tests.config.rich import DOCUMENTS, at, places
from tests.properties import steady

JUNK: list[Any] = [
    *(None, 0, -1, 70000, 1.5, True, "", "x", "*", "a b", "1s", "~", "é", [], {}, [None], [{}], {"a": None}),
    *({"number": 80}, {"": ""}, [[]], "10.0.0.1", "::", "a/b", ["*", "*"], 2**70, "x" * 300),
    *({"mode": "SIMPLE"}, {"targetHost": "a.test", "targetPort": 1}, {"version": "V1"}, "PASSTHROUGH", "DYNAMIC_DNS"),
    *("%", "unix:///x", "(", "0s", "mesh", "/", "5xx, reset", "\x00", {"exact": "a", "regex": "b"}),
]
PLACES = places(DOCUMENTS)
# Every name of a field, so that random documents are not refused for their first one.
NAMES = sorted({step for path in PLACES for step in path if isinstance(step, str)})
KINDS = sorted({(document["apiVersion"], document["kind"]) for document in DOCUMENTS})

changes = st.lists(
    st.tuples(
        st.sampled_from(PLACES),
        # Junk, a value of another place, or a change to the key.
        st.sampled_from(JUNK) | st.sampled_from(PLACES).map(lambda path: at(DOCUMENTS, path)),
        st.sampled_from(["replace", "replace", "delete", "misspell", "repeat"]),
    ),
    min_size=1,
    max_size=3,
)
scalars = st.sampled_from([it for it in JUNK if not isinstance(it, list | dict)]) | st.text(max_size=3)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)
random_documents = st.builds(
    lambda kind, name, spec, more: {
        "apiVersion": kind[0],
        "kind": kind[1],
        "metadata": {"name": name},
        "spec": spec,
        **more,
    },
    st.sampled_from(KINDS),
    st.sampled_from(["a", "b"]),
    st.dictionaries(st.sampled_from(NAMES), trees, max_size=5) | trees,
    st.dictionaries(
        st.sampled_from(["endpoints", "ports", "addressType", "subsets", "status", "metadata"]), trees, max_size=2
    ),
)


def sources(text: str) -> Sources:
    return Sources((Source("mesh.yaml", text),), "digest")


def changed(what: list[tuple[tuple[Any, ...], Any, str]]) -> list[Any]:
    """The rich documents with changes at some places, as far as these are still there."""
    documents = copy.deepcopy(DOCUMENTS)
    for path, value, how in what:
        try:
            parent = at(documents, path[:-1])
            old = parent[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue
        if how == "repeat" and isinstance(parent, list):
            parent.append(copy.deepcopy(old))
        elif how == "delete" and isinstance(parent, dict):
            del parent[path[-1]]
        elif how == "misspell" and isinstance(parent, dict):
            parent[path[-1] + "s"] = parent.pop(path[-1])
        elif isinstance(parent, dict | list):
            parent[path[-1]] = copy.deepcopy(value)
    return documents


class LoadingTests(SynchronousTestCase):
    def loaded(self, text: str) -> Snapshot | None:
        """The snapshot, or None after errors with places; nothing else may come of it."""
        try:
            snapshot = load(sources(text), bundled(), ProxyIdentity())
        except ConfigError as error:
            self.assertTrue(error.diagnostics)
            for it in error.diagnostics:
                self.assertTrue(it.location is not None or "nothing to serve" in it.message, it)
            return None
        self.assertIsInstance(snapshot, Snapshot)
        return snapshot

    def test_rich_documents(self) -> None:
        """What is changed at random below loads as it is, or the tests would say little."""
        self.assertIsNotNone(self.loaded(yaml.safe_dump_all(DOCUMENTS)))

    @steady
    @given(changes)
    def test_changed_documents(self, what: list[tuple[tuple[Any, ...], Any, str]]) -> None:
        """A good configuration with a few values replaced, moved, repeated, removed or misspelled."""
        self.loaded("\n---\n".join(json.dumps(document) for document in changed(what)))

    @steady
    @given(st.lists(random_documents, min_size=1, max_size=3))
    def test_random_documents(self, documents: list[Any]) -> None:
        """Trees of the names and values that there are, in any order."""
        self.loaded("\n---\n".join(json.dumps(document) for document in documents))

    @steady
    @given(st.text(max_size=200) | st.text("{}[]:-&*!|>'\"%@`#?,~ \n\tab1", max_size=200))
    def test_random_text(self, text: str) -> None:
        """Anything at all."""
        self.loaded(text)

    @steady
    @given(changes, st.booleans() | st.none(), st.booleans(), st.sampled_from([20, 80, 10_000]))
    def test_printed_and_loaded_again(
        self, what: list[tuple[tuple[Any, ...], Any, str]], flow: bool | None, sort: bool, width: int
    ) -> None:
        """However it is printed, with fields in whatever order, a configuration is the same."""
        documents = changed(what)
        first = self.loaded("\n---\n".join(json.dumps(document) for document in documents))
        printed = yaml.safe_dump_all(
            documents, default_flow_style=flow, sort_keys=sort, width=width, allow_unicode=True, explicit_start=True
        )
        second = self.loaded(printed)
        self.assertEqual(first is None, second is None)
        if first is not None and second is not None:
            self.assertEqual(content(first), content(second))
