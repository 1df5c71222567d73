"""What process 1 of a container owes to others: to reap processes whose parents have ended.

Children of this process itself are left to Twisted, which waits for each by its number.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.application.service import Service
from twisted.internet.process import reapProcessHandlers
from twisted.internet.task import LoopingCall

REAP_SECONDS = 5.0


def reap_orphans() -> int:
    """Reap all processes that have ended and that nobody here has started; returns how many."""
    count = 0
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return count
        # One of our own is reaped in a moment; what is behind it, the next time.
        if ended is None or ended.si_pid in reapProcessHandlers:
            return count
        os.waitpid(ended.si_pid, 0)
        count += 1


class Reaper(Service):
    """Reaps now and then."""

    def __init__(self, clock: Any) -> None:
        self._reaping = LoopingCall(reap_orphans)
        self._reaping.clock = clock

    def startService(self) -> None:
        """Begin."""
        super().startService()  # type: ignore[no-untyped-call]
        self._reaping.start(REAP_SECONDS)

    def stopService(self) -> None:
        """End."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._reaping.running:
            self._reaping.stop()


__all__ = ["REAP_SECONDS", "Reaper", "reap_orphans"]
