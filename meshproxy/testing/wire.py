"""A gateway between clients and endpoints that are all in memory, down to single bytes.

``Wire`` is a gateway whose clients and endpoints are ``Peer`` objects: each has what the gateway wrote to it, and says
what the other side would say. Time is a clock that the test moves on. Nothing here does I/O. Most tests are better off
with ``memory.MemoryGateway``, which speaks in requests and answers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from errno import ECONNREFUSED
from typing import Any, cast

from attrs import define
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectError, ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTCP, IReactorTime
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer_only

from meshproxy.http.gateway import Gateway
from meshproxy.model import Snapshot
from meshproxy.policies import Keepalive
from meshproxy.testing.messages import Response, read_responses
from meshproxy.upstream.idle import IdleSweep


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
        """See ``ITCPTransport``."""
        self.no_delay = enabled

    def keep_alive(self, keepalive: Keepalive) -> None:
        """See ``net.transports``."""
        self.kept_alive = keepalive

    def limit_buffers(self, size: int) -> None:
        """See ``net.transports``."""
        self.limit = size

    def write(self, data: bytes) -> None:
        """See ``ITransport``; nothing more goes out after ``loseWriteConnection``."""
        if data and not self.half_closed:
            self.writes += 1
            super().write(data)

    def writeSequence(self, data: Sequence[bytes]) -> None:
        """See ``ITransport``."""
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        """See ``IHalfCloseableDescriptor``."""
        self.half_closed = True

    def abortConnection(self) -> None:
        """See ``IAbortingTransport``."""
        self.aborted = True
        super().abortConnection()

    def unregisterProducer(self) -> None:
        """See ``IConsumer``. As Twisted's TCP transport, it does not mind that there is none."""
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
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    @property
    def has_data(self) -> bool:
        """Whether the gateway has written anything since it was last asked."""
        return bool(self.transport.value())

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


class RecordedLog:
    """An access log that keeps the exchanges."""

    reads_response = False

    def __init__(self) -> None:
        self.exchanges: list[Any] = []

    def exchange(self, exchange: Any) -> None:
        """Keep an exchange that has ended."""
        self.exchanges.append(exchange)


@implementer_only(IReactorTCP, IReactorTime)
class MemoryReactor(MemoryReactorClock):
    """One that has no file descriptors and does not say that it has."""


class Wire:
    """A gateway with everything around it in memory; the clock is ``reactor``, random numbers are repeatable."""

    def __init__(self, installed: Snapshot) -> None:
        self.reactor = MemoryReactor()
        self.log = RecordedLog()
        self.gateway = Gateway(self.reactor, self.log, random.Random(7))  # type: ignore[arg-type]
        self.gateway.install(installed)
        self._clients = 0

    def client(self, key: tuple[str, int] = ("", 80), address: str = "198.51.100.1") -> Peer:
        """A new client: 198.51.100.1:50001 and so on, connected to 203.0.113.1:80."""
        self._clients += 1
        return _connect(self.gateway.factory(key), FakeTransport("203.0.113.1", key[1], address, 50000 + self._clients))

    @property
    def timers(self) -> list[Any]:
        """What waits for a time, but for the sweep of idle connections, which goes on as long as there are any."""
        calls: Sequence[Any] = self.reactor.getDelayedCalls()
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
        factory.clientConnectionFailed(cast(Any, None), Failure(reason or ConnectError(osError=ECONNREFUSED)))

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
