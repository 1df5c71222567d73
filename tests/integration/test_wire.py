"""The data path over real sockets: large bodies with slow ends, and ends that vanish.

The tests look at what the gateway buffers and whom it has paused, never at the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from meshproxy.http.gateway import Gateway
from meshproxy.model import Cluster, Endpoint
from meshproxy.net.connecting import connect
from tests.fakes import CLUSTER, FixedBalancer, RecordedLog, snapshot
from tests.serving import listen

SIZE = 64 << 20
PIECE = bytes(range(256)) * 1024
# What one direction may have in memory: a read, and a buffer that was not full before it.
MOST_BUFFERED = 3 << 20


@implementer(IPullProducer)
class Pattern:
    """Writes ``SIZE`` bytes of a pattern as fast as they are taken."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.sent = 0
        transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        if self.sent < SIZE:
            self.transport.write(PIECE)
            self.sent += len(PIECE)
        else:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        pass


class Far(Protocol):
    """A client or endpoint: collects heads, counts bodies and checks their pattern."""

    transport: Any

    def __init__(self) -> None:
        self.head = b""
        self.size = 0
        self.intact = True
        self.lost: Failure | None = None
        self.ready: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        if b"\r\n\r\n" not in self.head:
            head, end, data = (self.head + data).partition(b"\r\n\r\n")
            self.head = head + end
            if not end:
                return
            self.ready.callback(None)
        at = self.size % len(PIECE)
        self.size += len(data)
        expected = PIECE[at:] + PIECE * (len(data) // len(PIECE) + 1)
        self.intact = self.intact and data == expected[: len(data)]

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = reason
        self.gone.callback(None)


class _Connecting(ClientFactory):
    noisy = False

    def __init__(self, protocol: Far) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Far:
        return self._protocol


class WireCase(TestCase):
    """A gateway, one endpoint, and clients, all on loopback."""

    timeout = 60
    far: type[Far] = Far

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.endpoints: list[Far] = []
        self.clients: list[Far] = []
        factory = Factory.forProtocol(Far)
        factory.noisy = False

        def accept(addr: object) -> Far:
            self.endpoints.append(self.far())
            return self.endpoints[-1]

        factory.buildProtocol = accept  # type: ignore[method-assign, assignment]
        self.endpoint_port: Any = listen(reactor, factory)
        member = Endpoint("127.0.0.1", self.endpoint_port.getHost().port)
        balancer = FixedBalancer([member])
        self.log = RecordedLog()
        self.gateway = Gateway(reactor, self.log)  # type: ignore[arg-type]
        self.gateway.install(snapshot(Cluster(CLUSTER, (member,), balancer, balancer)))
        self.factory = self.gateway.factory(("", 80))
        self.port: Any = listen(reactor, self.factory)

    @inlineCallbacks
    def tearDown(self) -> Iterator[Any]:
        yield self.port.stopListening()
        if self.endpoint_port is not None:
            yield self.endpoint_port.stopListening()
        for far in [*self.clients, *self.endpoints]:
            if far.lost is None:
                far.transport.abortConnection()
        counters = self.gateway.counters
        yield self.until(lambda: not counters.connections_active and not counters.upstream_connections_active)
        yield self.until(lambda: all(far.lost for far in [*self.clients, *self.endpoints]))
        self.gateway.stop()
        self.assertEqual(counters.requests_active, 0)
        self.assertFalse(self.flushLoggedErrors())

    @inlineCallbacks
    def until(self, condition: Callable[[], object]) -> Iterator[Any]:
        """Wait for something to become true."""
        while not condition():
            yield deferLater(self.reactor, 0.002, lambda: None)

    @inlineCallbacks
    def settled(self, value: Callable[[], int]) -> Iterator[Any]:
        """Wait for a number to stop growing."""
        last = -1
        while last != value():
            last = value()
            yield deferLater(self.reactor, 0.05, lambda: None)

    @inlineCallbacks
    def client(self, data: bytes) -> Iterator[Any]:
        """A client that has sent ``data``."""
        client = self.far()
        self.clients.append(client)
        connect(self.reactor, "127.0.0.1", self.port.getHost().port, _Connecting(client), 5)
        yield self.until(lambda: client.transport)
        client.transport.write(data)
        return client

    @inlineCallbacks
    def exchange(self, data: bytes) -> Iterator[Any]:
        """A client and the endpoint that has its request's head."""
        client = yield self.client(data)
        yield self.until(lambda: self.endpoints)
        endpoint = self.endpoints[-1]
        yield endpoint.ready
        return client, endpoint


def buffered(transport: Any) -> int:
    """Bytes that wait in a TCP transport."""
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
UPLOAD = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE
DOWNLOAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE


class Streaming(WireCase):
    """Bodies of 64 MiB."""

    @inlineCallbacks
    def test_slow_reader(self) -> Iterator[Any]:
        """A download waits for a client that does not read, with little of it in memory, and arrives whole."""
        client, endpoint = yield self.exchange(GET)
        client.transport.pauseProducing()
        endpoint.transport.write(DOWNLOAD)
        pattern = Pattern(endpoint.transport)
        (connection,) = self.factory.connections
        yield self.until(lambda: connection._current.upstream and connection._current.upstream._held_back)
        upstream = connection._current.upstream
        yield self.settled(lambda: pattern.sent)
        self.assertLess(pattern.sent, SIZE)
        self.assertLess(buffered(connection.transport), MOST_BUFFERED)
        self.assertNotIn(upstream.transport, self.reactor.getReaders())
        client.transport.resumeProducing()
        most = 0

        def arrived() -> bool:
            nonlocal most
            most = max(most, buffered(connection.transport))
            return client.size == SIZE

        yield self.until(arrived)
        self.assertLess(most, MOST_BUFFERED)
        self.assertTrue(client.intact)
        self.assertIsNone(client.lost)
        yield self.until(lambda: self.log.exchanges)
        self.assertEqual(self.log.exchanges[0].bytes_sent, SIZE)

    @inlineCallbacks
    def test_slow_endpoint(self) -> Iterator[Any]:
        """An upload waits for an endpoint that does not read, with little of it in memory, and arrives whole."""
        client, endpoint = yield self.exchange(UPLOAD)
        endpoint.transport.pauseProducing()
        pattern = Pattern(client.transport)
        (connection,) = self.factory.connections
        yield self.until(lambda: connection._paused)
        upstream = connection._current.upstream
        yield self.settled(lambda: pattern.sent)
        self.assertLess(pattern.sent, SIZE)
        self.assertLess(buffered(upstream.transport), MOST_BUFFERED)
        self.assertNotIn(connection.transport, self.reactor.getReaders())
        endpoint.transport.resumeProducing()
        yield self.until(lambda: endpoint.size == SIZE)
        self.assertTrue(endpoint.intact)
        endpoint.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        yield client.ready
        self.assertIsNone(client.lost)
        self.assertEqual(self.log.exchanges[0].bytes_received, SIZE)


class Vanishing(WireCase):
    """Ends that go away; ``tearDown`` checks that nothing is left of them."""

    @inlineCallbacks
    def test_client_while_waiting(self) -> Iterator[Any]:
        """A client that leaves before the answer takes the endpoint's connection with it."""
        client, endpoint = yield self.exchange(GET)
        client.transport.loseConnection()
        yield endpoint.gone
        self.assertEqual([(e.status, e.flags) for e in self.log.exchanges], [(0, b"DC")])

    @inlineCallbacks
    def test_client_while_downloading(self) -> Iterator[Any]:
        """So does one that leaves in the middle of a download, even when it had stopped reading."""
        client, endpoint = yield self.exchange(GET)
        client.transport.pauseProducing()
        endpoint.transport.write(DOWNLOAD)
        pattern = Pattern(endpoint.transport)
        yield self.settled(lambda: pattern.sent)
        client.transport.abortConnection()
        yield endpoint.gone
        self.assertLess(pattern.sent, SIZE)
        self.assertEqual([(e.status, e.flags) for e in self.log.exchanges], [(200, b"DC")])

    @inlineCallbacks
    def test_client_while_uploading(self) -> Iterator[Any]:
        """An upload that breaks off is never seen as complete."""
        client, endpoint = yield self.exchange(UPLOAD)
        client.transport.write(PIECE)
        yield self.until(lambda: endpoint.size)
        client.transport.abortConnection()
        yield endpoint.gone
        self.assertLess(endpoint.size, SIZE)
        self.assertEqual([(e.status, e.flags) for e in self.log.exchanges], [(0, b"DC")])

    @inlineCallbacks
    def test_endpoint_absent(self) -> Iterator[Any]:
        """A port that nobody listens on is a 503, with what the system says in the log."""
        yield self.endpoint_port.stopListening()
        self.endpoint_port = None
        client = yield self.client(GET)
        yield client.ready
        self.assertIn(b" 503 ", client.head)
        (exchange,) = self.log.exchanges
        self.assertEqual(
            (exchange.flags, exchange.transport_failure), (b"URX,UF", b"delayed_connect_error:_Connection_refused")
        )

    @inlineCallbacks
    def test_endpoint_before_the_answer(self) -> Iterator[Any]:
        """An endpoint that hangs up on its first request costs that request a 503."""
        client, endpoint = yield self.exchange(GET)
        endpoint.transport.abortConnection()
        yield client.ready
        self.assertIn(b" 503 ", client.head)
        self.assertIsNone(client.lost)

    @inlineCallbacks
    def test_endpoint_while_downloading(self) -> Iterator[Any]:
        """A download that breaks off is visible to the client, which gets what came before."""
        for end in ("loseConnection", "abortConnection"):
            client, endpoint = yield self.exchange(GET)
            endpoint.transport.write(DOWNLOAD + PIECE)
            yield self.until(lambda client=client: client.size == len(PIECE))
            getattr(endpoint.transport, end)()
            yield client.gone
            self.assertTrue(client.intact)
            self.endpoints.clear()
        self.assertEqual([(e.status, e.flags) for e in self.log.exchanges], [(200, b"UC")] * 2)

    @inlineCallbacks
    def test_endpoint_while_uploading(self) -> Iterator[Any]:
        """An endpoint that hangs up during an upload is a 503, which the client can read."""
        client, endpoint = yield self.exchange(UPLOAD)
        client.transport.write(PIECE)
        yield self.until(lambda: endpoint.size)
        endpoint.transport.abortConnection()
        yield client.ready
        self.assertIn(b" 503 ", client.head)
        yield client.gone
        self.assertIsNotNone(client.lost.check(ConnectionDone))
