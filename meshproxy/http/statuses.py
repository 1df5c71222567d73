"""Status lines with the standard reason phrases, and instants as texts: the ``date`` header, the access log's stamp."""

from __future__ import annotations

import time
from http import HTTPStatus

_KNOWN = {status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
# Envoy's phrases where Python's differ.
_KNOWN[413] = b"HTTP/1.1 413 Payload Too Large\r\n"
_KNOWN[422] = b"HTTP/1.1 422 Unprocessable Entity\r\n"
_KNOWN[431] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n"

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def status_line(status: int) -> bytes:
    """``HTTP/1.1 200 OK`` with its line end; the phrase is ``Unknown`` for a code without one, as Envoy has it."""
    return _KNOWN.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


def in_http10(line: bytes) -> bytes:
    """A status line of ours as a client of HTTP/1.0 gets it."""
    return line.replace(b"HTTP/1.1", b"HTTP/1.0", 1)


def connection_line(keep_alive: bool, http10: bool) -> bytes:
    """The ``connection`` line that a response needs, empty where the version says it all."""
    if keep_alive:
        return b"connection: keep-alive\r\n" if http10 else b""
    return b"connection: close\r\n"


def http_date(seconds: float) -> bytes:
    """An IMF-fixdate (RFC 9110, 5.6.7) without regard to the locale."""
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(seconds)
    text = f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month - 1]} {year} {hour:02d}:{minute:02d}:{second:02d} GMT"
    return text.encode("ascii")


class _OfSecond:
    """A text for the current second, made once for each."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = b""

    def _renew(self, second: int) -> None:
        self._second, self._text = second, self._made(second)

    def _made(self, second: int) -> bytes:
        raise NotImplementedError


class DateCache(_OfSecond):
    """``http_date`` of the current second."""

    __slots__ = ()

    def at(self, seconds: float) -> bytes:
        """The date for a Unix time."""
        second = int(seconds)
        if second != self._second:
            self._renew(second)
        return self._text

    def _made(self, second: int) -> bytes:
        return http_date(second)


_PARTS = tuple(b".%03dZ" % milliseconds for milliseconds in range(1000))


class StampCache(_OfSecond):
    """``2026-11-23T04:04:24.296Z``."""

    __slots__ = ()

    def at(self, seconds: float) -> bytes:
        """The stamp for a Unix time, in UTC."""
        second = int(seconds)
        if second != self._second:
            self._renew(second)
        return self._text + _PARTS[int((seconds - second) * 1000)]

    def _made(self, second: int) -> bytes:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode("ascii")
