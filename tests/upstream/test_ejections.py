"""Ejections are counted and logged, and a storm of them does not flood the log."""

from __future__ import annotations

import json

from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.upstream.ejections import Ejection, Ejections
from meshproxy.upstream.loglines import LINES_SECONDS, MOST_LINES
from meshproxy.upstream.outliers import Reason

EJECTION = Ejection("outbound|80||a", "10.0.0.1:80", Reason.CONSECUTIVE_5XX, 7.5, 2)


class EjectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ejections = Ejections(self.clock)
        self.lines: list[str] = []

        def observe(event: dict[str, object]) -> None:
            self.lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def eject(self, count: int = 1) -> None:
        for _ in range(count):
            self.ejections.ejected(EJECTION, 30)

    def test_lines(self) -> None:
        """A line says which endpoint of which cluster, why and for how long; another one says that it is back."""
        self.eject()
        self.ejections.returned("outbound|80||a", "10.0.0.1:80", 31.5)
        self.assertEqual(
            self.lines,
            [
                "Endpoint 10.0.0.1:80 of cluster outbound|80||a is ejected for 30 s or more: consecutive_5xx",
                "Endpoint 10.0.0.1:80 of cluster outbound|80||a is back after 31.5 s",
            ],
        )

    def test_figures(self) -> None:
        """Ejections count by their reason for ever, those that are ejected now come and go."""
        self.eject(3)
        self.ejections.returned("a", "b", 1)
        self.ejections.forgotten("a", ["c"])
        self.assertEqual(self.ejections.active, 1)
        self.assertEqual(self.ejections.by_reason[Reason.CONSECUTIVE_5XX], 3)
        self.assertEqual(sum(self.ejections.by_reason.values()), 3)

    def test_told(self) -> None:
        """Whoever follows is told of ejections, of returns, and of those that are not ejected because they are gone."""
        told: list[Ejection] = []
        self.ejections.tell = told.append
        self.eject()
        self.ejections.returned("a", "b", 1)
        self.ejections.forgotten("a", ["c", "d"])
        self.assertEqual(told, [EJECTION, Ejection("a", "b"), Ejection("a", "c"), Ejection("a", "d")])
        for ejection in told:
            self.assertEqual(Ejection.from_json(json.loads(json.dumps(ejection.as_json()))), ejection)

    def test_storm(self) -> None:
        """Of many lines in a short time only so many are written, and one that tells how many are not."""
        self.eject(MOST_LINES + 7)
        self.assertEqual(len(self.lines), MOST_LINES)
        self.clock.advance(LINES_SECONDS)
        self.assertEqual(self.lines[MOST_LINES:], ["7 more ejections and returns are not logged"])
        self.eject()
        self.assertEqual(len(self.lines), MOST_LINES + 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.ejections.by_reason[Reason.CONSECUTIVE_5XX], MOST_LINES + 8)

    def test_storm_after_a_storm(self) -> None:
        """What comes at the very end of that time has its line, behind the one about those without."""
        self.eject(MOST_LINES + 1)
        self.clock.rightNow += LINES_SECONDS
        self.eject()
        self.clock.advance(LINES_SECONDS)
        self.assertIn("1 more ejections", self.lines[MOST_LINES])
        self.assertEqual(len(self.lines), MOST_LINES + 2)
