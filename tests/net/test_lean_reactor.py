"""The lean reactor: dispatching by hand, and serving in a process of its own."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor, IHalfCloseableProtocol
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer

from meshproxy.net.lean_reactor import LeanReactor
from meshproxy.net.transports import LeanServer


class Selectable:
    """One end of a pipe; ``on_read`` is its ``doRead``."""

    def __init__(self, fd: int, on_read: Callable[[], Exception | None] = lambda: None) -> None:
        self.fd = fd
        self.doRead = on_read
        self.writes = 0
        self.lost: Failure | None = None

    def fileno(self) -> int:
        return self.fd

    def logPrefix(self) -> str:
        return "selectable"

    def doWrite(self) -> None:
        self.writes += 1

    def connectionLost(self, reason: Failure) -> None:
        self.lost = reason
        self.fd = -1


class ReactorCase(SynchronousTestCase):
    """A reactor that does not run."""

    def setUp(self) -> None:
        self.reactor: Any = LeanReactor()
        self.addCleanup(self.reactor._poller.close)
        for reader in self.reactor.getReaders():
            self.addCleanup(reader.connectionLost, Failure(ConnectionDone()))


class Polling(ReactorCase):
    """One round of events."""

    def readable(self, on_read: Callable[[], Exception | None]) -> Selectable:
        """Something with data to read."""
        reading, writing = os.pipe()
        os.write(writing, b"x")
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        selectable = Selectable(reading, on_read)
        self.reactor.addReader(selectable)
        return selectable

    def test_clock(self) -> None:
        """Timers go by a clock that no step of the time of day concerns."""
        self.assertIs(self.reactor.seconds, time.monotonic)
        call = self.reactor.callLater(60, lambda: None)
        self.assertLess(abs(call.getTime() - time.monotonic() - 60), 60)
        call.cancel()

    def test_readable(self) -> None:
        """What is readable is read once in a round, and stays watched."""
        reads: list[int] = []
        selectable = self.readable(lambda: reads.append(1))
        self.reactor.doPoll(0)
        self.reactor.doPoll(0)
        self.assertEqual(len(reads), 2)
        self.assertIn(selectable, self.reactor.getReaders())

    def test_end(self) -> None:
        """A reason to close closes."""
        selectable = self.readable(lambda: CONNECTION_DONE)
        self.reactor.doPoll(0)
        assert selectable.lost is not None
        self.assertIsNotNone(selectable.lost.check(ConnectionDone))
        self.assertNotIn(selectable, self.reactor.getReaders())

    def test_half_close(self) -> None:
        """An end of reading is only that for whoever can take it so, and writing goes on."""
        selectable: Any = self.readable(lambda: CONNECTION_DONE)
        ends: list[Failure] = []
        selectable.readConnectionLost = ends.append
        directlyProvides(selectable, IHalfCloseableDescriptor)
        self.reactor.doPoll(0)
        self.assertEqual((len(ends), selectable.lost), (1, None))

    def test_exception(self) -> None:
        """An exception is logged and closes its descriptor; others of the same round are served."""

        def fail() -> None:
            raise ZeroDivisionError

        reads: list[int] = []
        failing = self.readable(fail)
        other = self.readable(lambda: reads.append(1))
        self.reactor.doPoll(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        assert failing.lost is not None
        self.assertIsNotNone(failing.lost.check(ZeroDivisionError))
        self.assertEqual((reads, other.lost), ([1], None))

    def test_closed_by_another(self) -> None:
        """What an earlier event of the round took away is not touched."""
        reads: list[Selectable] = []
        both: list[Selectable] = []

        def read_and_remove_the_other(index: int) -> Callable[[], None]:
            def read() -> None:
                reads.append(both[index])
                self.reactor.removeReader(both[1 - index])

            return read

        both += [self.readable(read_and_remove_the_other(0)), self.readable(read_and_remove_the_other(1))]
        self.reactor.doPoll(0)
        self.assertEqual(len(reads), 1)

    def test_writable(self) -> None:
        """Writing takes Twisted's own path."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        selectable = Selectable(writing)
        self.reactor.addWriter(selectable)
        self.reactor.doPoll(0)
        self.assertEqual(selectable.writes, 1)

    def test_interrupted(self) -> None:
        """A poll that a signal interrupts is an empty round; any other error is one."""

        class Poller:
            def __init__(self, number: int) -> None:
                self.number = number

            def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
                raise OSError(self.number, "")

        poller = self.reactor._poller
        self.reactor._poller = Poller(errno.EINTR)
        self.reactor.doPoll(0)
        self.reactor._poller = Poller(errno.EBADF)
        with self.assertRaises(OSError):
            self.reactor.doPoll(0)
        self.reactor._poller = poller


