from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost, ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.workers import commands
from meshproxy.workers.link import LOST_SECONDS, Link, how_it_ended


class Process:
    """A process that has ended although its last output was not read yet."""

    pid = 100

    def signalProcess(self, name: str) -> None:
        raise ProcessExitedAlready


class LinkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.link = Link(self.clock, 0)
        self.link.makeConnection(Process())  # type: ignore[arg-type]
        self.link.control.makeConnection(StringTransport())
        self.logged: list[Any] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def test_connection_lost(self) -> None:
        """A worker whose connection ends drains and cannot say so: another one has to follow."""
        self.link.control.connectionLost(Failure(ConnectionLost()))
        self.clock.advance(LOST_SECONDS / 2)
        self.assertNoResult(self.link.leaving)
        self.clock.advance(LOST_SECONDS / 2)
        self.assertFalse(self.successResultOf(self.link.leaving))
        self.link.processEnded(Failure(ProcessDone(0)))
        self.assertEqual(self.successResultOf(self.link.ended), "status 0")

    def test_connection_lost_by_the_end(self) -> None:
        """A worker that dies loses its connection first; it did not leave."""
        self.link.control.connectionLost(Failure(ConnectionLost()))
        self.link.processEnded(Failure(ProcessTerminated(signal=9)))
        self.assertEqual(self.successResultOf(self.link.ended), "signal SIGKILL")
        self.assertNoResult(self.link.leaving)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_connection_lost_while_leaving(self) -> None:
        """A worker that drains is one that leaves already."""
        self.link.control.leaves()
        self.link.control.connectionLost(Failure(ConnectionLost()))
        self.clock.advance(LOST_SECONDS)
        self.assertTrue(self.successResultOf(self.link.leaving))

    def test_connection_lost_by_a_stop(self) -> None:
        """A worker that was told to stop has nothing to hear any more, however long it takes."""
        stopped = self.link.call(commands.Stop)
        self.link.control.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(stopped, ConnectionLost)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNoResult(self.link.leaving)

    def test_call_without_a_connection(self) -> None:
        """What cannot be said fails like what is not answered, descriptors or not."""
        self.link.control.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(self.link.call(commands.Offer, number=1, socket=0), ConnectionDone)
        self.link.processEnded(Failure(ProcessDone(0)))

    def test_killed_when_it_has_ended(self) -> None:
        """To end what has ended already is no mistake."""
        self.link.kill()

    def test_lines(self) -> None:
        """What it logs is logged line by line with its number, the last one also without its end."""
        self.link.errReceived(b"<4>one\ntw")
        self.link.errReceived(b"o")
        self.link.processEnded(Failure(ProcessDone(0)))
        self.assertEqual(
            [(it["log_level"].name, it["line"]) for it in self.logged], [("warn", "one"), ("error", "two")]
        )
        self.successResultOf(self.link.ended)


class EndTests(SynchronousTestCase):
    def test_words(self) -> None:
        """How a process ended, in few words."""
        self.assertEqual(how_it_ended(ProcessTerminated(exitCode=3)), "status 3")
        self.assertEqual(how_it_ended(ConnectionLost()), str(ConnectionLost()))
