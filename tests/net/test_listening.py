"""Accepting connections: what is served, and what happens when there is no room for one more."""

from __future__ import annotations

import socket
from errno import ECONNABORTED, EMFILE, ENOMEM
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.net.listening import LeanPort


class Queue:
    """A listening socket. Errors come out of ``accept`` where their numbers stand, sockets where they do."""

    def __init__(self, *waiting: int | socket.socket) -> None:
        self.waiting = list(waiting)
        self.asked = 0

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        self.asked += 1
        if not self.waiting:
            raise BlockingIOError
        found = self.waiting.pop(0)
        if isinstance(found, int):
            raise OSError(found, "error")
        return found, ("192.0.2.1", 1)


class Accepting(Factory):
    """Keeps the protocols that it makes; makes none when it is ``full``, and fails when it is ``broken``."""

    def __init__(self) -> None:
        self.made: list[Protocol] = []
        self.full = self.broken = False

    def buildProtocol(self, addr: object) -> Protocol | None:
        if self.broken:
            raise RuntimeError("broken")
        if self.full:
            return None
        self.made.append(Protocol())
        return self.made[-1]


class AcceptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.factory = Accepting()
        self.port: Any = LeanPort(0, self.factory, 5, "127.0.0.1", self.reactor)
        self.port.connected = True
        self.port.startReading()
        self.errors: list[str] = []
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)

    def note(self, event: Any) -> None:
        if event["log_level"] is LogLevel.error:
            self.errors.append(event["log_format"])

    def client(self) -> socket.socket:
        """One side of a pair that counts as accepted."""
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        return near

    def accept(self, *waiting: int | socket.socket) -> Queue:
        queue = self.port.socket = Queue(*waiting)
        self.port.doRead()
        return queue

    @property
    def watched(self) -> bool:
        return self.port in self.reactor.getReaders()

    def test_all_that_wait(self) -> None:
        """One event accepts all that wait; a connection that is gone already is passed over."""
        self.accept(self.client(), ECONNABORTED, self.client())
        self.assertEqual(len(self.factory.made), 2)
        self.assertTrue(self.watched)

    def test_no_room(self) -> None:
        """Without descriptors or memory the port rests for a moment and tries again, and says so once."""
        for error in (EMFILE, ENOMEM):
            queue = self.accept(error, self.client())
            self.assertEqual((queue.asked, self.watched), (1, False))
            self.reactor.advance(0.1)
            self.assertTrue(self.watched)
        self.assertEqual(len(self.errors), 1)
        self.accept(self.client(), EMFILE)
        self.assertEqual((len(self.factory.made), len(self.errors)), (1, 2))

    def test_closed_while_resting(self) -> None:
        """A port that is closed in the meantime does not come back."""
        self.accept(EMFILE)
        self.port.disconnecting = True
        self.reactor.advance(1)
        self.assertFalse(self.watched)

    def test_gateway_is_full(self) -> None:
        """A connection that the factory does not want is closed."""
        self.factory.full = True
        client = self.client()
        self.accept(client)
        self.assertEqual(client.fileno(), -1)

    def test_failing_protocol(self) -> None:
        """An exception costs its connection and nothing else."""
        self.factory.broken = True
        client = self.client()
        self.accept(client)
        self.assertEqual(client.fileno(), -1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(self.watched)