class MainLoop(ReactorCase):
    """The loop of a reactor that counts as running, until something stops it."""

    def setUp(self) -> None:
        super().setUp()
        self.done: list[str] = []
        self.reactor._started, self.reactor._stopped = True, False
        self.reactor.running = True
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        os.write(writing, b"x")
        self.on_read: Callable[[], object] = lambda: None
        self.reactor.addReader(Selectable(reading, self.read))

    def read(self) -> None:
        """There is always something to read; the 100th time is too much."""
        self.done.append("read")
        if len(self.done) >= 100:
            self.reactor.crash()
        self.on_read()

    def finish(self) -> None:
        self.done.append("called")
        self.reactor.crash()

    def test_call_from_event(self) -> None:
        """What an event has called soon is called before the next event but one."""
        self.on_read = lambda: self.reactor.callLater(0, self.finish)
        self.reactor.mainLoop()
        self.assertEqual(self.done[:2], ["read", "called"])

    def test_call_from_thread(self) -> None:
        """So is what comes from a thread."""
        self.on_read = lambda: self.reactor.callFromThread(self.finish)
        self.reactor.mainLoop()
        self.assertEqual(self.done[:2], ["read", "called"])

    def test_due(self) -> None:
        """A call is made when its time comes, however many events there are."""
        now = 0.0
        self.reactor.seconds = lambda: now

        def pass_time() -> None:
            nonlocal now
            now += 1

        self.on_read = pass_time
        self.reactor.callLater(10, self.finish)
        self.reactor.mainLoop()
        self.assertEqual(self.done[:11], ["read"] * 10 + ["called"])

    def test_stop(self) -> None:
        """A reactor that is told to stop by an event begins to shut down before the next one."""
        self.on_read = self.reactor.stop
        self.reactor.addSystemEventTrigger("during", "shutdown", self.finish)
        self.reactor.mainLoop()
        self.assertEqual(self.done[:2], ["read", "called"])

    def test_failing_call(self) -> None:
        """A call that fails is logged, and the loop goes on."""
        self.reactor.callLater(0, lambda: 1 / 0)
        self.on_read = lambda: self.reactor.callLater(0, self.finish)
        self.reactor.mainLoop()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("called", self.done)


class Unread(ReactorCase):
    """Descriptors that are not read from, but watched for a peer that leaves."""

    def setUp(self) -> None:
        super().setUp()
        self.near, self.far = socket.socketpair()
        self.addCleanup(self.near.close)
        self.addCleanup(self.far.close)
        self.reads: list[int] = []
        self.selectable = Selectable(self.near.fileno(), lambda: self.reads.append(1))
        self.reactor.addReader(self.selectable)
        self.reactor.watch_hang_up(self.selectable)

    def rounds(self) -> None:
        for _ in range(3):
            self.reactor.doPoll(0)

    def test_data(self) -> None:
        """Data waits until it is read from again."""
        self.far.send(b"x")
        self.rounds()
        self.assertEqual(self.reads, [])
        self.reactor.addReader(self.selectable)
        self.reactor.doPoll(0)
        self.assertEqual((self.reads, self.selectable.lost), ([1], None))

    def test_leaves(self) -> None:
        """A peer that leaves is noticed, in whatever way it does and whatever it sent before."""
        for leave in (self.far.close, lambda: self.far.shutdown(socket.SHUT_WR)):
            self.far.send(b"x")
            leave()
            self.reactor.doPoll(0)
            assert self.selectable.lost is not None
            self.assertIsNotNone(self.selectable.lost.check(ConnectionLost))
            self.assertNotIn(self.selectable, self.reactor.getReaders())
            self.assertEqual(self.reads, [])
            self.near.close()
            self.setUp()

    def test_written_to(self) -> None:
        """It can be written to meanwhile, and is neither read then nor afterwards."""
        self.far.send(b"x")
        self.reactor.addWriter(self.selectable)
        self.reactor.doPoll(0)
        self.reactor.removeWriter(self.selectable)
        self.rounds()
        self.assertEqual((self.selectable.writes, self.reads), (1, []))
        self.reactor.addWriter(self.selectable)
        self.far.close()
        self.reactor.doPoll(0)
        self.assertIsNotNone(self.selectable.lost)
        self.assertEqual((self.selectable.writes, self.reactor.getWriters()), (1, []))

    def test_removed(self) -> None:
        """Who is removed hears nothing any more, and its number may stand for another one."""
        self.reactor.removeReader(self.selectable)
        self.far.send(b"x")
        self.rounds()
        self.assertEqual(self.reads, [])
        self.reactor.addReader(self.selectable)
        self.reactor.doPoll(0)
        self.assertEqual(self.reads, [1])

    def test_not_a_reader(self) -> None:
        """What is not read from at all is left alone."""
        self.reactor.removeReader(self.selectable)
        self.reactor.watch_hang_up(self.selectable)
        self.far.close()
        self.rounds()
        self.assertIsNone(self.selectable.lost)


