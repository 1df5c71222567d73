"""Client connections that stand still: what moves them, for how long nothing may, and what follows.

A connection is looked at now and then (see ``rounds``) in one of four states, each with a time of its own: without a
request, in the middle of a head, in an exchange, and on its way out. For a head the time is for the whole of it,
however it trickles in; everywhere else whatever moves begins the time anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from meshproxy.net.transports import unsent

if TYPE_CHECKING:
    from meshproxy.http.exchange import Exchange
    from meshproxy.http.gateway import Gateway
    from meshproxy.http.requestreader import RequestReader
    from meshproxy.http.upgrading import Upgrade

FLUSH_SECONDS = 30.0
"""How long a client may take nothing of its last answer, or of one that its next request waits behind."""


class Standing:
    """See the head of this module. ``Downstream`` derives from it and has the state."""

    transport: Any
    gateway: Gateway
    _reader: RequestReader | Upgrade
    _current: Exchange | None
    _waiting: deque[Exchange]
    _ending: bool

    _seen: object = None
    _rounds_still = 0

    def end_when_idle(self) -> None:
        """Close, if nothing is owed."""
        raise NotImplementedError

    def head_late(self) -> None:
        """Give a head up that takes too long."""
        raise NotImplementedError

    def look(self) -> None:
        """See whether anything has moved since the last look, and end what has stood still for too long."""
        seen, most, end = self._standing()
        if seen != self._seen:
            self._seen, self._rounds_still = seen, 0
            return
        self._rounds_still += 1
        if most and self._rounds_still * self.gateway.rounds.seconds >= most:
            end()

    def look_anew(self) -> None:
        """Count from now on; the limits or the rounds have changed."""
        self._seen = None

    def _standing(self) -> tuple[object, float, Callable[[], None]]:
        """What changes when something moves, how many seconds it may stand still (0: any), and what follows then."""
        limits, reader, current = self.gateway.limits, self._reader, self._current
        if (self._waiting and current is None) or (current is not None and not current.started):
            # Answers before it are not taken, so it could be told of no error either.
            return unsent(self.transport), limits.stream_idle_timeout or FLUSH_SECONDS, self.transport.abortConnection
        if current is not None:
            moved = (current.started_at, current.bytes_received, current.bytes_sent, current.response_begun)
            return (*moved, unsent(self.transport)), limits.stream_idle_timeout, current.stood_still
        if self._ending:
            return unsent(self.transport), FLUSH_SECONDS, self.transport.abortConnection
        if reader.in_head:
            return (reader.started_at,), limits.request_headers_timeout, self.head_late
        return reader.started_at, limits.idle_timeout, self.end_when_idle
