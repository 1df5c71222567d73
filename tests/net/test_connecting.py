"""Tests for connecting to the addresses of endpoints."""

from __future__ import annotations

import os
from collections.abc import Generator
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReactorTCP, IReactorUNIX
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import classImplementsOnly

from meshproxy.net.connecting import connect
from meshproxy.net.transports import LeanUnixClient, address_text


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]


class Client(Protocol):
    """Says something and waits for as much."""

    transport: Any

    def __init__(self, factory: Asking) -> None:
        self.asking = factory
        self.got = b""

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.asking.transport = self.transport
        self.asking.local = address_text(self.transport.getHost())
        self.transport.write(self.asking.text)

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        if len(self.got) == len(self.asking.text):
            self.transport.loseConnection()

    def connectionLost(self, reason: object = None) -> None:
        self.asking.done.callback(self.got)


class Asking(ClientFactory):
    noisy = False

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.done: Deferred[bytes] = Deferred()
        self.transport: Any = None
        self.local: tuple[bytes, bytes] | None = None

    def buildProtocol(self, addr: object) -> Client:
        return Client(self)

    def clientConnectionFailed(self, connector: object, reason: Any) -> None:
        self.done.errback(reason)


class UnixTests(TestCase):
    def path(self) -> str:
        """Where a socket may be. Not in trial's folder, which may lie deep: a socket's path has at most 107 bytes."""
        return self.enterContext(TemporaryDirectory()) + "/s"

    def listen(self, path: str) -> None:
        from twisted.internet import reactor

        factory = Factory.forProtocol(Echo)
        factory.noisy = False
        port = reactor.listenUNIX(path, factory)  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)

    @inlineCallbacks
    def test_round_trip(self) -> Generator[Deferred[Any], Any, None]:
        """Bytes go through a UNIX socket, by path or by name in the abstract namespace, more of them than it holds."""
        from twisted.internet import reactor

        path = self.path()
        name = f"meshproxy-test-{os.getpid()}"
        for listening, address in ((path, path), (f"\0{name}", f"@{name}")):
            self.listen(listening)
            asking = Asking(b"x" * 3_000_000)
            connect(reactor, address, 0, asking, 5)
            got = yield asking.done
            self.assertEqual(got, asking.text)
            self.assertIsInstance(asking.transport, LeanUnixClient)
            self.assertEqual(asking.local, (b"", b""))

    @inlineCallbacks
    def test_nobody_listens(self) -> Generator[Deferred[Any], Any, None]:
        """A socket that is not there fails as any connection does."""
        from twisted.internet import reactor

        asking = Asking(b"")
        connect(reactor, self.path(), 0, asking, 5)
        yield self.assertFailure(asking.done, ConnectError)


class Pretending(MemoryReactor):
    """Has no file descriptors, whatever it says."""


classImplementsOnly(Pretending, IReactorTCP, IReactorUNIX)


class OtherReactorTests(SynchronousTestCase):
    def test_its_own_way(self) -> None:
        """A reactor without file descriptors is asked to connect, by the kind of the address."""
        reactor, factory = Pretending(), Asking(b"")
        connect(reactor, "10.0.0.1", 80, factory, 3)
        connect(reactor, "/run/a", 0, factory, 4)
        connect(reactor, "@a", 0, factory, 4)
        self.assertEqual(reactor.tcpClients[0][:4], ("10.0.0.1", 80, factory, 3))
        self.assertEqual([client[:3] for client in reactor.unixClients], [("/run/a", factory, 4), ("\0a", factory, 4)])
