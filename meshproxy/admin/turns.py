"""Long work in the reactor's thread, in pieces between which it does everything else."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

TURN_SECONDS = 0.005


class Turns:
    """One piece of long work. ``clock`` provides ``IReactorTime``."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._until = clock.seconds() + TURN_SECONDS

    async def pause(self) -> None:
        """Let the reactor go on, if this work has held it up for ``TURN_SECONDS``."""
        if self._clock.seconds() < self._until:
            return
        turn: Deferred[None] = Deferred()
        self._clock.callLater(0, turn.callback, None)
        await turn
        self._until = self._clock.seconds() + TURN_SECONDS
