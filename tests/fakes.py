"""What the tests of the data path share: a gateway on a clock, its peers in memory, sample configurations.

``Wire`` is a gateway whose clients and endpoints are ``Peer`` objects: each has what the gateway wrote to it, and says
what the other side would say. Nothing here does I/O.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from errno import ECONNREFUSED
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectError, ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTCP, IReactorTime
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer, implementer_only

from meshproxy.http.gateway import Gateway
from meshproxy.http.logwriter import SerialThread
from meshproxy.interfaces import HashKey, IHashKey, ILoadBalancer, ILoadBalancerBuilder, IRequest
from meshproxy.model import Cluster, Endpoint, Listener, MeshSettings, Snapshot
from meshproxy.policies import ConnectionPool, Keepalive
from meshproxy.routes import (
    Comparison,
    DirectResponse,
    Fault,
    Forward,
    PathMatch,
    Redirect,
    Route,
    RouteMatch,
    VirtualHost,
    WeightedDestination,
)
from meshproxy.routing import RouteTable
from meshproxy.upstream.idle import IdleSweep

CLUSTER = "outbound|8080||shop.example"


@implementer(ILoadBalancer, ILoadBalancerBuilder)
class FixedBalancer:
    """Picks ``endpoints[hash + attempt]``, and remembers what it was asked; also its own builder."""

    def __init__(self, endpoints: Sequence[Endpoint], uses_hash: bool = False) -> None:
        self.endpoints = tuple(endpoints)
        self.uses_hash = uses_hash
        self.asked: list[tuple[int, int]] = []

    def build(self, endpoints: Sequence[Endpoint]) -> ILoadBalancer:
        return FixedBalancer(endpoints, self.uses_hash)

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        self.asked.append((hash, attempt))
        if not self.endpoints:
            return None
        return self.endpoints[((hash if self.uses_hash else 0) + attempt) % len(self.endpoints)]

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        return iter(self.endpoints)


@implementer(ILoadBalancer)
class EmptyBalancer:
    """The balancer of a cluster without endpoints."""

    uses_hash = False

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        return None

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        return iter(())


@implementer(IHashKey)
class CountedCookie:
    """A key that generates a new cookie each time it is asked: ``id=1``, ``id=2``, ... ``hash`` is given."""

    terminal = False

    def __init__(self, hash: int = 0) -> None:
        self.hash = hash
        self.requests: list[IRequest] = []

    def evaluate(self, request: IRequest) -> HashKey:
        self.requests.append(request)
        return HashKey(self.hash, b"id=%d" % len(self.requests))


def endpoints(count: int = 1) -> tuple[Endpoint, ...]:
    """192.0.2.1:8080 and its successors."""
    return tuple(Endpoint(f"192.0.2.{number}", 8080) for number in range(1, count + 1))


def cluster(count: int = 1, name: str = CLUSTER, balancer: ILoadBalancer | None = None, **pool: Any) -> Cluster:
    """A cluster of ``count`` endpoints that are picked in turn by attempt; ``pool`` as ``ConnectionPool`` has it."""
    members = endpoints(count)
    used = balancer or FixedBalancer(members)
    return Cluster(name, members, FixedBalancer(members), used, 10.0, pool=ConnectionPool(**pool))


def route(
    prefix: str = "/",
    to: str = CLUSTER,
    name: str = "",
    fault: Fault | None = None,
    destination: Mapping[str, Any] | None = None,
    **forward: Any,
) -> Route:
    """A route for a path prefix to one destination.

    ``destination`` as ``routes.WeightedDestination``, ``forward`` as ``routes.Forward`` has it.
    """
    destinations = (WeightedDestination(to, **(destination or {})),)
    return Route(_prefixed(prefix), Forward(destinations, **forward), name, fault=fault)


def answer(action: Redirect | DirectResponse, prefix: str = "/", **route: Any) -> Route:
    """A route for a path prefix that answers; ``route`` as ``routes.Route`` has it."""
    return Route(_prefixed(prefix), action, **route)


def _prefixed(prefix: str) -> RouteMatch:
    return RouteMatch(PathMatch(Comparison.PREFIX, prefix))


def snapshot(*clusters: Cluster, routes: Sequence[Route] | None = None, **mesh: Any) -> Snapshot:
    """One listener on port 80 that takes any host; ``mesh`` as ``model.MeshSettings`` has it."""
    host = VirtualHost("*", tuple(routes if routes is not None else [route()]))
    listener = Listener("", 80, RouteTable([host]))
    found = clusters or (cluster(),)
    return Snapshot((listener,), {c.name: c for c in found}, MeshSettings(**mesh))


class FakeTransport(StringTransport):
    """A ``StringTransport`` with what TCP has beyond it."""

    protocol: Any

    def __init__(self, host: str, host_port: int, peer: str, peer_port: int) -> None:
        super().__init__(IPv4Address("TCP", host, host_port), IPv4Address("TCP", peer, peer_port), lenient=True)
        self.no_delay = self.half_closed = self.aborted = False
        self.kept_alive: Keepalive | None = None
        self.writes = 0
        self.limit: int | None = None

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def keep_alive(self, keepalive: Keepalive) -> None:
        self.kept_alive = keepalive

    def limit_buffers(self, size: int) -> None:
        self.limit = size

    def write(self, data: bytes) -> None:
        if data and not self.half_closed:
            self.writes += 1
            super().write(data)

    def writeSequence(self, data: Sequence[bytes]) -> None:
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()

    def unregisterProducer(self) -> None:
        # As Twisted's TCP transport: it does not mind that there is none.
        self.producer = self.streaming = None


@define(eq=False)
class Peer:
    """The other end of a connection of the gateway."""

    transport: FakeTransport
    lost: bool = False

    @property
    def protocol(self) -> Any:
        """Who reads this connection at the gateway."""
        return self.transport.protocol

    def send(self, *pieces: bytes) -> None:
        """Let the gateway receive ``pieces``, each as one read."""
        for piece in pieces:
            self.protocol.dataReceived(piece)

    def take(self) -> bytes:
        """What the gateway has written since it was last asked."""
        data = self.transport.value()
        self.transport.clear()
        return data

    def responses(self) -> list[Response]:
        """``take``, read as responses."""
        return read_responses(self.take())

    def close(self) -> None:
        """End the connection from this side: where the gateway can go on without it, only this side's direction."""
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self._lose(ConnectionDone())

    def reset(self) -> None:
        """Reset the connection from this side."""
        self._lose(ConnectionLost())

    def settle(self) -> None:
        """Finish a close that the gateway asked for."""
        if self.closing and not self.lost:
            self._lose(ConnectionAborted() if self.transport.aborted else ConnectionDone())

    def _lose(self, reason: Exception) -> None:
        self.lost = True
        self.transport.connected = False
        self.protocol.connectionLost(Failure(reason))

    def stop_reading(self) -> None:
        """As a full socket buffer does: pause whoever writes to this peer."""
        if self.transport.producer is not None:
            self.transport.producer.pauseProducing()

    def go_on_reading(self) -> None:
        """The buffer is empty again."""
        if self.transport.producer is not None:
            self.transport.producer.resumeProducing()

    @property
    def paused(self) -> bool:
        """Whether the gateway has stopped reading from this peer."""
        return self.transport.producerState == "paused"

    @property
    def closing(self) -> bool:
        """Whether the gateway is ending the connection: both ways, not only its own."""
        return self.transport.disconnecting


