"""The log of the process itself where it goes to standard output: written without ever waiting for it.

``twistd -n`` logs there with a write that waits for whoever reads. A pipe that nobody reads any more, a terminal that
is stopped or a slow disk would hold up all requests, or the supervisor of those that serve. What cannot be written is
dropped; how much that was is told as soon as something can be written again.
"""

from __future__ import annotations

import atexit
import io
import sys
from collections.abc import Callable

from meshproxy.http.counters import Counters
from meshproxy.http.logwriter import LogWriter

_LAST_LINES_SECONDS = 2.0  # for a reader that is slow when the process ends


class UnhurriedStream(io.TextIOBase):
    """A text stream to a descriptor that never waits. It is given whole lines, as the observers of a log do."""

    def __init__(self, descriptor: int) -> None:
        self._counters = Counters()
        self._writer = LogWriter(descriptor, "-", self._counters)
        self._told = 0

    @property
    def dropped(self) -> int:
        """Lines that were not written."""
        return self._counters.access_log_dropped_total

    def write(self, text: str) -> int:
        """Write some time soon, or not at all."""
        dropped = self.dropped
        notice = "" if dropped == self._told else f"{dropped} lines of this log could not be written so far\n"
        self._told = dropped
        self._writer.write((notice + text).encode("utf-8", "backslashreplace"))
        return len(text)

    def finish(self) -> None:
        """Wait a moment for what is to be written; nothing may be written after it."""
        self._writer.close(_LAST_LINES_SECONDS)


def install() -> Callable[[], None]:
    """Let standard output be such a stream; returns what finishes it, which the end of the process does too.

    Where the process was started without a standard output there is nothing to do.
    """
    if sys.stdout is None:
        return lambda: None
    stream = UnhurriedStream(sys.stdout.fileno())
    sys.stdout.flush()
    sys.stdout = stream
    atexit.register(stream.finish)
    return stream.finish


__all__ = ["UnhurriedStream", "install"]
