"""A tunnel: what a client's and an endpoint's connection become once both have switched to another protocol.

Rules: the bytes of each side go to the other one in order, unread and unlimited in number, no faster than they are
taken. A side that ends its direction (FIN) ends the same direction on the other connection, behind all its bytes, and
may still be sent to. The tunnel ends when both directions have ended, when a connection breaks, or when it is silent
for too long. What had come until then is still delivered.

Who ends first is whom the access log names. An endpoint that ends first has failed, to who counts failures, even if it
took leave in the other protocol, which nobody reads here (both as observed on Envoy 1.40). A tunnel of which one
direction has ended is not silent for longer than a minute, so that a side that is gone, which looks the same, leaves
nothing behind for long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from meshproxy.http.silence import SilenceLimit

if TYPE_CHECKING:
    from meshproxy.http.downstream import Downstream
    from meshproxy.http.exchange import Exchange
    from meshproxy.http.upstream import Upstream

_ENDING_SECONDS = 60.0

_CLIENT_ENDED = (b"downstream_remote_disconnect", b"DC")
_CLIENT_ABORTED = (b"downstream_local_disconnect", b"DC")
_ENDPOINT_ENDED = (b"upstream_reset_after_response_started{connection_termination}", b"UC")
_SILENT = (b"stream_idle_timeout", b"SI")


class TunnelLimits:
    """How long tunnels may be silent: all of them (None: for ever), and those that are ending, in seconds."""

    def __init__(self, clock: Any, idle_seconds: float | None) -> None:
        ending = _ENDING_SECONDS if idle_seconds is None else min(_ENDING_SECONDS, idle_seconds)
        self.idle = None if idle_seconds is None else SilenceLimit(clock, idle_seconds)
        self.ending = SilenceLimit(clock, ending)


@implementer(IHalfCloseableProtocol)
class TunnelEnd(Protocol):
    """One of a tunnel's connections, in the place of the protocol that spoke HTTP there and still counts it."""

    transport: Any

    def __init__(self, tunnel: Tunnel, spoke: Downstream | Upstream, other: Any) -> None:
        self._tunnel = tunnel
        self._spoke = spoke
        self._other = other
        self.received = 0
        self.half_ended = self.gone = False
        self.transport = spoke.transport
        self.transport.protocol = self

    def dataReceived(self, data: bytes) -> None:
        """Pass it on."""
        self.received += len(data)
        self._other.write(data)

    def readConnectionLost(self) -> None:
        """Nothing more comes; what came ends with that for the other side, too."""
        self.half_ended = True
        self._other.unregisterProducer()  # which would go on to be told to read from here
        self._other.loseWriteConnection()
        self._tunnel.half_ended(self)

    def writeConnectionLost(self) -> None:
        """All was sent and the end of it, too."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The connection is gone."""
        self.gone = True
        self._tunnel.broken(self, reason is not None and reason.check(ConnectionAborted) is not None)
        self._spoke.connectionLost(reason)
        del self._tunnel, self._spoke  # a cycle of references otherwise


class Tunnel:
    """See the head of this module."""

    __slots__ = ("_cause", "_client", "_counters", "_ended", "_endpoint", "_exchange", "_limits", "_upstream")

    def __init__(self, exchange: Exchange, upstream: Upstream) -> None:
        self._exchange = exchange
        self._upstream = upstream
        self._counters = exchange.gateway.counters
        self._limits = exchange.gateway.tunnel_limits
        self._cause: tuple[bytes, bytes] | None = None
        self._ended = False
        client = exchange.connection
        self._client = TunnelEnd(self, client, upstream.transport)
        self._endpoint = TunnelEnd(self, upstream, client.transport)

    def begin(self, head: bytes, first: bytes, early: bytes) -> None:
        """Begin with ``head`` and what the endpoint said ``first`` for the client, and with the client's ``early``."""
        counters = self._counters
        counters.tunnels_total += 1
        counters.tunnels_active += 1
        if self._limits.idle is not None:
            self._limits.idle.watch(self)
        exchange = self._exchange
        exchange.gateway.rounds.forget(exchange.connection)
        self._upstream.stream_both_ways()
        self._client.received = len(early)
        self._endpoint.received = len(first)
        self._client.transport.write(head + first)
        exchange.connection.resumeProducing()
        if early:
            self._endpoint.transport.write(early)

    @property
    def moved(self) -> int:
        """See ``silence.Watched``."""
        return self._client.received + self._endpoint.received

    # Ends

    def half_ended(self, end: TunnelEnd) -> None:
        """One side has said all that it had to say."""
        if self._ended:
            return
        self._ended_for(_CLIENT_ENDED if end is self._client else _ENDPOINT_ENDED)
        if self._client.half_ended and self._endpoint.half_ended:
            self._end()
        else:
            self._watch_ending()

    def broken(self, end: TunnelEnd, by_us: bool) -> None:
        """A connection is gone; ``by_us``: the gateway gave it up."""
        client = _CLIENT_ABORTED if by_us else _CLIENT_ENDED
        self._ended_for(client if end is self._client else _ENDPOINT_ENDED)
        self._end()
        if self._client.gone and self._endpoint.gone:
            self._limits.ending.forget(self)

    def silent(self) -> None:
        """See ``silence.Watched``. What was to be sent and is not taken, not even after the end, is given up."""
        if self._ended:
            for end in (self._client, self._endpoint):
                end.transport.abortConnection()
            return
        self._ended_for(_SILENT)
        self._end()

    def _ended_for(self, cause: tuple[bytes, bytes]) -> None:
        """Note why; the first reason is the one that counts."""
        if self._cause is None:
            self._cause = cause
            if cause is _ENDPOINT_ENDED:
                self._exchange.host.failed()

    def _watch_ending(self) -> None:
        if self._limits.idle is not None:
            self._limits.idle.forget(self)
        self._limits.ending.watch(self)

    def _end(self) -> None:
        """Account for it and close what is open, as soon as it has taken what it was sent."""
        if self._ended:
            return
        self._ended = True
        self._counters.tunnels_active -= 1
        self._watch_ending()
        self._upstream.tunnel_ended()
        assert self._cause is not None
        self._exchange.tunnel_ended(self._client.received, self._endpoint.received, *self._cause)
        for end in (self._client, self._endpoint):
            if not end.gone:
                end.transport.unregisterProducer()
                end.transport.loseConnection()
