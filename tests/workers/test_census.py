from __future__ import annotations

from prometheus_client.core import CounterMetricFamily
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.workers.census import COUNT_SECONDS, GATHER_SECONDS, HANG_SECONDS, Census
from meshproxy.workers.commands import Count
from meshproxy.workers.figures import dump
from tests.workers.crews import FakeLink


class CensusTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.links = [FakeLink(0), FakeLink(1)]
        self.hung: list[FakeLink] = []
        self.census = Census(self.clock, lambda: self.links, lambda link, why: self.hung.append(link))  # type: ignore[arg-type]
        self.census.start()
        self.addCleanup(self.census.stop)

    def answer(self, number: int, count: int) -> None:
        self.links[number].answer(Count, {"figures": dump([CounterMetricFamily("asked", "Asked.", count)])})

    def total(self) -> float:
        (metric,) = self.census.total()
        return float(metric.samples[0].value)

    def test_gather(self) -> None:
        """Whoever asks waits for all answers, and then has them."""
        gathered = self.census.gather()
        self.answer(0, 1)
        self.assertNoResult(gathered)
        self.answer(1, 2)
        self.successResultOf(gathered)
        self.assertEqual(self.total(), 3)

    def test_gather_late(self) -> None:
        """A worker that is slow or gone holds nobody up; what was last known of it counts."""
        self.clock.advance(COUNT_SECONDS)
        self.answer(0, 1)
        self.answer(1, 10)
        gathered = self.census.gather()
        self.answer(0, 2)
        self.clock.advance(GATHER_SECONDS)
        self.successResultOf(gathered)
        self.assertEqual(self.total(), 12)
        self.answer(1, 11)
        self.assertEqual(self.total(), 13)

    def test_gather_while_one_dies(self) -> None:
        """A worker that dies while it is asked is an answer too, and what it had counted by its last one stays."""
        self.clock.advance(COUNT_SECONDS)
        self.answer(0, 1)
        self.answer(1, 10)
        gathered = self.census.gather()
        self.links[1].end()
        self.census.gone(self.links.pop())
        self.answer(0, 2)
        self.successResultOf(gathered)
        self.assertEqual(self.total(), 12)

    def test_hanging_worker(self) -> None:
        """A worker that does not answer for a minute hangs; one that answers, however often it is asked, does not."""
        for _ in range(int(HANG_SECONDS / COUNT_SECONDS)):
            self.clock.advance(COUNT_SECONDS)
            self.answer(0, 1)
            self.assertEqual(self.hung, [])
        self.clock.advance(COUNT_SECONDS)
        self.assertEqual(self.hung, [self.links[1]])

    def test_stop(self) -> None:
        """Nobody is asked after the end."""
        self.census.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
