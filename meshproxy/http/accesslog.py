"""The access log: one line for each exchange, written in blocks.

Rules: formatting is one expression, not an event of a logging system; what comes from the wire cannot end a line or a
quoted field; writing never raises and never waits, lines that cannot be written are counted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from meshproxy.http.counters import Counters
from meshproxy.http.logformats import LineFormat
from meshproxy.http.logwriter import LogWriter, SerialThread, open_log
from meshproxy.model import ISTIO_TEXT_FORMAT

if TYPE_CHECKING:
    from meshproxy.http.exchange import Exchange

_STANDARD_OUTPUT = 1
_FLUSH_SECONDS = 1.0
_FLUSH_BYTES = 64 * 1024


class AccessLog:
    """Writes lines to a file descriptor, at most a second after they came about.

    ``clock`` provides ``IReactorTime``. ``path`` is reopened by ``reopen`` (for log rotation), unless it is ``-``.
    ``counters`` get the dropped lines; ``thread`` writes.
    """

    def __init__(self, fd: int, clock: Any, path: str, counters: Counters, thread: SerialThread | None = None) -> None:
        self._clock = clock
        self._writer = LogWriter(fd, path, counters, thread)
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: Any = None
        self.use(ISTIO_TEXT_FORMAT)

    @classmethod
    def open(cls, path: str, clock: Any, counters: Counters, thread: SerialThread | None = None) -> AccessLog:
        """A log that appends to ``path``; ``-`` is standard output. Raises ``OSError``."""
        if path == "-":
            # Not sys.stdout, which is the log of Twisted by the time of a reload.
            os.fstat(_STANDARD_OUTPUT)
            return cls(_STANDARD_OUTPUT, clock, path, counters, thread)
        return cls(open_log(path), clock, path, counters, thread)

    def use(self, format: str | Mapping[str, object]) -> None:
        """Write by a format, as ``MeshSettings`` has it, from the next line on."""
        compiled = LineFormat(format)
        self._line = compiled.line
        self.reads_response = compiled.reads_response

    def exchange(self, exchange: Exchange) -> None:
        """Write the line of a finished exchange."""
        line = self._line(exchange)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.callLater(_FLUSH_SECONDS, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self.flush()

    def flush(self) -> None:
        """Have written what is waiting."""
        if self._lines:
            lines, self._lines, self._size = self._lines, [], 0
            self._writer.write(b"".join(lines))

    def reopen(self) -> None:
        """Open the path anew, after it was moved away. When that fails it is logged, and the old file is written on."""
        self.flush()
        self._writer.reopen()

    def close(self, seconds: float = 0.0) -> None:
        """Write what is waiting and end; wait at most so many seconds for slow writing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.flush()
        self._writer.close(seconds)
