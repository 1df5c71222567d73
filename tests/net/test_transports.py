"""Lean transports over loopback sockets: what is sent at once, what waits, how reading grows, how they end.

No reactor runs: the tests call ``doRead`` and ``doWrite`` as one would, and see what it was asked to watch.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.net.transports import LeanServer, address_text, unsent


class Collecting(Protocol):
    """Keeps each read."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self.reads.append(data)


class Producing:
    """Notes what its consumer asks of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pauseProducing(self) -> None:
        self.asked.append("pause")

    def resumeProducing(self) -> None:
        self.asked.append("resume")

    def stopProducing(self) -> None:
        self.asked.append("stop")


class SocketCase(SynchronousTestCase):
    """A lean transport and the socket at the other end."""

    def setUp(self) -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(1)
            self.far = socket.create_connection(listening.getsockname())
            near, address = listening.accept()
        self.addCleanup(self.far.close)
        self.addCleanup(near.close)
        near.setblocking(False)
        self.near = near
        self.far.settimeout(5)
        # Without these, how much a socket takes at once depends on what the kernel remembers of earlier connections.
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 * 1024)
        self.far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
        self.reactor = MemoryReactor()
        self.protocol = Collecting()
        self.transport: Any = LeanServer(near, self.protocol, address, None, 0, self.reactor)
        self.protocol.makeConnection(self.transport)

    @property
    def watched_for_writing(self) -> bool:
        return self.transport in self.reactor.getWriters()

    def receive(self, size: int) -> bytes:
        """Read so much at the far end, letting the transport write as it can."""
        got = bytearray()
        while len(got) < size:
            if self.watched_for_writing:
                self.assertIsNone(self.transport.doWrite())
            got += self.far.recv(1 << 20)
        return bytes(got)


class Writing(SocketCase):
    """Sending."""

    def test_at_once(self) -> None:
        """What the socket takes is sent without the reactor's help."""
        self.transport.write(b"hello")
        self.transport.writeSequence([b" ", b"world"])
        self.assertFalse(self.watched_for_writing)
        self.assertEqual(self.receive(11), b"hello world")

    def test_partial(self) -> None:
        """What it does not take is sent later, and later writes queue up behind it."""
        data = bytes(range(256)) * (8 << 12)
        self.transport.write(data)
        self.assertTrue(self.watched_for_writing)
        start = self.far.recv(4 << 20, socket.MSG_WAITALL)  # now the socket would take something
        self.transport.write(b"tail")
        self.assertEqual(start + self.receive(len(data) + 4 - len(start)), data + b"tail")
        self.assertFalse(self.watched_for_writing)
        self.transport.write(b"direct again")
        self.assertFalse(self.watched_for_writing)
        self.assertEqual(self.receive(12), b"direct again")

    def test_producer(self) -> None:
        """A producer is paused while much waits, and resumed when nothing does."""
        producer = Producing()
        self.transport.registerProducer(producer, True)
        self.transport.write(b"small")
        self.assertEqual(producer.asked, [])
        data = bytes(8 << 20)
        self.transport.write(data)
        self.assertEqual(producer.asked, ["pause"])
        self.receive(len(data) + 5)
        while self.watched_for_writing:
            self.transport.doWrite()
        self.assertEqual(producer.asked, ["pause", "resume"])
        self.transport.unregisterProducer()

    def test_limited_buffers(self) -> None:
        """With less room, less is read at once, and a producer is paused earlier."""
        self.transport.limit_buffers(8192)
        self.far.sendall(bytes(100_000))
        for _ in range(8):
            self.transport.doRead()
        self.assertEqual({len(data) for data in self.protocol.reads}, {8192})
        producer = Producing()
        self.transport.registerProducer(producer, True)
        self.transport.write(bytes(8 << 20))
        waiting = unsent(self.transport)
        self.assertGreater(waiting, 8192)
        self.assertEqual(producer.asked, ["pause"])
        self.receive((8 << 20) - waiting)
        self.assertLess(unsent(self.transport), waiting)
        self.transport.unregisterProducer()

    def test_pull_producer(self) -> None:
        """A pull producer is asked for more each time the socket could take more, until it has no more."""

        class Counting(Producing):
            left = 5

            def resumeProducing(inner) -> None:
                inner.left -= 1
                self.transport.write(b"x") if inner.left else self.transport.unregisterProducer()

        producer = Counting()
        self.transport.registerProducer(producer, False)
        while self.watched_for_writing:
            self.transport.doWrite()
        self.assertEqual((self.receive(4), producer.left), (b"xxxx", 0))
        self.transport.write(b"at once again")
        self.assertFalse(self.watched_for_writing)

    def test_half_close(self) -> None:
        """Closing our side comes after what waits; the other side can still be read."""
        data = bytes(8 << 20)
        self.transport.write(data)
        self.transport.loseWriteConnection()
        self.assertEqual(self.receive(len(data)), data)
        while self.watched_for_writing:
            self.transport.doWrite()
        self.assertEqual(self.far.recv(10), b"")
        self.far.send(b"still")
        self.assertIsNone(self.transport.doRead())
        self.assertEqual(self.protocol.reads, [b"still"])
        self.transport.write(b"too late")
        self.assertFalse(self.watched_for_writing)

    def test_close(self) -> None:
        """A close comes after what waits."""
        self.transport.write(bytes(8 << 20))
        self.transport.loseConnection()
        got = 0
        result = None
        while result is None:
            result = self.transport.doWrite()
            got += len(self.far.recv(1 << 20))
        self.assertIs(result, CONNECTION_DONE)

    def test_broken(self) -> None:
        """Writing to a connection that was reset raises nothing; the reactor's own attempt finds out."""
        self.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.far.close()
        self.transport.write(b"hello")
        self.transport.write(b"again")
        self.assertTrue(self.watched_for_writing)
        self.assertIs(self.transport.doWrite(), CONNECTION_LOST)

    def test_after_the_end(self) -> None:
        """Writing after the connection is lost does nothing."""
        self.transport.connectionLost(Failure(CONNECTION_DONE))
        self.transport.write(b"hello")
        self.assertFalse(self.watched_for_writing)


