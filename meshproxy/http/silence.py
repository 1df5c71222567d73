"""Limits on how long nothing may come, which cost nothing when something comes.

Nobody has to say that bytes came: whoever is watched is asked now and then how many have come so far. It is asked four
times within the limit, so a silence is noticed when it has lasted that long, or up to a quarter longer.
"""

from __future__ import annotations

from typing import Any, Protocol

from meshproxy.http.deadlines import Deadline

_LOOKS = 4


class Watched(Protocol):
    """Who may not be silent for too long. It is kept by identity."""

    @property
    def moved(self) -> int:
        """How many bytes have come so far."""

    def silent(self) -> None:
        """None have come for too long; it is not watched any more."""


class SilenceLimit:
    """The line of those who may be silent for ``seconds``. ``clock`` provides ``IReactorTime``."""

    __slots__ = ("_line", "_looks", "seconds")

    def __init__(self, clock: Any, seconds: float) -> None:
        self.seconds = seconds
        self._line: Deadline[Watched] = Deadline(clock, seconds / _LOOKS, self._look)
        self._looks: dict[Watched, tuple[int, int]] = {}

    def watch(self, watched: Watched) -> None:
        """Begin; a silence counts from here."""
        self._wait(watched, watched.moved, 0)

    def forget(self, watched: Watched) -> None:
        """Watch it no longer, if it is watched at all."""
        self._line.disarm(watched)
        self._looks.pop(watched, None)

    def _wait(self, watched: Watched, moved: int, looks: int) -> None:
        self._looks[watched] = (moved, looks)
        self._line.arm(watched)

    def _look(self, watched: Watched) -> None:
        moved, looks = self._looks[watched]
        now = watched.moved
        if now != moved:
            self._wait(watched, now, 0)
        elif looks + 1 < _LOOKS:
            self._wait(watched, now, looks + 1)
        else:
            del self._looks[watched]
            watched.silent()