class AtOnce(SerialThread):
    """No thread: what is to be run is run at once."""

    def run(self, function: Callable[[], None]) -> None:
        function()

    def finish(self, seconds: float) -> None:
        pass


class RecordedLog:
    """An access log that keeps the exchanges."""

    reads_response = False

    def __init__(self) -> None:
        self.exchanges: list[Any] = []

    def exchange(self, exchange: Any) -> None:
        self.exchanges.append(exchange)


@implementer_only(IReactorTCP, IReactorTime)
class MemoryReactor(MemoryReactorClock):
    """One that has no file descriptors and does not say that it has."""


class Wire:
    """A gateway with everything around it in memory; the clock is ``reactor``, random numbers are repeatable."""

    def __init__(self, installed: Snapshot | None = None) -> None:
        self.reactor = MemoryReactor()
        self.log = RecordedLog()
        self.gateway = Gateway(self.reactor, self.log, random.Random(7))  # type: ignore[arg-type]
        self.gateway.install(installed if installed is not None else snapshot())
        self._clients = 0

    def client(self, key: tuple[str, int] = ("", 80), address: str = "198.51.100.1") -> Peer:
        """A new client: 198.51.100.1:50001 and so on, connected to 203.0.113.1:80."""
        self._clients += 1
        return _connect(self.gateway.factory(key), FakeTransport("203.0.113.1", key[1], address, 50000 + self._clients))

    @property
    def timers(self) -> list[Any]:
        """What waits for a time, but for the sweep of idle connections, which goes on as long as there are any."""
        calls = self.reactor.getDelayedCalls()
        return [call for call in calls if not isinstance(getattr(call.func, "__self__", None), IdleSweep)]

    @property
    def attempts(self) -> list[str]:
        """Where connections are being made to and were neither accepted nor refused yet."""
        return [f"{client[0]}:{client[1]}" for client in self.reactor.tcpClients]

    def accept(self) -> Peer:
        """The endpoint's end of the oldest connection attempt."""
        host, port, factory = self.reactor.tcpClients.pop(0)[:3]
        return _connect(factory, FakeTransport("203.0.113.1", 40000, host, port))

    def refuse(self, reason: Exception | None = None) -> None:
        """Let the oldest connection attempt fail."""
        factory = self.reactor.tcpClients.pop(0)[2]
        factory.clientConnectionFailed(None, Failure(reason or ConnectError(osError=ECONNREFUSED)))

    def pair(self, request: bytes) -> tuple[Peer, Peer]:
        """A client that has sent ``request``, and the endpoint, which has received it and forgotten it."""
        client = self.client()
        client.send(request)
        endpoint = self.accept()
        endpoint.take()
        return client, endpoint


