"""Bytes to requests: llhttp in its strict mode, and what it leaves to decide.

The reader tells its receiver of each head (``head_received``: the reader's own attributes describe it until the next
one), of body pieces, and of the end of each request. It keeps no request and does no I/O.

Rules: framing is llhttp's business, which refuses all that is doubtful. A message is refused here when it is not
HTTP/1.1 (nor HTTP/1.0, where that is served), has no or more than one ``Host``, a transfer coding other than
``chunked``, a target that is no path, or is too large. Names are in lower case, repeated lines of a few headers are
joined, what is hop-by-hop or not for clients to say is left out. Nothing behind a refused message is read, nor behind
one that asks for another protocol; an offer of HTTP/2 is ignored.
"""

from __future__ import annotations

import time
from typing import Any

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from meshproxy.headers import join_lines
from meshproxy.http.bodies import LONGEST_BODY, STREAMED_BODY, Piece, without_zeros
from meshproxy.http.fields import collector, size_of_fields
from meshproxy.http.ignoredoffers import parser_behind_offer
from meshproxy.http.knownheads import KnownLine, KnownRequest
from meshproxy.http.names import Meaning
from meshproxy.http.reading import DEFAULT_SETTINGS, ReaderSettings, Receiver
from meshproxy.http.requestfields import SHAPES, without_hop_by_hop, without_underscores
from meshproxy.http.requesthead import (
    BAD_REQUEST,
    TOO_LARGE,
    TOO_MANY_FIELDS,
    Refused,
    check_line_ends,
    is_host,
    plain_line,
    split_target,
)
from meshproxy.limits import Underscores

_WRONG_VERSION = (426, b"Upgrade Required", b"low_version")

_BODY_CAME = -1

_CONTENT_LENGTH = int(Meaning.CONTENT_LENGTH)
_TRANSFER_ENCODING = int(Meaning.TRANSFER_ENCODING)
_CONNECTION = int(Meaning.CONNECTION)
_HOST = int(Meaning.HOST)
_FORWARDED_FOR = int(Meaning.FORWARDED_FOR)
_FORWARDED_PROTO = int(Meaning.FORWARDED_PROTO)
_TE = int(Meaning.TE)
_UPGRADE = int(Meaning.UPGRADE)
_EXPECT = int(Meaning.EXPECT)


