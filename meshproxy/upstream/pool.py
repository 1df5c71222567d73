"""The connections to one host, and the requests that wait for one.

Rules (Envoy's ``conn_pool_base.cc``, for HTTP/1.1): a request takes the idle connection that was used last. Without one
it is pending, and a connection is made for it unless enough are being made already. Whatever connection is free first,
new or used, carries the request that has waited longest. At the cluster's limit of connections none is made, except for
a host that has none at all, so that no request waits for nothing. When a connection cannot be made, all requests that
wait at its host hear of it.

A retired pool keeps no idle connection; requests that wait in it are still carried.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.python.failure import Failure

from meshproxy.policies import ConnectionPool
from meshproxy.upstream.breakers import CircuitBreakers

if TYPE_CHECKING:
    from meshproxy.upstream.hosts import HostState
    from meshproxy.upstream.idle import IdleSweep

MOST_IDLE = 1024
"""How many idle connections are kept to one host; those beyond it are closed at the next turn of the sweep."""


class PendingRequest(Protocol):
    """What waits for a connection. ``waiting_in`` is the pool's to set."""

    waiting_in: Pool | None

    def overflowed(self) -> None:
        """A limit of the cluster leaves no room for it."""

    def connect_failed(self, reason: Failure) -> None:
        """There is no connection."""


class PooledConnection(Protocol):
    """A connection to a host. ``expires``: from when on it is not to be used, by the clock of the sweep."""

    expires: float

    def send(self, request: Any) -> None:
        """Carry a request."""

    def discard(self) -> None:
        """Close it; it is idle and no longer in the pool."""


