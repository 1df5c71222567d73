"""Reading on behind a request that offers another protocol, when the offer is ignored.

llhttp stops behind such a head and takes it for one without a body. Here the body is read all the same, if the head
announced one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from httptools import HttpRequestParser

if TYPE_CHECKING:
    from meshproxy.http.requestreader import RequestReader


class _BehindHead:
    """llhttp's events for a reader that has seen the first head already."""

    def __init__(self, reader: RequestReader) -> None:
        self._reader = reader
        self._heads = 0
        self.on_body = reader.on_body
        self.on_message_complete = reader.on_message_complete

    def on_message_begin(self) -> None:
        self._heads += 1
        if self._heads > 1:
            self._reader.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._heads > 1:
            self._reader.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._heads > 1:
            self._reader.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._heads > 1:
            self._reader.on_headers_complete()


def parser_behind_offer(reader: RequestReader) -> Any:
    """A parser for what follows a head that offered an upgrade: a body where the head announced one."""
    if reader.chunked:
        framing = b"transfer-encoding: chunked"
    elif reader.length:
        framing = b"content-length: %d" % reader.length
    else:
        return HttpRequestParser(reader)
    if not reader.keep_alive:
        framing += b"\r\nconnection: close"  # nothing is read behind this one
    parser = HttpRequestParser(_BehindHead(reader))
    parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
    return parser