class RequestReader:
    """See the head of this module.

    After ``head_received``: ``method``, ``authority``, ``path`` (normalised), ``query`` (with its ``?``), ``shape``
    and ``values`` (the fields to pass on), ``lines`` (these as they are passed on, or empty), ``chunked``, ``length``
    (None without content-length), ``keep_alive``, ``http10``, ``expects_continue``, ``forwarded_for`` and
    ``forwarded_proto`` as received (the latter two are not among ``values``), ``started_at`` (Unix time of the first
    byte). ``body_left``: how much of a large body is to come.
    """

    def __init__(self, receiver: Receiver, settings: ReaderSettings = DEFAULT_SETTINGS) -> None:
        self._receiver = receiver
        self._settings = settings
        self._names: list[bytes] = []
        self._values: list[bytes] = []
        self.on_header = collector(self._names, self._values)
        self._parser: Any = None  # until a head comes that is not known
        self._in_head = self._in_body = self._trim = self._behind = False
        self._line_end = b""  # the half of one that ended the last read, in front of a request
        self._last = False  # nothing follows the request that was read
        self._head_size = self._idle_size = self.body_left = 0
        self.chunked = self.http10 = False
        self.started_at = 0.0
        self.length: int | None = None
        self.method = self.lines = b""

    @property
    def in_head(self) -> bool:
        """A head has begun and is not complete."""
        return self._in_head

    @property
    def in_body(self) -> bool:
        """A body, or what frames it, is still to come."""
        return self._in_body

    def close(self) -> None:
        """Break the cycles of references between parser, reader and receiver; nothing may be fed any more."""
        self._parser = None
        del self._receiver

    def feed(self, data: Piece) -> None:
        """Read ``data``. Raises ``Refused``; then nothing more may be fed.

        It may be a view of something larger where it is no more than what is left of a large body.
        """
        if self.body_left:
            data = self._stream(data)
            if not data:
                return
        assert isinstance(data, bytes)
        if self._in_head or self._in_body:
            self._parse(data)
            return
        if self._last:
            if data.strip(b"\r\n"):
                raise Refused(*BAD_REQUEST)
            return
        settings = self._settings
        line, _, fields = data.partition(b"\r\n")
        first = settings.known_lines[line] or self._learn_line(line)
        if first is None or self._line_end or len(data) > settings.limits.max_headers_bytes:
            self._line_end = check_line_ends(self._line_end, data)
            self._parse(data)
            return
        known = settings.known_requests[fields]
        if known is not None:
            self._read_known(first, known)
            return
        self._parse(data)
        if fields.find(b"\r\n\r\n") == len(fields) - 4 and self._is_plain():
            assert self._host is not None
            passed_on = (self.shape, self.values, self.shape.template % self.values)
            forwarded = (self.forwarded_for, self.forwarded_proto)
            settings.known_requests.remember(fields, KnownRequest(self._host, *passed_on, *forwarded, self.keep_alive))

    def _learn_line(self, line: bytes) -> KnownLine | None:
        """What a first line says, from now on known; None for one that the parser has to read."""
        plain = plain_line(line)
        if plain is None:
            return None
        method, target = plain
        try:
            _, path, query = split_target(target, b"", self._settings.normalize, method)
        except Refused:
            return None
        found = KnownLine(method, path, query)
        self._settings.known_lines.remember(line, found)
        return found

    def _read_known(self, line: KnownLine, known: KnownRequest) -> None:
        self.started_at = time.time()
        self.method, self.path, self.query = line
        (
            self.authority,
            self.shape,
            self.values,
            self.lines,
            self.forwarded_for,
            self.forwarded_proto,
            self.keep_alive,
        ) = known
        self.length = None
        self.chunked = self.http10 = self.expects_continue = False
        self._behind = True
        self._last = not self.keep_alive
        self._receiver.head_received(self)
        self._receiver.request_completed()

    def _stream(self, data: Piece) -> Piece:
        """Tell more of a large body; what is behind it is returned."""
        left = self.body_left
        behind, data = data[left:], data[:left]
        self.body_left = left - len(data)
        self._receiver.body_received(data)
        if not self.body_left:
            self._parser = None  # it still waits for the body
            self.on_message_complete()
        return behind

    def _is_plain(self) -> bool:
        """Whether all that was read is one request, in HTTP/1.1, which ended with its head and asked for nothing."""
        if self._in_head or self._in_body or self.http10 or self.expects_continue or self._upgrade is not None:
            return False
        connection = self._connection is None or self._connection.lower() in (b"close", b"keep-alive")
        return connection and self.length is None and not self.chunked

    def _parse(self, data: bytes) -> None:
        if self._parser is None:
            self._parser = HttpRequestParser(self)
        if self._in_head:
            self._head_size += len(data)
            self._trim = True  # a blank may end one read and its line end begin the next
        else:
            self._head_size = len(data)
            self._behind = False
            self._trim = b" \r\n" in data or (b"\t" in data and b"\t\r\n" in data)
        while True:
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                # llhttp stopped behind a head that asks for another protocol, which in HTTP/1.0 means nothing.
                data = data[upgrade.args[0] :]
                protocol = (self._upgrade or b"").rstrip(b" \t")
                if protocol.lower() != b"h2c" and not self.http10:
                    self._check_upgrade(protocol)
                    self._receiver.upgrade_received(protocol, data)
                    return
                self._parser = parser_behind_offer(self)
                if data:
                    continue
            except HttpParserCallbackError as error:
                if isinstance(error.__context__, Refused):
                    raise error.__context__ from None
                raise
            except HttpParserError as error:
                # llhttp knows the versions that there are, and no error of its own for those that there are not.
                wrong_version = str(error) == "Invalid HTTP version"
                raise Refused(*(_WRONG_VERSION if wrong_version else BAD_REQUEST)) from None
            break
        if self._in_head:
            if self._head_size > self._settings.limits.max_headers_bytes:
                if not self._behind:
                    raise Refused(*TOO_LARGE)
                # The read began with another message. How much of it this head is gets known once, roughly.
                self._behind = False
                self._head_size = self._size_of_head()
        elif self._in_body and self.chunked:
            # Neither chunk extensions nor trailers are of any use here; they get no more room than a head.
            self._idle_size = self._idle_size + len(data) if self._idle_size != _BODY_CAME else 0
            if self._idle_size > self._settings.limits.max_headers_bytes:
                raise Refused(*BAD_REQUEST)

    # llhttp's events

    def on_message_begin(self) -> None:
        self._in_head = True
        self._target = self.lines = b""
        self._names.clear()
        self._values.clear()
        self._host: bytes | None = None
        self.length = None
        self.chunked = self.http10 = False
        self._connection: bytes | None = None
        self.forwarded_for = self.forwarded_proto = b""
        self._upgrade: bytes | None = None
        self.expects_continue = False
        self.started_at = time.time()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def _special(self, meaning: int, value: bytes) -> None:
        if meaning == _HOST:
            if self._host is not None or not is_host(value):
                raise Refused(*BAD_REQUEST)
            self._host = value
        elif meaning == _CONTENT_LENGTH:
            self.length = int(value)
            if self.length > LONGEST_BODY:
                raise Refused(*BAD_REQUEST)
        elif meaning == _TRANSFER_ENCODING:
            if self.chunked or value.lower() != b"chunked":
                raise Refused(501, b"Not Implemented", b"http1.invalid_transfer_encoding")
            self.chunked = True
        elif meaning == _CONNECTION:
            self._connection = value if self._connection is None else self._connection + b"," + value
        elif meaning == _FORWARDED_FOR:
            self.forwarded_for = join_lines(self.forwarded_for, value)
        elif meaning == _FORWARDED_PROTO:
            self.forwarded_proto = join_lines(self.forwarded_proto, value)
        elif meaning == _TE:
            self._te = True
        elif meaning == _UPGRADE:
            self._upgrade = value if self._upgrade is None else self._upgrade + b"," + value
        elif meaning == _EXPECT:
            self.expects_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        self._in_head = False
        parser = self._parser
        values = self._values
        if self._trim:
            values = [value.rstrip(b" \t") for value in values]
        shape = SHAPES.of(tuple(self._names))
        self._te = False
        for at, meaning in shape.special:
            if meaning == _CONTENT_LENGTH:
                values[at] = without_zeros(values[at])
            self._special(meaning, values[at])
        connection = self._connection
        self.keep_alive = parser.should_keep_alive()
        # Without a Connection header only HTTP/1.1 keeps alive; the version itself is dearer to ask for.
        if (connection is not None or not self.keep_alive) and (version := parser.get_http_version()) != "1.1":
            self._in_version(version)
        limits = self._settings.limits
        if self._head_size > limits.max_headers_bytes < self._size_of_head():
            raise Refused(*TOO_LARGE)
        if shape.count > limits.max_headers_count:
            raise Refused(*TOO_MANY_FIELDS)
        if self._host is None:
            raise Refused(400, b"", b"missing_host_header")
        self.method = parser.get_method()
        if self.method == b"CONNECT":
            raise Refused(404, b"", b"route_not_found")
        self.authority, self.path, self.query = split_target(
            self._target, self._host, self._settings.normalize, self.method
        )
        self.shape, self.values = shape, shape.pick(values)
        if shape.repeats:
            self.shape, self.values = SHAPES.joined(self.shape, self.values)
        if shape.underscored and limits.underscores is not Underscores.ALLOW:
            if limits.underscores is Underscores.REJECT_REQUEST:
                raise Refused(400, b"Bad Request", b"http1.unexpected_underscore")
            self.shape, self.values = without_underscores(self.shape, self.values)
        if self._te or connection is not None:
            self.shape, self.values = without_hop_by_hop(self.shape, self.values, connection or b"", self._te)
        self._in_body = True
        self._idle_size = 0
        if self.length is not None and self.length >= STREAMED_BODY and self._upgrade is None:
            self.body_left = self.length
        self._receiver.head_received(self)
        # Where trailers go, and are forgotten.
        self._names.clear()
        self._values.clear()

    def on_body(self, body: bytes) -> None:
        self._idle_size = _BODY_CAME
        if self.body_left:
            self.body_left -= len(body)
        self._receiver.body_received(body)

    def on_message_complete(self) -> None:
        if self._upgrade is not None and (self.chunked or self.length) and self._parser.should_upgrade():
            return  # llhttp sees no body behind an offer to upgrade; ``feed`` goes on with the body
        self._in_body = False
        self._behind = True
        self._last = not self.keep_alive
        self._receiver.request_completed()

    def _check_upgrade(self, protocol: bytes) -> None:
        if protocol.lower() not in self._settings.upgrades:
            raise Refused(403, b"", b"upgrade_failed", of_complete_request=True)
        if self.chunked or self.length:
            # Where a body ends is one protocol's business, what follows it another's: nobody should have to tell.
            raise Refused(*BAD_REQUEST)

    # Details of the head

    def _in_version(self, version: str) -> None:
        """Find out whether a version other than HTTP/1.1 is served. Raises ``Refused``."""
        if version != "1.0" or not self._settings.accept_http10:
            raise Refused(*_WRONG_VERSION)
        if self.chunked:
            raise Refused(*BAD_REQUEST)  # RFC 9112, 6.1
        self.http10 = True
        self.expects_continue = False  # RFC 9110, 10.1.1

    def _size_of_head(self) -> int:
        return size_of_fields(self._names, self._values) + len(self._target)
