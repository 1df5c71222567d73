"""Closing connections that have been idle, or open, for too long: one timer for all of them.

It runs while there are connections, and its period is coarse: a second, or a quarter of the shortest limit where that
is less. A connection is closed within a period of the time, be it before or after. That buys that setting a connection
aside costs the reading of an attribute, neither a timer nor a look at the clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshproxy.upstream.pool import Pool

_LONGEST_PERIOD = 1.0
_SHORTEST_PERIOD = 0.05


def _period(pool: Pool) -> float:
    settings = pool.settings
    limits = (settings.idle_timeout, settings.max_connection_duration)
    return max(_SHORTEST_PERIOD, min([_LONGEST_PERIOD, *[limit / 4 for limit in limits if limit is not None]]))


class IdleSweep:
    """See the head of this module. ``now`` is the time at the last turn; ``clock`` provides ``IReactorTime``."""

    __slots__ = ("_call", "_clock", "_periods", "now")

    def __init__(self, clock: Any) -> None:
        self.now = 0.0
        self._clock = clock
        self._periods: dict[Pool, float] = {}
        self._call: Any = None

    def watch(self, pool: Pool) -> None:
        """Begin to look after a pool, which is about to have connections."""
        period = self._periods[pool] = _period(pool)
        now = self._clock.seconds()
        if self._call is None:
            self.now = now
            self._call = self._clock.callLater(period, self._turn)
        elif now + period < self._call.getTime():
            self._call.reset(period)

    def forget(self, pool: Pool) -> None:
        """A pool has no connection any more."""
        del self._periods[pool]
        if not self._periods and self._call is not None:
            self._call.cancel()
            self._call = None

    def _turn(self) -> None:
        self.now = self._clock.seconds()
        self._call = self._clock.callLater(min(self._periods.values()), self._turn)
        for pool in list(self._periods):
            pool.close_idle(self.now)
