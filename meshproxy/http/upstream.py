"""The endpoint's side of a connection: an exchange's request out, its response in.

Theory of operation. A connection carries one exchange at a time and is free for its host's pool between two. llhttp's
callbacks collect, in ``_out``, what the client has to get; when the parser returns, all of it leaves in one write. So
the response is always re-serialised, never copied as it came.

An endpoint is not trusted: what llhttp refuses, a second response, bytes behind a response, or another upgrade than
was asked for end the connection. Where no byte has reached the client it gets a 502, else its connection is cut, so
that a cut response never looks whole.

A kept connection that becomes readable while it is idle is closed: either the endpoint has closed it, or it says
something that nobody asked for.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from meshproxy.http.carried import Carried
from meshproxy.http.fields import collector
from meshproxy.http.responsereader import ResponseReader, Retried, Unwanted
from meshproxy.limits import DEFAULT_BUFFER
from meshproxy.net.transports import address_text, unsent

if TYPE_CHECKING:
    from meshproxy.http.gateway import Gateway
    from meshproxy.http.upgrading import Upgrade
    from meshproxy.upstream.pool import Pool

_BEGINNING = b"HTTP/1."


class Upstream(ResponseReader, Protocol):
    """One connection to an endpoint. See the head of this module."""

    transport: Any

    def __init__(self, gateway: Gateway, pool: Pool) -> None:
        # No more than 30 attributes in all: beyond that, CPython 3.11 finds each of them more slowly.
        self.expires = inf
        self._gateway = gateway
        self._pool = pool
        self._exchange: Carried | None = None
        self._names: list[bytes] = []
        self._values: list[bytes] = []
        self.on_header = collector(self._names, self._values)
        self._parser: Any = HttpResponseParser(self)
        self._out: list[bytes] = []
        self._local = b""
        self._carried = 0  # exchanges so far
        self._keep_alive = self._complete = self._surplus = self._until_close = False
        self._in_head = self._silent = True
        self._streaming = self._uploading = self._held_back = False
        self._head_size = self._interim = self._body_left = 0

    @property
    def exchange(self) -> Carried | None:
        """What it carries; None while it is free."""
        return self._exchange

    # The transport's events

    def connectionMade(self) -> None:
        """The pool has one more connection from here on."""
        transport, settings = self.transport, self._pool.settings
        transport.setTcpNoDelay(True)
        if settings.keepalive is not None:
            transport.keep_alive(settings.keepalive)
        if settings.max_connection_duration is not None:
            self.expires = self._gateway.reactor.seconds() + settings.max_connection_duration
        self._local = address_text(transport.getHost())[1]
        counters = self._gateway.counters
        counters.upstream_connections_total += 1
        counters.upstream_connections_active += 1
        if self._gateway.limits.buffer != DEFAULT_BUFFER:
            self.transport.limit_buffers(self._gateway.limits.buffer)
        self._pool.connected(self)

    def dataReceived(self, data: bytes) -> None:
        """Parse, then pass on all that this read brought."""
        exchange = self._exchange
        if exchange is None:
            if self._parser is not None:
                self._pool.idle.pop(self, None)
                self.discard()
            return
        self._silent = False
        head = b""
        if self._body_left:
            self._stream(exchange, data)
            return
        if self._in_head:
            if not self._head_size and not exchange.special and exchange.method != b"HEAD":
                end = data.find(b"\r\n\r\n") + 4
                head = data[:end]
                known = self._gateway.known_responses[head]
                if known is not None and known.length == len(data) - end:
                    self._pass_on(exchange, known, data[end:])
                    self._finish(exchange)
                    return
            if self._head_size < len(_BEGINNING) and not self._interim:
                # llhttp would skip empty lines, and takes RTSP for an answer, too.
                expected = _BEGINNING[self._head_size :]
                if data[: len(expected)] != expected[: len(data)]:
                    self._broken(exchange)
                    return
            self._head_size += len(data)
            self._trim = b" \r\n" in data or (b"\t" in data and b"\t\r\n" in data) or self._head_size != len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if isinstance(error, HttpParserCallbackError) and not isinstance(error.__context__, Unwanted):
                raise
            if isinstance(error.__context__, Retried):
                self._pool.host.errors += 1
                self._abandon(exchange)
                exchange.try_again()
                return
            # After a complete response: surplus bytes, which cost the connection and not the answer.
            if not self._complete:
                upgrade = exchange.upgrade
                if upgrade is None or not upgrade.agreed:
                    self._broken(exchange)
                else:
                    self._switch(exchange, upgrade, data[error.args[0] :])
                return
            self._surplus = True
        if self._in_head and self._head_size > self._gateway.limits.max_headers_bytes:
            self._broken(exchange)
            return
        out = self._out
        if out:
            exchange.connection.transport.write(b"".join(out))
            out.clear()
            self._head_size = 0
        elif not self._in_head and not self._complete:
            # Neither chunk extensions nor trailers are of any use here; they get no more room than a head.
            self._head_size += len(data)
            if self._head_size > self._gateway.limits.max_headers_bytes:
                self._broken(exchange)
                return
        if self._complete:
            if head:
                self._learn(exchange, head)
            self._finish(exchange)
        elif exchange.response_begun:
            self._streaming = True

    def _stream(self, exchange: Carried, data: bytes) -> None:
        """Pass on more of a large body, of which ``_body_left`` bytes are to come."""
        left = self._body_left - len(data)
        if left < 0:
            data, self._surplus = data[:left], True
        exchange.bytes_sent += len(data)
        exchange.connection.transport.write(data)
        if left > 0:
            self._body_left = left
            return
        self._body_left = 0
        self._complete = True
        self._parser = HttpResponseParser(self)  # the old one still waits for the body
        self._finish(exchange)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The endpoint closed, or we did."""
        self._gateway.counters.upstream_connections_active -= 1
        self._parser = None
        self._pool.lost(self)
        exchange = self._exchange
        if exchange is None:
            return
        if self._until_close and not self._complete and (reason is None or reason.check(ConnectionDone)):
            # Such a response ends with the connection.
            if exchange.chunked_response:
                exchange.connection.transport.write(b"0\r\n\r\n")
            self._keep_alive = False
            self._finish(exchange)
            return
        self._detach(exchange)
        if exchange.response_begun:
            self._pool.host.failed()
            exchange.cut(b"upstream_reset_after_response_started{connection_termination}", b"UC")
        elif self._head_size:
            self._pool.host.failed()
            exchange.upstream_spoke_garbage()  # it closed in the middle of a head
        else:
            exchange.upstream_lost(self._carried > 0 and self._silent)

    # The exchange's requests

    def send(self, exchange: Carried) -> None:
        """Carry ``exchange``: send what there is of its request."""
        self._exchange = exchange
        exchange.upstream = self
        exchange.upstream_local = self._local
        pool = self._pool
        pool.breakers.requests += 1
        host = pool.host
        host.active += 1
        host.requests += 1
        if host.monitor is not None:
            host.monitor.connected()
            exchange.special = True
        # Only what an exchange that left the connection in use may have changed.
        self._complete = self._streaming = False
        self._silent = self._in_head = True
        self._head_size = self._interim = 0
        pieces = exchange.first_pieces()
        if len(pieces) == 1:
            self.transport.write(pieces[0])
        else:
            self.transport.writeSequence(pieces)
        if not exchange.request_complete:
            self._uploading = True
            self.transport.registerProducer(exchange.connection, True)

    def send_body(self, exchange: Carried) -> None:
        """Send what has come of the request's body since."""
        self.transport.writeSequence(exchange.take_body())
        if exchange.request_complete:
            self._uploading = False
            self.transport.unregisterProducer()
            # The last piece may have filled the buffer, and nobody else lets the client go on after that.
            exchange.connection.resumeProducing()

    def cancel(self) -> None:
        """Nobody waits for the response any more."""
        exchange = self._exchange
        if exchange is not None:
            self._detach(exchange)
            self.transport.abortConnection()

    def discard(self) -> None:
        """Close an idle connection."""
        self._parser = None
        self.transport.loseConnection()

    # Tunnels

    def _switch(self, exchange: Carried, upgrade: Upgrade, first: bytes) -> None:
        """The endpoint agreed to another protocol, and ``first`` are its first bytes of it."""
        if self._head_size - len(first) > self._gateway.limits.max_headers_bytes:
            self._broken(exchange)
            return
        out, self._out = b"".join(self._out), []
        self._parser = None
        upgrade.begin(self, out, first)

    def stream_both_ways(self) -> None:
        """Be told, as with a body, how fast the client's bytes may come."""
        assert self._exchange is not None
        self._uploading = True
        self.transport.registerProducer(self._exchange.connection, True)

    def tunnel_ended(self) -> None:
        """Nothing of the exchange is left to be carried."""
        if self._exchange is not None:
            self._detach(self._exchange)

    # Ends

    def _finish(self, exchange: Carried) -> None:
        """The response has been passed on whole."""
        is_head = exchange.method == b"HEAD"
        pool = self._pool
        self._carried += 1
        reusable = self._keep_alive and exchange.request_complete and not self._surplus and self._parser is not None
        if exchange.request_done_at and unsent(self.transport):
            reusable = False  # an early answer; the next request would wait behind the rest of the body
        self._detach(exchange)
        if not exchange.request_complete:
            self._parser = None
            self.transport.abortConnection()  # the rest of the request will never come
        elif not reusable or self._carried >= pool.most_carried or self.expires <= pool.sweep.now:
            self.discard()
        else:
            if is_head:
                self._parser = HttpResponseParser(self)
            pool.release(self)
        exchange.completed()

    def _broken(self, exchange: Carried) -> None:
        """The endpoint does not speak HTTP as it should."""
        # A response that is not streaming yet began in this very read, and nothing of it has been written.
        written = self._streaming
        self._abandon(exchange)
        self._pool.host.failed()
        if written:
            exchange.cut(b"upstream_reset_after_response_started{protocol_error}", b"UPE")
        else:
            exchange.response_begun = exchange.chunked_response = False
            exchange.bytes_sent, exchange.service_ms = 0, None
            exchange.upstream_spoke_garbage()

    def _abandon(self, exchange: Carried) -> None:
        """Throw away what came and close."""
        self._detach(exchange)
        self._out.clear()
        self._parser = None
        self.transport.abortConnection()

    def _detach(self, exchange: Carried) -> None:
        """Let go of the exchange and of everything that ties both transports together."""
        self._exchange = None
        pool = self._pool
        pool.host.active -= 1
        pool.breakers.requests -= 1
        if self._uploading:
            self._uploading = False
            self.transport.unregisterProducer()
            exchange.connection.resumeProducing()
        if self._held_back:
            self.resumeProducing()

    def pauseProducing(self) -> None:
        """The client does not take the response as fast as it comes."""
        if not self._held_back:
            self._held_back = True
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The client has taken what there was of it."""
        if self._held_back:
            self._held_back = False
            self.transport.resumeProducing()
