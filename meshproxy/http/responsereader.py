"""Reading responses: llhttp in its strict mode, and what the client gets of what it found.

Rules: a response is passed on when its framing is beyond doubt. A transfer coding other than ``chunked``, more than a
few interim responses, an upgrade that was not asked for, or a head that is too large are not. Whatever is passed on is
written anew, with the gateway's own fields behind the endpoint's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from meshproxy.http import grpcstatus
from meshproxy.http.bodies import LONGEST_BODY, STREAMED_BODY, without_zeros
from meshproxy.http.carried import Carried
from meshproxy.http.fields import Shape, Values, size_of_fields
from meshproxy.http.knownheads import KnownResponse
from meshproxy.http.names import Meaning
from meshproxy.http.responsehead import HEAD, SHAPES, edited_head, proxied_fields, without_length
from meshproxy.http.statuses import connection_line, in_http10, status_line
from meshproxy.upstream.recent import BUCKET_OF, SHIFT, UNITS, bucket_of

if TYPE_CHECKING:
    from meshproxy.http.gateway import Gateway
    from meshproxy.upstream.pool import Pool

_KNOWN = HEAD.removeprefix(b"%b") + b"%b"  # status line and fields are one piece, and the body follows
_MOST_INTERIM = 16
_WITHOUT_BODY = (204, 304)

_CONTENT_LENGTH = int(Meaning.CONTENT_LENGTH)
_TRANSFER_ENCODING = int(Meaning.TRANSFER_ENCODING)
_CONNECTION = int(Meaning.CONNECTION)
_DATE = int(Meaning.DATE)
_GRPC_STATUS = int(Meaning.GRPC_STATUS)
_RATE_LIMITED = int(Meaning.RATE_LIMITED)
_monotonic = time.monotonic


class Unwanted(Exception):
    """Something in a response that is well-formed and all the same not to be passed on."""


class Retried(Unwanted):
    """A response that is thrown away for another try."""


class ResponseReader:
    """llhttp's events on a connection to an endpoint; see the head of this module.

    What the client has to get is collected in ``_out``. ``_complete``: the response is; ``_surplus``: something came
    behind it; ``_keep_alive``: the endpoint keeps the connection; ``_until_close``: the response ends with it.
    """

    _gateway: Gateway
    _pool: Pool
    _exchange: Carried | None
    _parser: Any
    _out: list[bytes]
    _names: list[bytes]
    _values: list[bytes]
    _head_size: int
    _interim: int
    _trim: bool
    _in_head: bool
    _keep_alive: bool
    _complete: bool
    _surplus: bool
    _until_close: bool
    _body_left: int
    _has_length: bool
    _chunked: bool
    _has_date: bool
    _read: tuple[int, int, Shape, Values]

    # Heads that are known

    def _pass_on(self, exchange: Carried, known: KnownResponse, body: bytes) -> None:
        """Pass a whole response on, whose head is known."""
        exchange.status = known.status
        exchange.response_begun = True
        exchange.service_ms = service = self._service_ms(exchange)
        exchange.bytes_sent = known.length
        added = b""
        if not (exchange.keep_alive and known.has_date) or exchange.cookies or exchange.expects_continue:
            lines = self._added(exchange, known.has_date)
            if self._ends_client(exchange):
                lines.append(connection_line(False, False))
            added = b"".join(lines)
        exchange.connection.transport.write(_KNOWN % (known.head, added, service, body))
        self._keep_alive = self._complete = True

    def _learn(self, exchange: Carried, head: bytes) -> None:
        """Remember the head of a complete response, if it is a plain one. It came with its body in one read."""
        alone = head.startswith(b"HTTP/1.1 ") and not self._interim and not self._surplus
        framed = self._keep_alive and self._has_length and not self._chunked
        bodiless = exchange.method == b"HEAD" or exchange.status in _WITHOUT_BODY
        status, length, shape, values = self._read
        asks_for_retry = any(meaning in (_GRPC_STATUS, _RATE_LIMITED) for _, meaning in shape.special)
        if alone and framed and not bodiless and not asks_for_retry and not exchange.special:
            written = status_line(status) + shape.template % values
            self._gateway.known_responses.remember(head, KnownResponse(status, length, written, self._has_date))

    def _added(self, exchange: Carried, has_date: bool) -> list[bytes]:
        """The lines behind the endpoint's own, apart from those about framing."""
        added = [b"set-cookie: %b\r\n" % cookie for cookie in exchange.cookies]
        if not has_date:
            added.insert(0, b"date: %b\r\n" % self._gateway.dates.at(time.time()))
        return added

    def _ends_client(self, exchange: Carried) -> bool:
        """Whether the client's connection ends with this response."""
        if exchange.expects_continue and not exchange.request_complete and not self._interim:
            exchange.keep_alive = False
        return not exchange.keep_alive

    def _service_ms(self, exchange: Carried) -> int:
        """How long the endpoint has taken for the request, which is counted."""
        now = _monotonic()
        units = int((now - (exchange.request_done_at or exchange.begun_at)) * UNITS)
        times = self._pool.host.times
        if now >= times.until:
            times.turn(now)
        try:
            times.counts[BUCKET_OF[units]] += 1
        except IndexError:
            times.counts[bucket_of(units)] += 1
        return units >> SHIFT

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
            raise Unwanted("a response nobody waits for")
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
            raise Unwanted("a head larger than it may be")
        has_connection = rate_limited = False
        length = 0
        grpc_status = None
        for at, meaning in shape.special:
            if meaning == _CONTENT_LENGTH:
                self._has_length = True
                values[at] = without_zeros(values[at])
                length = int(values[at])
                if length > LONGEST_BODY:
                    raise Unwanted("a length that many readers cannot hold")
            elif meaning == _DATE:
                self._has_date = True
            elif meaning == _CONNECTION:
                has_connection = True
            elif meaning == _TRANSFER_ENCODING:
                if self._chunked or values[at].lower() != b"chunked":
                    raise Unwanted("a transfer coding other than chunked")
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
            raise Retried
        self._keep_alive = keep_alive = parser.should_keep_alive()
        # Without a Connection header only HTTP/1.1 keeps alive; the version itself is dearer to ask for.
        if has_connection or not keep_alive:
            version = parser.get_http_version()
            if version != "1.1" and (version != "1.0" or self._chunked):
                raise Unwanted("a version that is not served, or a transfer coding in HTTP/1.0")
        kept = shape.pick(values)
        self._read = (status, length, shape, kept)
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
        exchange.service_ms = service = self._service_ms(exchange)
        added = [] if edited else self._added(exchange, self._has_date)
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
        if self._ends_client(exchange) or http10:
            added.append(connection_line(exchange.keep_alive, http10))
        if edited:
            servers = [value for name, value in zip(self._names, values, strict=True) if name.lower() == b"server"]
            fields = exchange.edit_response(proxied_fields(shape, kept, service, servers))
            self._out.append(edited_head(first, fields, added, self._gateway.dates.at(time.time())))
        else:
            self._out.append(HEAD % (first, shape.template % kept, b"".join(added), service))
        if self._has_length and not bodiless and length >= STREAMED_BODY:
            self._body_left = length
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
            raise Unwanted("a status that is none, an upgrade not asked for, or no end of interim responses")
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
        if self._body_left:
            self._body_left -= len(body)
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
