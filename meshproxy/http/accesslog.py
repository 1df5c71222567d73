"""The access log: one line for each exchange in Istio's default text format, written in blocks.

Rules: formatting is one expression, not an event of a logging system; what comes from the wire cannot end a line or a
quoted field; writing never raises, lines that cannot be written are counted.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from meshproxy.http.counters import Counters
from meshproxy.http.statuses import StampCache

if TYPE_CHECKING:
    from meshproxy.http.exchange import Exchange

_STANDARD_OUTPUT = 1
_FLUSH_SECONDS = 1.0
_FLUSH_BYTES = 64 * 1024
_FORMAT = b'[%b] "%b" %d %b %b - "%b" %d %d %d %b "%b" "%b" "%b" "%b" "%b" %b %b %b %b - %b\n'
_QUOTES = _FORMAT.count(b'"')


def _quoted(text: bytes) -> bytes:
    """``text`` with everything but printable ASCII, and quotes and backslashes, as ``\\xXX``; ``-`` for nothing."""
    if not text:
        return b"-"
    if text.isascii() and b'"' not in text and b"\\" not in text and text.decode("ascii").isprintable():
        return text
    return b"".join(b"\\x%02x" % c if c < 32 or c > 126 or c in b'"\\' else bytes((c,)) for c in text)


class AccessLog:
    """Writes lines to a file descriptor, at most a second after they came about.

    ``clock`` provides ``IReactorTime``. ``path`` is reopened by ``reopen`` (for log rotation), unless it is ``-``.
    """

    def __init__(self, fd: int, clock: Any, path: str = "-", counters: Counters | None = None) -> None:
        self._fd = fd
        self._clock = clock
        self._path = path
        self.counters = counters if counters is not None else Counters()
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: Any = None
        self._stamp = StampCache()

    @classmethod
    def open(cls, path: str, clock: Any) -> AccessLog:
        """A log that appends to ``path``; ``-`` is standard output. Raises ``OSError``."""
        if path == "-":
            # Not sys.stdout, which is the log of Twisted by the time of a reload.
            os.fstat(_STANDARD_OUTPUT)
            return cls(_STANDARD_OUTPUT, clock)
        return cls(_append(path), clock, path)

    def exchange(self, e: Exchange) -> None:
        """Write the line of a finished exchange."""
        agent, forwarded = e.user_agent, e.forwarded_for
        request = b"%b %b HTTP/1.1" % (e.method, e.original_path or e.path) if e.method else b"- - HTTP/1.1"
        line = self._line(e, request, agent, forwarded)
        # Nearly no line has anything to escape, so the whole of it is looked at first.
        if line.count(b'"') != _QUOTES or b"\\" in line or not line.isascii():
            line = self._line(e, _quoted(request), _quoted(agent), _quoted(forwarded))
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.callLater(_FLUSH_SECONDS, self._on_time)

    def _line(self, e: Exchange, request: bytes, agent: bytes, forwarded: bytes) -> bytes:
        return _FORMAT % (
            self._stamp.at(e.started_at),
            request,
            e.status,
            e.flags or b"-",
            e.details or b"-",
            e.transport_failure or b"-",
            e.bytes_received,
            e.bytes_sent,
            e.duration_ms,
            b"-" if e.service_ms is None else b"%d" % e.service_ms,
            forwarded or b"-",
            agent or b"-",
            e.request_id or b"-",
            e.authority or b"-",
            e.upstream_host or b"-",
            e.upstream_cluster or b"-",
            e.upstream_local or b"-",
            e.local,
            e.logged_remote,
            e.route_name or b"-",
        )

    def _on_time(self) -> None:
        self._timer = None
        self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        lines, self._lines, self._size = self._lines, [], 0
        data = memoryview(b"".join(lines))
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            # A full disk or a closed pipe: serving goes on.
            self.counters.access_log_dropped_total += bytes(data).count(b"\n")

    def reopen(self) -> None:
        """Open the path anew, after it was moved away. Raises ``OSError`` and keeps the old file when that fails."""
        self.flush()
        if self._path != "-":
            fd = _append(self._path)
            os.close(self._fd)
            self._fd = fd

    def close(self) -> None:
        """Write what is waiting and end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.flush()
        if self._path != "-":
            os.close(self._fd)


def _append(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
