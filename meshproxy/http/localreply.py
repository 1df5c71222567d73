"""Answers that the gateway makes itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from meshproxy.http.headeroperations import Field
from meshproxy.http.statuses import connection_line, in_http10, status_line

WITHOUT_BODY = (204, 304)
"""Statuses of answers that have no body, nor a length of one."""

_TYPE = b"content-type"


def content_fields(status: int, body: bytes, fields: Sequence[Field] = ()) -> list[Field]:
    """``fields`` with what says what the body is: a body is text unless they have another type for it."""
    others = [field for field in fields if field[0] != _TYPE]
    if status in WITHOUT_BODY:
        return others
    length = (b"content-length", b"%d" % len(body))
    if not body:
        return [length, *others]
    types = [field for field in fields if field[0] == _TYPE] or [(_TYPE, b"text/plain")]
    return [length, *types, *others]


def local_reply(status: int, fields: Iterable[Field], body: bytes, date: bytes, close: bool, http10: bool) -> bytes:
    """Head and body of an answer as Istio's gateway makes it.

    ``date`` is the present one, for an answer that has none among its fields. ``close``: the connection ends with it.
    ``http10``: the client speaks HTTP/1.0.
    """
    lines = [b"%b: %b\r\n" % field for field in fields]
    if not any(line.startswith(b"date:") for line in lines):
        lines.append(b"date: %b\r\n" % date)
    first = status_line(status)
    if http10:
        first = in_http10(first)
    end = b"server: istio-envoy\r\n%b\r\n" % connection_line(not close, http10)
    return b"".join((first, *lines, end, body))
