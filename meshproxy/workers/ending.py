"""The end of all workers: they are told to stop, perhaps to hurry, and are killed when that takes too long."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from meshproxy.workers import commands
from meshproxy.workers.crew import Crew, tell

KILL_SECONDS = 5.0
"""So long after the drain timeout, workers are killed."""
HURRY_SECONDS = 2.0
"""And so long after a second request to stop."""

_log = Logger()


class Ending:
    """See the head of this module. ``clock`` provides ``IReactorTime``, ``drain_timeout`` is in seconds."""

    def __init__(self, clock: Any, crew: Crew, drain_timeout: float) -> None:
        self._clock, self._crew, self._drain_timeout = clock, crew, drain_timeout
        self._hurry: Deferred[None] = Deferred()
        self._ended: Deferred[None] = Deferred()
        self._kill: Any = None

    def hurry(self) -> None:
        """Let nobody wait for what is under way, in an end that has begun or is to come."""
        if not self._hurry.called:
            self._hurry.callback(None)

    def begin(self) -> None:
        """Start no worker any more, and let all end in order."""
        self._crew.stop().chainDeferred(self._ended)
        starting = self._crew.starting
        for link in self._crew.links:
            if link in starting:
                link.terminate()  # it hears only when it has started
            else:
                tell(link, commands.Stop)
        self._kill = self._clock.callLater(self._drain_timeout + KILL_SECONDS, self._kill_all)
        self._hurry.addCallback(self._hurry_all)

    async def wait(self, unchanging: Deferred[None]) -> None:
        """Until all have ended, and until ``unchanging`` fires, but for that only while there is no hurry."""
        await DeferredList([unchanging, self._hurry], fireOnOneCallback=True)
        await self._ended
        if self._kill.active():
            self._kill.cancel()

    def _hurry_all(self, _: None) -> None:
        for link in self._crew.links:
            tell(link, commands.Hurry)
        if self._kill.active():
            self._kill.reset(HURRY_SECONDS)

    def _kill_all(self) -> None:
        for link in self._crew.links:
            _log.warn("Worker {n} (pid {pid}) is killed: it does not end", n=link.number, pid=link.pid)
            link.kill()


__all__ = ["HURRY_SECONDS", "KILL_SECONDS", "Ending"]