class Noting(Protocol):
    """Notes what comes and how it ends."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def dataReceived(self, data: bytes) -> None:
        self.events.append(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.events.append("lost")


@implementer(IHalfCloseableProtocol)
class HalfClosing(Noting):
    def readConnectionLost(self) -> None:
        self.events.append("half")

    def writeConnectionLost(self) -> None:
        pass


class PausedServers(ReactorCase):
    """Accepted connections that are not read from for a while, and whose client ends its side meanwhile."""

    def serve(self, protocol: Protocol) -> Any:
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        near.setblocking(False)
        transport: Any = LeanServer(near, protocol, ("", 0), None, 0, self.reactor)
        protocol.makeConnection(transport)
        transport.pauseProducing()
        far.send(b"x")
        far.shutdown(socket.SHUT_WR)
        self.reactor.doPoll(0)
        return transport

    def test_noticed(self) -> None:
        """The protocol hears at once that its client is gone."""
        protocol = Noting()
        self.serve(protocol)
        self.assertEqual(protocol.events, ["lost"])

    def test_goes_on_by_halves(self) -> None:
        """A protocol that goes on with half a connection gets all that came, when it is ready for it."""
        protocol = HalfClosing()
        transport = self.serve(protocol)
        self.assertEqual(protocol.events, [])
        transport.resumeProducing()
        self.reactor.doPoll(0)
        self.reactor.doPoll(0)
        self.assertEqual(protocol.events, [b"x", "half"])
        transport.connectionLost(Failure(ConnectionDone()))


_PROGRAM = """
from meshproxy.net import lean_reactor
lean_reactor.install()
from twisted.internet import reactor, protocol
from meshproxy.net.connecting import connect
from meshproxy.net.listening import adopt
from meshproxy.net.sockets import bind
from meshproxy.net.transports import LeanClient, LeanServer

class Echo(protocol.Protocol):
    def dataReceived(self, data):
        assert isinstance(self.transport, LeanServer)
        if data == b"fail":
            raise ZeroDivisionError
        self.transport.write(data)

class Asking(protocol.Protocol):
    def connectionMade(self):
        assert isinstance(self.transport, LeanClient)
        self.transport.write(self.factory.text)
    def dataReceived(self, data):
        print("echo", data.decode(), flush=True)
        self.transport.loseConnection()
    def connectionLost(self, reason):
        print("lost", reason.type.__name__, flush=True)
        self.factory.then()

def ask(text, then):
    factory = protocol.ClientFactory()
    factory.protocol, factory.text, factory.then, factory.noisy = Asking, text, then, False
    connect(reactor, "127.0.0.1", port.getHost().port, factory, 5)

port = adopt(reactor, bind("127.0.0.1", 0, 1, False)[0], protocol.Factory.forProtocol(Echo))
reactor.callWhenRunning(ask, b"one", lambda: ask(b"fail", lambda: ask(b"two", reactor.stop)))
reactor.callLater(20, reactor.stop)
reactor.run()
print(type(reactor).__name__)
"""


class Running(SynchronousTestCase):
    """The reactor of a process."""

    def test_serves(self) -> None:
        """It serves and connects with lean transports; a protocol that raises loses its connection and no more."""
        done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(
            done.stdout.split("\n"),
            [
                "echo one",
                "lost ConnectionDone",
                "lost ConnectionDone",
                "echo two",
                "lost ConnectionDone",
                "LeanReactor",
                "",
            ],
            done.stderr,
        )
