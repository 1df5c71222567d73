"""The gateway: what all connections of a process share.

The present snapshot, the run-time state of its clusters, the counters and the access log. ``install`` is the one place
where a new configuration takes effect.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from meshproxy.http.accesslog import AccessLog
from meshproxy.http.counters import Counters
from meshproxy.http.downstream import ListenerFactory
from meshproxy.http.requesthead import RequestIds
from meshproxy.http.statuses import DateCache
from meshproxy.http.upstream import UpstreamFactory
from meshproxy.model import Snapshot
from meshproxy.net.connecting import connect
from meshproxy.upstream.hosts import HostState, Upstreams

if TYPE_CHECKING:
    from meshproxy.http.exchange import Exchange

_STRATEGY_ERROR_SECONDS = 10.0
_DRAIN_POLL_SECONDS = 0.1

ListenerKey = tuple[str, int]


class Gateway:
    """See the head of this module. ``reactor`` provides ``IReactorTime`` and ``IReactorTCP``."""

    def __init__(self, reactor: Any, access_log: AccessLog | None = None, rng: random.Random | None = None) -> None:
        self.reactor = reactor
        self.counters = Counters()
        self.access_log = access_log
        if access_log is not None:
            access_log.counters = self.counters
        self.getrandbits = (rng or random.Random()).getrandbits
        self.dates = DateCache()
        self.request_ids = RequestIds()
        self.snapshot: Snapshot | None = None
        self.upstreams = Upstreams()
        self.trusted_proxies = 0
        self._factories: dict[ListenerKey, ListenerFactory] = {}
        self._leaving: list[ListenerFactory] = []
        self._strategy_error_at = float("-inf")

    def install(self, snapshot: Snapshot) -> None:
        """Serve by ``snapshot`` from the next request on; exchanges under way keep what they began with.

        Connections of listeners that the snapshot does not have end as soon as they owe no answer.
        """
        factories = {}
        for listener in snapshot.listeners:
            factory = self._factories.get(listener.key)
            if factory is None:
                factory = ListenerFactory(self)
            factories[listener.key] = factory
        gone = [factory for key, factory in self._factories.items() if key not in factories]
        self.upstreams.update(snapshot.clusters)
        for listener in snapshot.listeners:
            factories[listener.key].routes = listener.routes
        self.trusted_proxies = snapshot.mesh.trusted_proxies
        self._factories = factories
        self.snapshot = snapshot
        for factory in gone:
            factory.drain()
        self._leaving = [factory for factory in (*self._leaving, *gone) if factory.connections]

    def factory(self, key: ListenerKey) -> ListenerFactory:
        """The protocol factory of the listener with this ``Listener.key``; the same one over all snapshots.

        It exists before its listener is installed too, so that a port can be opened first.
        """
        factory = self._factories.get(key)
        if factory is None:
            factory = self._factories[key] = ListenerFactory(self)
        return factory

    def connect(self, host: HostState, timeout: float, exchange: Exchange) -> None:
        """Open a connection to a host for an exchange; ``timeout`` is in seconds."""
        connect(self.reactor, host.address, host.port, UpstreamFactory(self, host, exchange), timeout)

    def may_log_strategy_error(self) -> bool:
        """True at most once in ten seconds."""
        now = self.reactor.seconds()
        if now - self._strategy_error_at < _STRATEGY_ERROR_SECONDS:
            return False
        self._strategy_error_at = now
        return True

    def drain(self, timeout: float) -> Deferred[None]:
        """Take no further request; fires when all client connections are gone.

        Idle connections end at once, others with their present answer; what is left after ``timeout`` seconds is
        aborted.
        """
        factories = [*self._factories.values(), *self._leaving]
        for factory in factories:
            factory.drain()
        deadline = self.reactor.seconds() + timeout

        def check() -> None:
            left = [connection for factory in factories for connection in factory.connections]
            if not left:
                call.stop()
            elif self.reactor.seconds() >= deadline:
                for connection in left:
                    connection.transport.abortConnection()

        call = LoopingCall(check)
        call.clock = self.reactor
        done: Deferred[None] = Deferred()
        call.start(_DRAIN_POLL_SECONDS).addCallbacks(lambda _: done.callback(None), done.errback)
        return done
