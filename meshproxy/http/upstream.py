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

import time
from math import inf
from typing import TYPE_CHECKING, Any

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from meshproxy.http import grpcstatus
from meshproxy.http.carried import Carried
from meshproxy.http.fields import collector, size_of_fields
from meshproxy.http.names import Meaning
from meshproxy.http.responsehead import SHAPES, edited_head, proxied_fields, without_length
from meshproxy.http.statuses import connection_line, in_http10, status_line
from meshproxy.limits import DEFAULT_BUFFER
from meshproxy.net.transports import address_text

if TYPE_CHECKING:
    from meshproxy.http.gateway import Gateway
    from meshproxy.http.upgrading import Upgrade
    from meshproxy.upstream.pool import Pool

_MOST_INTERIM = 16

_CONTENT_LENGTH = int(Meaning.CONTENT_LENGTH)
_TRANSFER_ENCODING = int(Meaning.TRANSFER_ENCODING)
_CONNECTION = int(Meaning.CONNECTION)
_DATE = int(Meaning.DATE)
_GRPC_STATUS = int(Meaning.GRPC_STATUS)
_RATE_LIMITED = int(Meaning.RATE_LIMITED)
_monotonic = time.monotonic


class _Unwanted(Exception):
    """Something in a response that is well-formed and all the same not to be passed on."""


class _Retried(_Unwanted):
    """A response that is thrown away for another try."""


