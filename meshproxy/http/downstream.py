"""The client's side of a connection: requests in, in order; answers out, in the same order.

Theory of operation. ``dataReceived`` feeds a ``RequestReader``, which makes an ``Exchange`` of each head and hands it
its body. Nothing is sent while the reader reads: what a read brought is acted on afterwards, so that head and body
leave together. Requests are answered one at a time. A client that pipelines is read no further while an answer is
outstanding, and what it sent is parsed only as far as ``max_pipelined_requests`` allow; the rest is ``_held`` as bytes.

Reading stops for two reasons, each with a bit of its own in ``_paused``: requests are waiting, or the endpoint does not
take the body as fast as it comes. While the client does not take what it is sent (``_full``), the endpoint's response
waits, and so does the next request: answers pile up no more than bodies do.

A message that is refused ends the connection: it becomes an exchange that answers for itself in its turn. One that asks
for another protocol is the last one, too; when the endpoint agrees, a ``Tunnel`` takes the transport over.

Limits of time are those of ``Standing``.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from meshproxy.http.answers import Answers
from meshproxy.http.bodies import Piece
from meshproxy.http.exchange import Exchange
from meshproxy.http.requesthead import Refused
from meshproxy.http.requestreader import RequestReader
from meshproxy.http.standing import Standing
from meshproxy.http.upgrading import Upgrade
from meshproxy.limits import DEFAULT_BUFFER
from meshproxy.net.transports import address_text

if TYPE_CHECKING:
    from meshproxy.http.listeners import ListenerFactory

LINGER_SECONDS = 2.0
_PIECE = 4096
_LARGE_PIECE = 64 * 1024
_PIPELINE, _UPLOAD = 1, 2


@implementer(IPushProducer)
class Downstream(Standing, Protocol):
    """One client connection. See the head of this module."""

    transport: Any
    factory: ListenerFactory

    def __init__(self, factory: ListenerFactory) -> None:
        self.factory = factory
        self.gateway = factory.gateway
        self._reader: RequestReader | Upgrade = RequestReader(self, self.gateway)
        self._current: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._incoming: Exchange | None = None
        self._paused = 0
        self._ending = self._full = False
        self._starting = self._lingering = self._asked = False
        self._held = b""
        self._requests = 0

    # The transport's events

    def connectionMade(self) -> None:
        """Note both addresses; the connection counts from here."""
        transport = self.transport
        transport.setTcpNoDelay(True)
        self.source_ip, self.remote = address_text(transport.getPeer())
        self.local = address_text(transport.getHost())[1]
        self.factory.connections.add(self)
        gateway = self.gateway
        counters = gateway.counters
        counters.connections_total += 1
        counters.connections_active += 1
        gateway.rounds.watch(self)
        if gateway.limits.buffer != DEFAULT_BUFFER:
            transport.limit_buffers(gateway.limits.buffer)
        if self.factory.draining:
            self._ending = True
            transport.loseConnection()
        else:
            transport.registerProducer(Answers(self), True)

    def dataReceived(self, data: bytes) -> None:
        """Read, then act on all that this read brought."""
        if self._ending:
            return
        if not self._held and (len(data) <= _PIECE or len(data) <= self._reader.body_left):
            try:
                self._reader.feed(data)
            except Refused as refusal:
                self._refuse(refusal)
        else:
            self._held += data
            self._read_on()
        current = self._current
        if current is not None:
            if not current.started:
                self._start_next()
            elif current.unsent:
                current.send_body()
        if self._waiting and not self._paused & _PIPELINE:
            self._pause(_PIPELINE)

    def _read_on(self) -> None:
        """Parse what is held, until as many requests wait as may; so where something is held, some wait."""
        data, self._held = self._held, b""
        most = self.gateway.limits.max_pipelined_requests
        at = 0
        try:
            while at < len(data) and len(self._waiting) < most:
                left = self._reader.body_left
                end = at + (left or self._size_of_piece())
                self._reader.feed(memoryview(data)[at:end] if left else data[at:end])
                at = end
            self._held = data[at:]
        except Refused as refusal:
            self._refuse(refusal)

    def _size_of_piece(self) -> int:
        """How many bytes to parse at once: few where many requests may be in them."""
        reader, incoming = self._reader, self._incoming
        if not reader.in_body or incoming is None:
            return _PIECE
        return _LARGE_PIECE if reader.length is None else max(_PIECE, reader.length - incoming.bytes_received)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The client is gone: what was being done for it stops."""
        self._ending = True
        self._reader.close()
        self.factory.connections.discard(self)
        self.gateway.rounds.forget(self)
        self.gateway.counters.connections_active -= 1
        if self._lingering:
            self.gateway.lingering.disarm(self)
        self._wait_for_nothing()
        self._incoming = None
        current, self._current = self._current, None
        if current is not None:
            current.client_lost()

    # The reader's events

    def head_received(self, reader: RequestReader) -> None:
        """See ``reading.Receiver``."""
        self._asked = True
        self._incoming = exchange = self.gateway.exchange_class(self, reader)
        most = self.gateway.limits.max_requests_per_connection
        if most:
            self._requests += 1
            if self._requests >= most:
                exchange.keep_alive = False
        self._enqueue(exchange)

    def body_received(self, data: Piece) -> None:
        """See ``reading.Receiver``."""
        if self._incoming is not None:
            self._incoming.body_received(data)

    def request_completed(self) -> None:
        """See ``reading.Receiver``."""
        if self._incoming is not None:
            self._incoming.request_completed()
            self._incoming = None

    def upgrade_received(self, protocol: bytes, early: bytes) -> None:
        """See ``reading.Receiver``."""
        exchange = self._last()
        assert exchange is not None
        self._reader.close()
        self._reader = exchange.upgrade = Upgrade(exchange, protocol, early)
        exchange.ask_upgrade(protocol)

    # Order

    def _enqueue(self, exchange: Exchange) -> None:
        if self._current is None:
            self._current = exchange
        else:
            self._waiting.append(exchange)

    def _refuse(self, refusal: Refused) -> None:
        """Answer what could not be read as a request, in its turn; nothing behind it is read."""
        self.gateway.counters.protocol_errors_total += 1
        self._ending = True
        refusal.__traceback__ = refusal.__context__ = None  # which would keep all frames, and so itself, for ever
        incoming, self._incoming = self._incoming, None
        if incoming is None and refusal.of_complete_request:
            incoming = self._last()  # it was read whole, and asks for another protocol
        if incoming is not None:
            incoming.request_broken(refusal)
        else:
            self._enqueue(self.gateway.exchange_class.refused(self, refusal, time.time()))

    def head_late(self) -> None:
        """See ``Standing``."""
        self._ending = True
        refusal = Refused(408, b"request header timeout", b"request_header_timeout", flags=b"")
        self._enqueue(self.gateway.exchange_class.refused(self, refusal, self._reader.started_at))
        self._start_next()

    def _last(self) -> Exchange | None:
        return self._waiting[-1] if self._waiting else self._current

    def _start_next(self) -> None:
        """Start the next exchange, and the one after it for as long as they are done at once."""
        self._starting = True
        while not self._full:
            current = self._current
            if current is None:
                if not self._waiting:
                    break
                current = self._current = self._waiting.popleft()
                if self._held:
                    self._read_on()
            if current.started:
                break
            current.start()
        self._starting = False
        if self._full and not self._ending:
            self._pause(_PIPELINE)
        elif self._paused & _PIPELINE and not self._waiting:
            self._resume(_PIPELINE)

    def exchange_done(self, exchange: Exchange) -> None:
        """The answer to ``exchange`` has been written; go on with the next, or end."""
        if exchange is not self._current:
            return
        self._current = None
        if not exchange.keep_alive:
            self._wait_for_nothing()
            self._end(exchange.request_complete and not self._paused)
        elif self._waiting and not self._starting:
            self._start_next()

    def client_full(self) -> None:
        """The client does not take what it is sent. May be told repeatedly."""
        self._full = True
        current = self._current
        if current is not None and current.upstream is not None:
            current.upstream.pauseProducing()

    def client_ready(self) -> None:
        """The client has taken all that it was sent."""
        self._full = False
        current = self._current
        if current is None or not current.started:
            self._start_next()
        elif current.upstream is not None:
            current.upstream.resumeProducing()

    # Ending

    def end_when_idle(self, patiently: bool = False) -> None:
        """Close now if nothing is owed, else after the present answer; ``patiently``: after the first, if none was."""
        current = self._current
        if current is None:
            if patiently and not self._asked and not self._ending:
                self.dataReceived = self._received_first  # type: ignore[method-assign]
            elif not self._lingering:
                self._ending = True
                self.transport.unregisterProducer()
                self.transport.loseConnection()
        else:
            current.keep_alive = False

    def _received_first(self, data: bytes) -> None:
        del self.__dict__["dataReceived"]
        self.dataReceived(data)
        self.end_when_idle(patiently=True)

    def _end(self, read_all: bool) -> None:
        """Close after what was written is on its way.

        Closing a socket with unread input resets it, which can destroy an answer that the client has not read yet. So
        where input may follow, only our side is closed, and what comes is thrown away for a while.
        """
        self._ending = True
        transport = self.transport
        transport.unregisterProducer()
        if read_all:
            transport.loseConnection()
            return
        if self._paused:
            self._paused = 0
            transport.resumeProducing()
        transport.loseWriteConnection()
        self._lingering = True
        self.gateway.lingering.arm(self)

    def lingered(self) -> None:
        """The time is over in which a client may still send what nobody reads."""
        self._lingering = False
        self.transport.loseConnection()

    def abort(self, reset: bool = False) -> None:
        """End without completing the answer that is under way; the client can see that it is cut.

        ``reset``: by a reset of the connection, for an answer that ends with it.
        """
        self._current = None
        self._ending = True
        self._wait_for_nothing()
        self.transport.unregisterProducer()
        if reset:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    def _wait_for_nothing(self) -> None:
        self._waiting.clear()
        self._held = b""

    # As a producer of request bodies, for the endpoint's transport

    def pauseProducing(self) -> None:
        """The endpoint's buffer is full."""
        self._pause(_UPLOAD)

    def resumeProducing(self) -> None:
        """The endpoint's buffer is empty again."""
        self._resume(_UPLOAD)

    def stopProducing(self) -> None:
        """The endpoint's connection is gone; its own event says so to the exchange."""

    def _pause(self, why: int) -> None:
        if not self._paused:
            self.transport.pauseProducing()
        self._paused |= why

    def _resume(self, why: int) -> None:
        if self._paused & why:
            self._paused &= ~why
            if not self._paused and not self._ending:
                self.transport.resumeProducing()
