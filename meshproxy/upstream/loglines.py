"""A limit on lines in the log, of which a storm of events makes only so many."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

MOST_LINES = 20
LINES_SECONDS = 10.0
"""That many lines in so many seconds."""

_log = Logger()


class LineLimit:
    """The lines about one kind of events. ``clock`` provides ``IReactorTime``; ``what`` names the events, in plural."""

    def __init__(self, clock: Any, what: str) -> None:
        self._clock = clock
        self._what = what
        self._window_began = float("-inf")
        self._lines = 0
        self._summary: Any = None

    def allows(self) -> bool:
        """Whether one more event may be logged now. What may not is counted, and the number is logged."""
        now = self._clock.seconds()
        if now - self._window_began >= LINES_SECONDS:
            if self._summary is not None:
                self._summary.cancel()
                self._sum_up()
            self._window_began = now
            self._lines = 0
        self._lines += 1
        if self._lines > MOST_LINES and self._summary is None:
            self._summary = self._clock.callLater(self._window_began + LINES_SECONDS - now, self._sum_up)
        return self._lines <= MOST_LINES

    def _sum_up(self) -> None:
        self._summary = None
        _log.warn("{count} more {what} are not logged", count=self._lines - MOST_LINES, what=self._what)
