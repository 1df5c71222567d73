from __future__ import annotations

import resource
from typing import Any

from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.net.descriptors import ENOUGH, raise_descriptor_limit

INFINITY = resource.RLIM_INFINITY


class DescriptorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.set: list[tuple[int, int]] = []
        self.refuse = False
        events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.events = events

    def raised(self, soft: int, hard: int) -> int:
        self.patch(resource, "getrlimit", lambda which: (soft, hard))
        self.patch(resource, "setrlimit", self.setrlimit)
        return raise_descriptor_limit()

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        if self.refuse:
            raise ValueError("not allowed to raise maximum limit")
        self.set.append(limits)

    def warnings(self) -> list[str]:
        return [formatEvent(event) for event in self.events if event["log_level"] is LogLevel.warn]

    def test_raised(self) -> None:
        """The soft limit becomes the hard one, but no more than anybody needs; a high one stays."""
        for soft, hard, wanted in ((1024, 65536, 65536), (1024, 2**30, ENOUGH), (1024, INFINITY, ENOUGH)):
            self.assertEqual(self.raised(soft, hard), wanted)
            self.assertEqual(self.set.pop(), (wanted, hard))
        for soft, hard in ((65536, 65536), (2**30, 2**30), (INFINITY, INFINITY)):
            self.assertEqual(self.raised(soft, hard), soft)
        self.assertEqual((self.set, self.warnings()), ([], []))

    def test_few(self) -> None:
        """Too few are a warning, and so is a limit that cannot be raised."""
        self.assertEqual(self.raised(256, 1024), 1024)
        self.assertIn("Only 1024 descriptors", self.warnings()[0])
        self.refuse = True
        self.assertEqual(self.raised(1024, 65536), 1024)
        self.assertIn("stays at 1024", self.warnings()[1])