class Upstream(Protocol):
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
        self._head_size = self._interim = 0

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
        if self._in_head:
            self._head_size += len(data)
            self._trim = b" \r\n" in data or (b"\t" in data and b"\t\r\n" in data) or self._head_size != len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if isinstance(error, HttpParserCallbackError) and not isinstance(error.__context__, _Unwanted):
                raise
            if isinstance(error.__context__, _Retried):
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
            self._finish(exchange)
        elif exchange.response_begun:
            self._streaming = True

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
        if host.monitor is not None:
            host.monitor.connected()
            exchange.special = True
        # Only what an exchange that left the connection in use may have changed.
        self._complete = self._streaming = False
        self._silent = self._in_head = True
        self._head_size = self._interim = 0
        self.transport.write(exchange.first_bytes())
        if not exchange.request_complete:
            self._uploading = True
            self.transport.registerProducer(exchange.connection, True)

    def send_body(self, exchange: Carried) -> None:
        """Send what has come of the request's body since."""
        self.transport.write(exchange.take_body())
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

    # llhttp's events

    def on_message_begin(self) -> None:
        if self._complete:
            self._surplus = True
        self._names.clear()
        self._values.clear()
        self._has_length = self._chunked = self._has_date = False

    def on_headers_complete(self) -> None:
        exchange = self._exchange
        if exchange is None or self._complete:
            raise _Unwanted("a response nobody waits for")
        parser = self._parser
        status: int = parser.get_status_code()
        if status < 200:
            self._interim_response(exchange, status)
            return
        self._in_head = False
        values = self._values
        if self._trim:
            values = [value.rstrip(b" \t") for value in values]
        shape = SHAPES.of(tuple(self._names))
        limits = self._gateway.limits
        if shape.count > limits.max_headers_count or self._head_size > limits.max_headers_bytes < size_of_fields(
            self._names, values
        ):
            raise _Unwanted("a head larger than it may be")
        has_connection = rate_limited = False
        grpc_status = None
        for at, meaning in shape.special:
            if meaning == _CONTENT_LENGTH:
                self._has_length = True
            elif meaning == _DATE:
                self._has_date = True
            elif meaning == _CONNECTION:
                has_connection = True
            elif meaning == _TRANSFER_ENCODING:
                if self._chunked or values[at].lower() != b"chunked":
                    raise _Unwanted("a transfer coding other than chunked")
                self._chunked = True
            elif meaning == _GRPC_STATUS:
                grpc_status = values[at]
            elif meaning == _RATE_LIMITED:
                rate_limited = True
        special = exchange.special
        if special and self._pool.host.monitor is not None:
            told = grpcstatus.to_http(grpc_status) if grpc_status is not None and exchange.is_grpc else None
            self._pool.host.monitor.responded(status, told)
        if (
            (special and status >= exchange.retry_from) or grpc_status is not None or rate_limited
        ) and exchange.wants_retry(status, grpc_status, rate_limited):
            raise _Retried
        self._keep_alive = keep_alive = parser.should_keep_alive()
        # Without a Connection header only HTTP/1.1 keeps alive; the version itself is dearer to ask for.
        if self._chunked and (has_connection or not keep_alive) and parser.get_http_version() != "1.1":
            raise _Unwanted("a transfer coding in HTTP/1.0")
        kept = shape.pick(values)
        is_head = exchange.method == b"HEAD"
        bodiless = is_head or status in (204, 304)
        exchange.status = status
        exchange.response_begun = True
        edited = http10 = False
        first = status_line(status)
        if special:
            exchange.begin_response()
            edited = exchange.edited
            if exchange.upgrade is not None:
                self._keep_alive = False
            http10 = exchange.http10
            if http10:
                first = in_http10(first)
        exchange.service_ms = service = int((_monotonic() - (exchange.request_done_at or exchange.begun_at)) * 1000)
        added = []
        if not edited:
            if not self._has_date:
                added.append(b"date: %b\r\n" % self._gateway.dates.at(time.time()))
            for cookie in exchange.cookies:
                added.append(b"set-cookie: %b\r\n" % cookie)
        if status == 204 and self._has_length:
            # RFC 9110, 8.6
            shape, kept = without_length(shape, kept)
        if not bodiless and not self._has_length:
            self._until_close = not self._chunked
            if http10:
                exchange.keep_alive = False  # the response ends with the connection
            else:
                exchange.chunked_response = True
                added.append(b"transfer-encoding: chunked\r\n")
        elif is_head and self._chunked and not http10:
            added.append(b"transfer-encoding: chunked\r\n")
        if exchange.expects_continue and not exchange.request_complete and not self._interim:
            exchange.keep_alive = False
        if http10 or not exchange.keep_alive:
            added.append(connection_line(exchange.keep_alive, http10))
        if edited:
            fields = exchange.edit_response(proxied_fields(shape, kept, service))
            self._out.append(edited_head(first, fields, added, self._gateway.dates.at(time.time())))
        else:
            self._out.append(shape.template % (first, *kept, b"".join(added), service))
        if is_head:
            # llhttp cannot know and would wait for a body. A new parser takes over for the next response.
            self._complete = True

    def _interim_response(self, exchange: Carried, status: int) -> None:
        """A 1xx. Only 100 is passed on, and 101 if it is what was asked for; no end of them is an error."""
        self._interim += 1
        if status == 101 and exchange.upgrade is not None and self._parser.get_http_version() == "1.1":
            values = [value.rstrip(b" \t") for value in self._values]
            head = exchange.upgrade.accept(self._names, values)
            if head is not None:
                if self._pool.host.monitor is not None:
                    self._pool.host.monitor.responded(status)
                self._out.append(head)
                return  # llhttp stops behind this head
        if status < 100 or status == 101 or self._interim > _MOST_INTERIM:
            raise _Unwanted("a status that is none, an upgrade not asked for, or no end of interim responses")
        self._head_size = 0
        if status == 100 and not exchange.http10:
            self._out.append(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._gateway.counters.responses_1xx += 1

    def on_body(self, body: bytes) -> None:
        exchange = self._exchange
        if self._complete or exchange is None:
            self._surplus = True
            return
        exchange.bytes_sent += len(body)
        if exchange.chunked_response:
            self._out += (b"%x\r\n" % len(body), body, b"\r\n")
        else:
            self._out.append(body)

    def on_message_complete(self) -> None:
        if self._in_head:
            return  # an interim response
        exchange = self._exchange
        if not self._complete and exchange is not None:
            self._complete = True
            if exchange.chunked_response:
                self._out.append(b"0\r\n\r\n")

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