class Pool:
    """See the head of this module. ``connect`` makes a connection for the pool and tells it how that ended.

    ``host`` is where connections go. ``connect_timeout`` is in seconds; what a pool is made with never changes.
    """

    __slots__ = (
        "_connect",
        "_waiting",
        "_waiting_for_new",
        "breakers",
        "connect_timeout",
        "connecting",
        "host",
        "idle",
        "most_carried",
        "opened",
        "retired",
        "settings",
        "sweep",
    )

    def __init__(
        self,
        host: HostState,
        breakers: CircuitBreakers,
        settings: ConnectionPool,
        connect_timeout: float,
        connect: Callable[[Pool], None],
        sweep: IdleSweep,
    ) -> None:
        self.host = host
        self.breakers = breakers
        self.settings = settings
        self.connect_timeout = connect_timeout
        self.most_carried = settings.max_requests_per_connection
        # With the time since when, the most recently used last.
        self.idle: dict[PooledConnection, float] = {}
        self.connecting = self.opened = 0
        self.retired = False
        self._connect = connect
        self.sweep = sweep
        self._waiting: OrderedDict[PendingRequest, None] = OrderedDict()
        self._waiting_for_new: OrderedDict[PendingRequest, None] = OrderedDict()

    @property
    def pending(self) -> int:
        """How many requests wait here."""
        return len(self._waiting) + len(self._waiting_for_new)

    # Requests

    def carry(self, request: Any) -> None:
        """Send a request over an idle connection, or as soon as there is one; or tell it that there is no room."""
        if self.idle:
            breakers = self.breakers
            if breakers.requests < breakers.max_requests:
                self.idle.popitem()[0].send(request)
            else:
                breakers.request_overflows += 1
                request.overflowed()
        else:
            self._wait(request, self._waiting)

    def carry_over_new(self, request: Any) -> None:
        """As ``carry``, but over a connection that has carried nothing before, if one can be made now."""
        breakers = self.breakers
        spare = self.connecting > len(self._waiting_for_new)
        if spare or not self.opened or breakers.connections < breakers.max_connections:
            self._wait(request, self._waiting_for_new)
        else:
            self.carry(request)

    def leave(self, request: PendingRequest) -> None:
        """A request does not wait any more. A connection that is being made for it stays for others."""
        for queue in (self._waiting, self._waiting_for_new):
            if request in queue:
                self._remove(request, queue)

    def _wait(self, request: PendingRequest, queue: OrderedDict[PendingRequest, None]) -> None:
        breakers = self.breakers
        if breakers.pending >= breakers.max_pending:
            breakers.pending_overflows += 1
            request.overflowed()
            return
        breakers.pending += 1
        queue[request] = None
        request.waiting_in = self
        self.connect_as_needed()

    def _remove(self, request: PendingRequest, queue: OrderedDict[PendingRequest, None]) -> None:
        del queue[request]
        request.waiting_in = None
        self.breakers.pending -= 1

    # Connections

    def connect_as_needed(self) -> None:
        """Make connections for requests that wait and have none under way, as many as the limit allows."""
        breakers = self.breakers
        while self.pending > self.connecting:
            if breakers.connections >= breakers.max_connections:
                breakers.connection_overflows += 1
                if self.opened:
                    return
            if not self.opened:
                self.sweep.watch(self)
            breakers.connections += 1
            self.opened += 1
            self.connecting += 1
            self._connect(self)

    def connected(self, connection: PooledConnection) -> None:
        """A connection was made."""
        self.connecting -= 1
        if self._waiting_for_new and self._room(self._waiting_for_new):
            self._serve(connection, self._waiting_for_new)
        else:
            self.release(connection)

    def connect_failed(self, reason: Failure) -> None:
        """A connection could not be made."""
        self.connecting -= 1
        self._closed()
        failed = [*self._waiting_for_new, *self._waiting]
        for request in failed:
            self.leave(request)
        for request in failed:
            request.connect_failed(reason)
        self.connect_as_needed()

    def release(self, connection: PooledConnection) -> None:
        """A connection is free: it carries what waits, or it is kept."""
        if self._waiting and self._room(self._waiting):
            self._serve(connection, self._waiting)
            self.connect_as_needed()
        elif self.retired:
            connection.discard()
        else:
            self.idle[connection] = self.sweep.now

    def lost(self, connection: PooledConnection) -> None:
        """A connection that was made is closed."""
        self.idle.pop(connection, None)
        self._closed()
        self.connect_as_needed()

    def _closed(self) -> None:
        self.opened -= 1
        self.breakers.connections -= 1
        if not self.opened:
            self.sweep.forget(self)

    def _room(self, queue: OrderedDict[PendingRequest, None]) -> bool:
        """Whether a request may be sent now. If not, all that wait are told so, for they had their turn."""
        breakers = self.breakers
        while breakers.requests >= breakers.max_requests:
            if not queue:
                return False
            request = next(iter(queue))
            self._remove(request, queue)
            breakers.request_overflows += 1
            request.overflowed()
        return bool(queue)

    def _serve(self, connection: PooledConnection, queue: OrderedDict[PendingRequest, None]) -> None:
        request = next(iter(queue))
        self._remove(request, queue)
        connection.send(request)

    # Ends

    def close_idle(self, now: float) -> None:
        """Close what has been idle for too long, or open, or is more than is of use."""
        timeout = self.settings.idle_timeout
        oldest = float("-inf") if timeout is None else now - timeout
        in_order = self.settings.max_connection_duration is None
        excess = len(self.idle) - MOST_IDLE
        over = []
        for position, (connection, idle_since) in enumerate(self.idle.items()):
            if position < excess or idle_since <= oldest or connection.expires <= now:
                over.append(connection)
            elif in_order:
                break
        for connection in over:
            del self.idle[connection]
            connection.discard()

    def retire(self) -> None:
        """Keep no connection from now on."""
        self.retired = True
        while self.idle:
            self.idle.popitem()[0].discard()

    def adopt(self, other: Pool) -> None:
        """Take over what waits in a pool of the same host; that one retires."""
        for queue in (other._waiting_for_new, other._waiting):
            for request in queue:
                request.waiting_in = self
            self._waiting.update(queue)
            queue.clear()
        other.retire()
        self.connect_as_needed()


__all__ = ["MOST_IDLE", "PendingRequest", "Pool", "PooledConnection"]
