"""Nothing of a configuration is left to the garbage collector, which does not look at old objects."""

from __future__ import annotations

import gc
import json

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import Loader
from meshproxy.config.sources import Source, Sources
from meshproxy.model import ProxyIdentity
from tests.config.loading import bundled, load
from tests.config.rich import DOCUMENTS
from tests.http.test_garbage import garbage

TEXTS = [f"---\n{json.dumps(document)}\n" for document in DOCUMENTS]


def sources(texts: list[str]) -> Sources:
    return Sources((Source("mesh.yaml", "".join(texts)),), "digest")


class GarbageTests(SynchronousTestCase):
    def test_snapshots(self) -> None:
        """A load leaves no cycles of references behind, nor does a snapshot or what was taken over for the next."""
        load(sources(TEXTS), bundled(), ProxyIdentity())  # plugins are imported the first time
        gc.collect()
        gc.disable()
        try:
            loader = Loader(bundled(), ProxyIdentity())
            snapshot = loader.load(sources(TEXTS))
            snapshot = loader.load(sources(TEXTS[1:] + TEXTS[:1]), snapshot)
            self.assertEqual(garbage(), {})
            del snapshot, loader
            self.assertEqual(garbage(), {})
        finally:
            gc.enable()