class Reading(SocketCase):
    """Receiving."""

    def read_all(self, size: int) -> list[int]:
        """Let so many bytes come, and tell how large the reads were."""
        self.protocol.reads.clear()
        self.far.setblocking(False)
        data = memoryview(bytes(size))
        while data or sum(map(len, self.protocol.reads)) < size:
            while data:
                try:
                    data = data[self.far.send(data) :]
                except BlockingIOError:
                    break
            self.assertIsNone(self.transport.doRead())
        return list(map(len, self.protocol.reads))

    def test_nothing(self) -> None:
        """A wake-up without data is none."""
        self.assertIsNone(self.transport.doRead())
        self.assertEqual(self.protocol.reads, [])

    def test_growing(self) -> None:
        """The first read is small; a transfer that fills its reads gets larger ones, up to a bound; idling shrinks."""
        sizes = self.read_all(16 << 20)
        self.assertEqual(sizes[0], 64 * 1024)
        self.assertGreater(max(sizes), 64 * 1024)
        self.assertLessEqual(max(sizes), 512 * 1024)
        self.read_all(10)
        self.assertEqual(self.read_all(1 << 20)[0], 64 * 1024)

    def test_end(self) -> None:
        """The end of the other side tells the reactor."""
        self.far.shutdown(socket.SHUT_WR)
        self.assertIs(self.transport.doRead(), CONNECTION_DONE)

    def test_reset(self) -> None:
        """So does a reset, which is another reason."""
        self.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.far.close()
        self.assertIs(self.transport.doRead(), CONNECTION_LOST)


class Addresses(SynchronousTestCase):
    """Addresses as text."""

    def test_text(self) -> None:
        """IPv6 stands in brackets beside a port, a mapped IPv4 address is IPv4, other families have no text."""
        for address, ip, both in (
            (IPv4Address("TCP", "192.0.2.1", 80), b"192.0.2.1", b"192.0.2.1:80"),
            (IPv6Address("TCP", "2001:db8::1", 80), b"2001:db8::1", b"[2001:db8::1]:80"),
            (IPv6Address("TCP", "::ffff:192.0.2.1", 80), b"192.0.2.1", b"192.0.2.1:80"),
            (UNIXAddress("/tmp/x"), b"", b""),
        ):
            self.assertEqual(address_text(address), (ip, both))


class Sequences(SocketCase):
    def test_in_order(self) -> None:
        """Pieces of any size, views among them, arrive in order, whatever the socket takes at once."""
        text = bytes(range(256)) * 20_000
        pieces = [b"a" * 70_000, memoryview(text)[7:4_000_000], b"", b"tail"]
        self.transport.writeSequence(pieces)
        self.assertTrue(self.watched_for_writing)
        self.transport.write(b"!")
        self.transport.writeSequence([b"?", memoryview(text)[:1_000_000]])
        expected = b"".join([*pieces, b"!?", text[:1_000_000]])
        self.assertEqual(self.receive(len(expected)), expected)
        self.assertFalse(self.watched_for_writing)

    def test_many(self) -> None:
        """More pieces than one call may take, and none at all."""
        self.transport.writeSequence([])
        pieces = [b"%d," % number for number in range(3000)]
        self.transport.writeSequence(pieces)
        self.assertEqual(self.receive(len(b"".join(pieces))), b"".join(pieces))

    def test_producer(self) -> None:
        """A producer is paused by what waits, and goes on when all of it was sent."""
        producer = Producing()
        self.transport.registerProducer(producer, True)
        self.transport.writeSequence([b"x" * 5_000_000, b"y" * 5_000_000])
        self.assertEqual(producer.asked[0], "pause")
        self.assertEqual(set(self.receive(10_000_000)), set(b"xy"))
        self.assertEqual(producer.asked[-1], "resume")

    def test_nobody_there(self) -> None:
        """To a connection that is gone nothing is kept."""
        self.transport.connectionLost(Failure(CONNECTION_DONE))
        self.transport.writeSequence([b"a", b"b"])
        self.transport.write(b"c")
        self.assertEqual(self.transport._tempDataLen, 0)
