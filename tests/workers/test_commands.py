from __future__ import annotations

import os
from pathlib import Path

from twisted.protocols.amp import AmpBox
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.sources import Source, Sources
from meshproxy.workers.commands import Text
from meshproxy.workers.cores import usable_cores
from meshproxy.workers.sealed import seal, unseal


def over_the_wire(text: str) -> str:
    box = AmpBox()
    Text().toBox(b"text", box, {"text": text}, None)
    for value in box.values():
        assert len(value) <= 0xFFFF
    received: dict[str, str] = {}
    Text().fromBox(b"text", AmpBox(box), received, None)
    return received["text"]


class TextTests(SynchronousTestCase):
    def test_short_text(self) -> None:
        """What arrives is what was sent."""
        for text in ("", "a", "line\nline", "\x00", "ü\U0001f600"):
            self.assertEqual(over_the_wire(text), text)

    def test_long_text(self) -> None:
        """Also where it does not fit into one value of AMP, or just does."""
        for length in (0xFFFE, 0xFFFF, 0x10000, 3 * 0xFFFF, 1_000_000):
            text = "ä" + "x" * (length - 2)
            self.assertEqual(over_the_wire(text), text)


class SealedTests(SynchronousTestCase):
    SOURCES = Sources(
        (Source("a.yaml", "a: ü\n"), Source("b.yaml", "")), "digest", {"/a": b"\xff\0", "/b": b"", "/c": None}
    )

    def test_everybody_reads_the_same(self) -> None:
        """Whoever has a descriptor of it reads all of it, though all of them share one file offset."""
        sealed = seal(self.SOURCES)
        self.addCleanup(os.close, sealed)
        for _ in range(2):
            self.assertEqual(unseal(os.dup(sealed)), self.SOURCES)

    def test_nobody_changes_it(self) -> None:
        """What was checked is what is served, whoever else has the descriptor."""
        sealed = seal(self.SOURCES)
        self.addCleanup(os.close, sealed)
        for change in (lambda: os.pwrite(sealed, b"x", 0), lambda: os.ftruncate(sealed, 0)):
            self.assertRaises(PermissionError, change)


class CoresTests(SynchronousTestCase):
    def limited(self, text: str) -> int:
        path = Path(self.mktemp())
        path.write_text(text)
        return usable_cores(path)

    def test_container(self) -> None:
        """The CPU limit of a container counts, rounded up, where it is below the number of cores."""
        self.patch(os, "sched_getaffinity", lambda pid: set(range(8)))
        for text, cores in (
            ("200000 100000\n", 2),
            ("250000 100000\n", 3),
            ("10000 100000\n", 1),
            ("9900000 100000\n", 8),
            ("max 100000\n", 8),
            ("", 8),
        ):
            self.assertEqual(self.limited(text), cores, text)

    def test_no_container(self) -> None:
        """Without such a file it is the cores that the process may run on."""
        self.assertEqual(usable_cores(Path("/nowhere")), len(os.sched_getaffinity(0)))
