"""Time limits that cost an exchange a dictionary entry, not a timer.

All exchanges with the same limit wait in one line: who comes later is due later. So one timer for the first of the line
is enough. It is left alone when that one leaves, and set anew when it fires; it fires about once in the time that the
limit spans, however many exchanges come and go. Limits are exact: nobody is told before or after the time.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Deadline(Generic[T]):
    """The line of those who have ``seconds`` from when they are armed.

    ``expired`` is called with each whose time is up. ``clock`` provides ``IReactorTime``.
    """

    __slots__ = ("_clock", "_due", "_expired", "_telling", "_timer", "seconds")

    def __init__(self, clock: Any, seconds: float, expired: Callable[[T], None]) -> None:
        self.seconds = seconds
        self._clock = clock
        self._expired = expired
        self._due: dict[T, float] = {}
        self._timer: Any = None
        self._telling = False

    def arm(self, item: T) -> None:
        """Begin; once more from the start for one that is armed already."""
        self._due.pop(item, None)  # at the end of the line, also where it was in it
        self._due[item] = self._clock.seconds() + self.seconds
        if self._timer is None and not self._telling:
            self._timer = self._clock.callLater(self.seconds, self._on_time)

    def left(self, item: T) -> float:
        """The seconds that one has left; all of them if it is not armed."""
        due = self._due.get(item)
        return self.seconds if due is None else due - self._clock.seconds()

    def disarm(self, item: T) -> None:
        """Forget one, be it armed or not."""
        self._due.pop(item, None)

    def stop(self) -> None:
        """Forget all."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        up = []
        for item, due in self._due.items():
            if due > now:
                break
            up.append(item)
        # Who is told may arm others, but the next timer is for the first of the line.
        self._telling = True
        try:
            for item in up:
                if self._due.get(item, inf) <= now:  # an earlier one may have disarmed it, or armed it anew
                    del self._due[item]
                    self._expired(item)
        finally:
            self._telling = False
            if self._due:
                first = next(iter(self._due.values()))
                self._timer = self._clock.callLater(max(0.0, first - self._clock.seconds()), self._on_time)
