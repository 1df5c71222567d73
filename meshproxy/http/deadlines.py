"""Time limits that cost an exchange a dictionary entry, not a timer.

All exchanges with the same limit wait in one line: who comes later is due later. So one timer for the first of the line
is enough. It is left alone when that one leaves, and set anew when it fires; it fires about once in the time that the
limit spans, however many exchanges come and go. Limits are exact: nobody is told before or after the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Deadline(Generic[T]):
    """The line of those who have ``seconds`` from when they are armed.

    ``expired`` is called with each whose time is up. ``clock`` provides ``IReactorTime``.
    """

    __slots__ = ("_clock", "_due", "_expired", "_timer", "seconds")

    def __init__(self, clock: Any, seconds: float, expired: Callable[[T], None]) -> None:
        self.seconds = seconds
        self._clock = clock
        self._expired = expired
        self._due: dict[T, float] = {}
        self._timer: Any = None

    def arm(self, item: T) -> None:
        """Begin; once more from the start for one that is armed already."""
        self._due.pop(item, None)  # at the end of the line, also where it was in it
        self._due[item] = self._clock.seconds() + self.seconds
        if self._timer is None:
            self._timer = self._clock.callLater(self.seconds, self._on_time)

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
        for item in up:
            self._due.pop(item, None)
        for item in up:
            self._expired(item)
        if self._due and self._timer is None:
            first = next(iter(self._due.values()))
            self._timer = self._clock.callLater(max(0.0, first - self._clock.seconds()), self._on_time)
