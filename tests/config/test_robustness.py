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
from tests.config.test_objects import MESH
from tests.config.test_scenario import ARTICLE, ENTRY, KUBERNETES
from tests.properties import steady

RICH = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: rich, namespace: apps, creationTimestamp: '2024-01-01T00:00:00Z'}
spec:
  hosts: [a.com, '*.b.com']
  gateways: [default/default-gw]
  exportTo: ['*']
  http:
  - name: r
    match: [{name: m, uri: {regex: /a+}, port: 80, gateways: [default/default-gw], sourceLabels: {a: b}}]
    route:
    - {destination: {host: test2-bwce-srv.default.svc.cluster.local, subset: v1}, weight: 1}
    - {destination: {host: other, port: {number: 80}}, weight: 2}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rich, namespace: default}
spec:
  host: '*.local'
  exportTo: [., istio-system]
  trafficPolicy:
    connectionPool: {tcp: {connectTimeout: 1s}}
    portLevelSettings: [{port: {number: 8080}, loadBalancer: {simple: RANDOM}}]
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 251}}}}
---
"""
DOCUMENTS = list(yaml.safe_load_all(ARTICLE + KUBERNETES + "---" + ENTRY + RICH + MESH % "connectTimeout: 1s"))
JUNK: list[Any] = [
    None,
    0,
    -1,
    70000,
    1.5,
    True,
    "",
    "x",
    "*",
    "a b",
    "1s",
    "~",
    "é",
    [],
    {},
    [None],
    [{}],
    {"a": None},
]
JUNK += [{"number": 80}, {"": ""}, [[]], "10.0.0.1", "::", "a/b", ["*", "*"], 2**70, "x" * 300]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values below ``value``."""
    if isinstance(value, dict):
        inner = [(key, child) for key, child in value.items()]
    else:
        inner = list(enumerate(value)) if isinstance(value, list) else []
    return [(*path, key) for key, _ in inner] + [it for key, child in inner for it in places(child, (*path, key))]


PLACES = places(DOCUMENTS)


class MutationTests(SynchronousTestCase):
    @steady
    @given(
        st.lists(
            st.tuples(st.sampled_from(PLACES), st.sampled_from([*JUNK, "delete", "misspell"])), min_size=1, max_size=3
        )
    )
    def test_changed_documents(self, changes: list[tuple[tuple[Any, ...], Any]]) -> None:
        """A good configuration with a few values replaced, removed or misspelled."""
        documents = copy.deepcopy(DOCUMENTS)
        for path, junk in changes:
            change(documents, path, junk)
        text = "\n---\n".join(json.dumps(document) for document in documents)
        sources = Sources((Source("mesh.yaml", text),), "digest")
        try:
            snapshot = load(sources, bundled(), ProxyIdentity())
        except ConfigError as error:
            self.assertTrue(error.diagnostics)
            for it in error.diagnostics:
                self.assertTrue(it.location is not None or "nothing to serve" in it.message, it)
        else:
            self.assertIsInstance(snapshot, Snapshot)


def change(documents: Any, path: tuple[Any, ...], junk: Any) -> None:
    """Put ``junk`` at a path, if that is still there."""
    value = documents
    for step in path[:-1]:
        if not isinstance(value, dict | list) or (isinstance(value, dict) and step not in value):
            return
        if isinstance(value, list) and (not isinstance(step, int) or step >= len(value)):
            return
        value = value[step]
    last = path[-1]
    if isinstance(value, list) and isinstance(last, int) and last < len(value):
        value[last] = junk
    elif isinstance(value, dict) and last in value:
        if junk == "delete":
            del value[last]
        elif junk == "misspell":
            value[last + "s"] = value.pop(last)
        else:
            value[last] = junk
