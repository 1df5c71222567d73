"""Looking at every connection now and then, for limits that cost the data path nothing.

A limit on *standing still* needs no timer that each byte pushes back. Who is watched is looked at once in a round; who
looks the same as at the last look has stood still for at least a round. So nobody is ended before the time, and with
``LOOKS`` rounds to the shortest limit nobody later than ``1 / LOOKS`` of it, or a round, behind the time.

A round is cut into steps, each of which looks at one group, so that thousands of connections cause no pause. Time is
counted in rounds, not read from a clock: a process that was stopped for a while ends nobody for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

LOOKS = 8
_GROUPS = 8
_SHORTEST_ROUND = 0.1


class Rounds(Generic[T]):
    """Calls ``look`` with each of those watched, once in ``seconds``.

    ``clock`` provides ``IReactorTime``. ``look`` may end the watch of anybody.
    """

    __slots__ = ("_clock", "_groups", "_look", "_next", "_timer", "seconds")

    def __init__(self, clock: Any, seconds: float, look: Callable[[T], None]) -> None:
        self.seconds = seconds
        self._clock = clock
        self._look = look
        self._groups: tuple[set[T], ...] = tuple(set() for _ in range(_GROUPS))
        self._next = 0
        self._timer: Any = None

    def start(self) -> None:
        """Begin to look; nothing happens if that was done."""
        if self._timer is None:
            self._timer = self._clock.callLater(self.seconds / _GROUPS, self._step)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def watch(self, item: T) -> None:
        """Look at one more."""
        self._group_of(item).add(item)

    def forget(self, item: T) -> None:
        """Look no more at one, be it watched or not."""
        self._group_of(item).discard(item)

    def everybody(self) -> list[T]:
        """All that are watched."""
        return [item for group in self._groups for item in group]

    def _group_of(self, item: T) -> set[T]:
        # Hashes of objects are addresses: neighbours differ by more than the last bits.
        return self._groups[hash(item) // 256 % _GROUPS]

    def _step(self) -> None:
        self._timer = None
        group = self._groups[self._next]
        self._next = (self._next + 1) % _GROUPS
        self.start()
        for item in tuple(group):
            if item in group:
                self._look(item)


def round_for(*limits: float) -> float:
    """The seconds of a round that is short enough for all of these limits; 0 is no limit."""
    return max(_SHORTEST_ROUND, min(limit for limit in limits if limit) / LOOKS)
