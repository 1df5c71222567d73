"""Connections with nothing left to send, which the lean reactor closes without another round of events."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from meshproxy.net.transports import LeanServer
from tests.net.test_lean_reactor import ReactorCase


class Closing(ReactorCase):
    def setUp(self) -> None:
        super().setUp()
        near, self.far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(self.far.close)
        self.protocol = Ending()
        self.transport: Any = LeanServer(near, self.protocol, ("", 0), None, 0, self.reactor)  # type: ignore[arg-type]
        self.protocol.makeConnection(self.transport)
        self.far.settimeout(5)

    def test_at_the_end_of_a_round(self) -> None:
        """What was asked while a round is dispatched is done before the next one waits, without a wait of its own."""
        self.protocol.answer = b"bye"
        self.far.send(b"hello")
        self.reactor.doPoll(5)
        self.assertEqual(self.protocol.ended, [ConnectionDone])
        self.assertEqual(self.far.recv(10) + self.far.recv(10), b"bye")
        self.assertEqual(self.reactor._selectables.get(self.far.fileno()), None)

    def test_between_rounds(self) -> None:
        """What a timer asked is done without waiting for an event."""
        self.transport.loseConnection()
        self.assertEqual(self.protocol.ended, [])
        self.reactor.doPoll(0)
        self.assertEqual(self.protocol.ended, [ConnectionDone])

    def test_deaf_meanwhile(self) -> None:
        """It hears nothing until then, and may not ask to be told of anything."""
        self.far.send(b"hello")
        self.transport.loseConnection()
        for ask in (self.transport.startReading, self.transport.startWriting, self.transport.resumeProducing):
            ask()
        self.transport.loseConnection()
        self.reactor.doPoll(0)
        self.assertEqual((self.protocol.received, self.protocol.ended), ([], [ConnectionDone]))

    def test_something_left_to_send(self) -> None:
        """One that has something left sends it first."""
        data = b"x" * 5_000_000
        self.transport.write(data)
        self.transport.loseConnection()
        got = 0
        while got < len(data):
            self.reactor.doPoll(0)
            got += len(self.far.recv(1 << 20))
        self.reactor.doPoll(0)
        self.assertEqual(self.protocol.ended, [ConnectionDone])

    def test_end_of_the_reactor(self) -> None:
        """One that is to be closed is closed when the reactor gives up all descriptors."""
        self.transport.loseConnection()
        self.assertNotIn(self.transport, self.reactor.removeAll())
        self.assertEqual(self.protocol.ended, [ConnectionDone])

    def test_protocol_that_fails(self) -> None:
        """An exception of one does not keep another one open."""
        self.protocol.fails = True
        self.transport.loseConnection()
        self.reactor.doPoll(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.far.recv(10), b"")


class Ending(Protocol):
    """Ends at the first read, after an answer if there is one."""

    answer = b""
    fails = False

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.ended: list[type[BaseException] | None] = []

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)
        if self.answer:
            self.transport.write(self.answer)  # type: ignore[union-attr]
        self.transport.loseConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.ended.append(None if reason is None else reason.type)
        if self.fails:
            raise ZeroDivisionError