def _connect(factory: Any, transport: FakeTransport) -> Peer:
    protocol = transport.protocol = factory.buildProtocol(transport.getPeer())
    protocol.makeConnection(transport)
    return Peer(transport)


@define
class Response:
    """A response as a client reads it. ``complete``: its end was seen."""

    status: int
    headers: list[tuple[bytes, bytes]] = field(factory=list)
    body: bytes = b""
    complete: bool = True
    reason: bytes = b""

    def __getitem__(self, name: bytes) -> bytes:
        """The only value of a header."""
        (value,) = self.values(name)
        return value

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header."""
        return [value for header, value in self.headers if header == name]


def read_responses(data: bytes, is_head: Callable[[int], bool] = lambda _: False) -> list[Response]:
    """Read responses by their framing alone; ``is_head`` tells which of them (by number) answer HEAD.

    Raises ``ValueError`` for anything that is not framed.
    """
    found: list[Response] = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        if not end:
            raise ValueError(f"no end of a head in {head!r}")
        first, *lines = head.split(b"\r\n")
        version, code, reason = first.split(b" ", 2)
        if version != b"HTTP/1.1":
            raise ValueError(f"not a response: {first!r}")
        fields = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        response = Response(int(code), fields, reason=reason)
        if is_head(len(found)) or response.status in (204, 304) or response.status < 200:
            pass
        elif response.values(b"transfer-encoding") == [b"chunked"]:
            data = _read_chunks(response, data)
        else:
            length = int(response[b"content-length"])
            response.body, data = data[:length], data[length:]
            response.complete = len(response.body) == length
        found.append(response)
    return found


def _read_chunks(response: Response, data: bytes) -> bytes:
    response.complete = False
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        chunk, data = data[:length], data[length:]
        response.body += chunk
        if data[:2] != b"\r\n":
            break
        data = data[2:]
        if not length:
            response.complete = True
            break
    return data
