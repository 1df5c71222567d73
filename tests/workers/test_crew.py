from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.workers.crew import ALONE_SECONDS, LOUD, MOST_SECONDS, STABLE_SECONDS, Crew, delay
from tests.workers.crews import FakeLink


class DelayTests(SynchronousTestCase):
    def test_delays(self) -> None:
        """The first follows at once; by the tenth early end in a row it is half a minute, and never more."""
        self.assertEqual([delay(n) for n in range(5)], [0, 0, 0.2, 0.4, 0.8])
        self.assertEqual(delay(10), MOST_SECONDS)
        self.assertEqual(delay(10_000), MOST_SECONDS)


class CrewTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.links: list[FakeLink] = []
        self.admissions: list[Deferred[None]] = []
        self.serving: list[list[int]] = []
        self.cannot_start = False
        self.crew = Crew(self.clock, 2, self.spawn, self.admit, self.changed)
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def spawn(self, number: int) -> FakeLink:
        if self.cannot_start:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.links.append(FakeLink(number, 100 + len(self.links)))
        return self.links[-1]

    def admit(self, link: Any) -> Deferred[None]:
        self.admissions.append(Deferred())
        return self.admissions[-1]

    def changed(self) -> None:
        self.serving.append([link.pid for link in self.crew.serving])

    def logged(self, level: Any) -> list[str]:
        return [formatEvent(event) for event in self.events if event["log_level"] is level]

    def started(self) -> None:
        self.crew.start()
        for admission in self.admissions:
            admission.callback(None)

    def test_start(self) -> None:
        """A worker serves from its admission on; the start is over when all have come to an end of it."""
        self.crew.start()
        self.assertEqual(([link.number for link in self.links], self.crew.serving), ([0, 1], []))
        self.admissions[1].callback(None)
        self.assertEqual((self.serving, self.crew.settled), ([[101]], False))
        self.admissions[0].callback(None)
        self.assertEqual((self.serving[-1], self.crew.settled), ([100, 101], True))

    def test_replacement(self) -> None:
        """A worker that dies is followed at once by one with its number, which serves when it is admitted."""
        self.started()
        self.links[0].end()
        self.assertEqual(self.serving[-1], [101])
        self.clock.advance(0)
        self.assertEqual(self.links[2].number, 0)
        self.assertEqual([link.pid for link in self.crew.serving], [101])
        self.admissions[2].callback(None)
        self.assertEqual(self.serving[-1], [102, 101])
        self.assertEqual(self.crew.restarts, 1)
        self.assertEqual(self.logged(LogLevel.error), ["Worker 0 (pid 100) has ended: signal SIGKILL"])

    def test_crash_loop(self) -> None:
        """Workers that end soon after their start again and again are started more and more seldom, and that is loud;
        the other place is not concerned."""
        self.started()
        for _ in range(20):
            self.links[-1].end("status 1")
            self.clock.advance(MOST_SECONDS)
        self.assertEqual(len(self.links), 2 + 20)
        self.assertEqual(self.crew.most_early_ends, 20)
        loud = self.logged(LogLevel.critical)
        self.assertEqual(len(loud), 20 - LOUD + 1)
        self.assertIn("20 times in a row", loud[-1])
        self.assertIn("starts in 30 s", loud[-1])
        self.links[-1].end("status 1")
        self.clock.advance(MOST_SECONDS - 1)
        self.assertEqual(len(self.links), 2 + 20)
        self.clock.advance(1)
        self.assertEqual(len(self.links), 2 + 21)

    def test_stable_worker(self) -> None:
        """A worker that has served for a while has a clean slate behind it."""
        self.started()
        for _ in range(6):
            self.links[-1].end()
            self.clock.advance(MOST_SECONDS)
        self.admissions[-1].callback(None)
        self.clock.advance(STABLE_SECONDS)
        self.links[-1].end()
        self.assertEqual(self.crew.most_early_ends, 0)
        started = len(self.links)
        self.clock.advance(0)
        self.assertEqual(len(self.links), started + 1)

    def test_not_admitted(self) -> None:
        """A worker that does not take what it has to serve is killed, and followed when it has ended."""
        self.crew.start()
        self.admissions[0].errback(RuntimeError("no such plugin"))
        self.assertTrue(self.links[0].killed)
        self.assertEqual(self.logged(LogLevel.error), ["Worker 0 (pid 100) is replaced: no such plugin"])
        self.assertEqual(len(self.links), 2)
        self.links[0].end()
        self.clock.advance(0)
        self.assertEqual(len(self.links), 3)

    def test_ended_before_admission(self) -> None:
        """The admission of a worker that has ended, whatever comes of it, concerns nobody any more."""
        self.crew.start()
        self.links[0].end()
        self.admissions[0].errback(RuntimeError("gone"))
        self.clock.advance(0)
        self.assertEqual((len(self.links), self.links[2].killed, self.links[0].killed), (3, False, False))

    def test_leaving(self) -> None:
        """A worker that leaves is followed at once; it goes on to its end, which is no news then."""
        self.started()
        self.links[1].leaving.callback(True)
        self.assertEqual(self.serving[-1], [100])
        self.clock.advance(0)
        self.admissions[2].callback(None)
        self.assertEqual([link.pid for link in self.crew.serving], [100, 102])
        self.assertEqual([link.pid for link in self.crew.links], [100, 102, 101])
        self.links[1].end("status 0")
        self.assertEqual([link.pid for link in self.crew.links], [100, 102])
        self.assertEqual((self.logged(LogLevel.error), len(self.links)), ([], 3))

    def test_retired(self) -> None:
        """A worker that has to leave is followed at once, and goes on to its end; that this is a bad one is told."""
        self.started()
        self.crew.retire(self.links[1], "it has no descriptors")
        self.clock.advance(0)
        self.admissions[2].callback(None)
        self.assertEqual([link.pid for link in self.crew.serving], [100, 102])
        self.assertFalse(self.links[1].killed)
        self.links[1].end()
        self.assertEqual(
            self.logged(LogLevel.error),
            [
                "Worker 1 (pid 101) has to leave: it has no descriptors",
                "Worker 1 (pid 101), which was leaving, has ended: signal SIGKILL",
            ],
        )
        self.assertEqual((len(self.links), self.crew.most_early_ends), (3, 1))

    def test_leaving_again_and_again(self) -> None:
        """Workers that are told to leave are no crash loop; those that only hear nothing any more are one."""
        self.started()
        for of_itself, early_ends in ((True, 0), (False, LOUD)):
            for _ in range(LOUD):
                self.links[-1].leaving.callback(of_itself)
                self.clock.advance(delay(LOUD))
            self.assertEqual(self.crew.most_early_ends, early_ends)
        self.assertEqual(len(self.logged(LogLevel.critical)), 1)

    def test_crash_loop_of_all(self) -> None:
        """While no worker serves at all, none waits for long, whenever its own crash loop began."""
        self.started()
        for _ in range(LOUD + 3):
            self.links[-1].end("status 1")
            self.clock.advance(MOST_SECONDS)
        self.links[-1].end("status 1")
        self.clock.advance(1)
        started = len(self.links)
        self.links[0].end("status 1")
        self.clock.advance(0)
        self.clock.advance(ALONE_SECONDS)
        self.assertEqual([link.number for link in self.links[started:]], [0, 1])
        self.links[-1].end("status 1")
        self.assertIn(f"starts in {ALONE_SECONDS:g} s", self.logged(LogLevel.critical)[-1])
        self.clock.advance(ALONE_SECONDS)
        self.assertEqual(len(self.links), started + 3)

    def test_cannot_start(self) -> None:
        """A machine that has no room for a process now is asked again later."""
        self.started()
        self.cannot_start = True
        self.links[0].end()
        self.clock.advance(0)
        self.assertEqual(
            self.logged(LogLevel.error)[-1], "Worker 0 cannot be started: Resource temporarily unavailable"
        )
        self.cannot_start = False
        self.clock.advance(delay(2))
        self.assertEqual(self.links[2].number, 0)

    def test_stop(self) -> None:
        """A stop is over when all have ended, those that were leaving too; none follows."""
        self.started()
        self.links[0].leaving.callback(True)
        stopped = self.crew.stop()
        self.links[0].end("status 0")
        self.assertNoResult(stopped)
        self.links[1].end("status 0")
        self.successResultOf(stopped)
        self.assertEqual((self.clock.getDelayedCalls(), len(self.links)), ([], 2))
        self.assertEqual(self.logged(LogLevel.error), [])

    def test_stop_while_none_is_there(self) -> None:
        """Between two starts there is nothing to wait for."""
        self.started()
        for link in self.links:
            link.end()
        self.successResultOf(self.crew.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
