"""The gateway: what all connections of a process share.

The present snapshot, the run-time state of its clusters, the counters and the access log. ``traffic`` counts the
requests that got to no cluster. ``install`` is the one place where a new configuration takes effect.
"""

from __future__ import annotations

import random
from collections.abc import Container
from functools import cache
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshproxy.http.accesslog import AccessLog
from meshproxy.http.counters import Counters
from meshproxy.http.deadlines import Deadline
from meshproxy.http.downstream import LINGER_SECONDS, Downstream
from meshproxy.http.exchange import Exchange
from meshproxy.http.explaining import ExplainedExchange
from meshproxy.http.knownheads import KnownHeads, KnownLine, KnownRequest, KnownResponse
from meshproxy.http.listeners import ListenerFactory
from meshproxy.http.plans import Plans
from meshproxy.http.requesthead import RequestIds
from meshproxy.http.rounds import Rounds, round_for
from meshproxy.http.standing import FLUSH_SECONDS
from meshproxy.http.statuses import DateCache
from meshproxy.http.tunnel import TunnelLimits
from meshproxy.http.upstream import Upstream
from meshproxy.limits import Limits
from meshproxy.model import Snapshot
from meshproxy.net.connecting import connect
from meshproxy.paths import Normalizer, PathNormalization, normalize_path, normalizer
from meshproxy.upstream.hosts import Upstreams
from meshproxy.upstream.pool import Pool
from meshproxy.upstream.traffic import Requests, Traffic

_LOG_SECONDS = 10.0
_DRAIN_POLL_SECONDS = 0.1

ListenerKey = tuple[str, int]

_log = Logger()


class UpstreamFactory(ClientFactory):
    """Makes one connection for a pool."""

    noisy = False

    def __init__(self, gateway: Gateway, pool: Pool) -> None:
        self.gateway = gateway
        self.pool = pool

    def buildProtocol(self, addr: object) -> Upstream:
        """The connection that was made."""
        return Upstream(self.gateway, self.pool)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        """No connection was made."""
        self.gateway.counters.upstream_connect_failures_total += 1
        self.pool.connect_failed(reason)


def _round(limits: Limits) -> float:
    times = (limits.request_headers_timeout, limits.idle_timeout, limits.stream_idle_timeout)
    return round_for(*times, FLUSH_SECONDS)


class Gateway:
    """See the head of this module. ``reactor`` provides ``IReactorTime`` and ``IReactorTCP``.

    ``processes``: among how many the kernel spreads client connections, each of which may have its part of them.
    """

    processes = 1

    def __init__(self, reactor: Any, access_log: AccessLog | None = None, rng: random.Random | None = None) -> None:
        self.reactor = reactor
        self.counters = Counters()
        self.traffic = Traffic()
        self.access_log = access_log
        self.getrandbits = (rng or random.Random()).getrandbits
        self.dates = DateCache()
        self.request_ids = RequestIds()
        self.snapshot: Snapshot | None = None
        self.upstreams = Upstreams(reactor, self._connect)
        self.plans = Plans(reactor)
        self.exchange_class: type[Exchange] = Exchange
        self.trusted_proxies = 0
        self.normalize: Normalizer = normalize_path
        self.upgrades: Container[bytes] = ()
        self.tunnel_limits = TunnelLimits(reactor, None)
        self.accept_http10 = False
        self.limits = Limits()
        self.known_lines: KnownHeads[KnownLine] = KnownHeads()
        self.known_requests: KnownHeads[KnownRequest] = KnownHeads()
        self.known_responses: KnownHeads[KnownResponse] = KnownHeads()
        self.rounds: Rounds[Downstream] = Rounds(reactor, _round(self.limits), Downstream.look)
        self.lingering: Deadline[Downstream] = Deadline(reactor, LINGER_SECONDS, Downstream.lingered)
        self._factories: dict[ListenerKey, ListenerFactory] = {}
        self._leaving: list[ListenerFactory] = []
        self._strategy_error_at = self._full_at = float("-inf")

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
        self.plans = Plans(self.reactor, self.access_log is not None and self.access_log.reads_response)
        self.exchange_class = _exchange_class(snapshot.mesh.explain_headers, snapshot.mesh.tracing)
        self.trusted_proxies = snapshot.mesh.trusted_proxies
        self.normalize = normalizer(PathNormalization[snapshot.mesh.path_normalization])
        self.known_lines = KnownHeads()  # they have normalized paths
        self.upgrades = snapshot.mesh.upgrades.protocols
        self.tunnel_limits = TunnelLimits(self.reactor, snapshot.mesh.upgrades.idle_timeout)
        self.accept_http10 = snapshot.mesh.accept_http10
        self._limit(snapshot.mesh.limits)
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

    def _connect(self, pool: Pool) -> None:
        host = pool.host
        connect(self.reactor, host.address, host.port, UpstreamFactory(self, pool), pool.connect_timeout)

    def requests(self) -> Requests:
        """The figures of all requests so far, by cluster; "" for those that got to none."""
        found = {"": self.traffic, **{name: state.traffic for name, state in self.upstreams.clusters.items()}}
        return {name: rows for name, traffic in found.items() if (rows := traffic.figures())}

    def strategy_failed(self, cluster: str) -> None:
        """Count a strategy's exception, which is being handled, and log it unless another one was just logged."""
        self.counters.strategy_errors_total += 1
        now = self.reactor.seconds()
        if now - self._strategy_error_at >= _LOG_SECONDS:
            self._strategy_error_at = now
            _log.failure("A strategy of cluster {cluster} failed on a request", cluster=cluster)

    def start(self) -> None:
        """Begin to watch how long connections stand still."""
        self.rounds.start()

    def stop(self) -> None:
        """Watch no connection any more."""
        self.rounds.stop()
        self.lingering.stop()

    def is_full(self) -> bool:
        """Whether there are as many client connections as there may be; then the one that asks is counted as refused.

        As Envoy with a global limit on connections: what is accepted beyond it is closed without a word.
        """
        limit = self.limits.max_connections
        most = -(-limit // self.processes)  # rounded up: each process may have one
        counters = self.counters
        if not limit or counters.connections_active < most:
            return False
        counters.connections_refused_total += 1
        now = self.reactor.seconds()
        if now - self._full_at >= _LOG_SECONDS:
            self._full_at = now
            _log.warn("{most} client connections, all that maxConnections allows: further ones are closed", most=most)
        return True

    def _limit(self, limits: Limits) -> None:
        """Put limits into force, for connections that exist too."""
        if limits == self.limits:
            return
        self.limits = limits
        # What was right by the old ones need not be so by these.
        self.known_requests, self.known_responses = KnownHeads(), KnownHeads()
        self.rounds.seconds = _round(limits)
        for connection in self.rounds.everybody():
            connection.look_anew()
            connection.transport.limit_buffers(limits.buffer)

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


@cache  # a class is a cycle of references, which only the collector would end
def _exchange_class(explained: bool, traced: bool) -> type[Exchange]:
    """What exchanges have to do beside their work is in classes of its own, so that nobody else pays for it."""
    classes: list[type[Exchange]] = []
    if explained:
        classes.append(ExplainedExchange)
    if traced:
        from meshproxy.http.tracing import TracedExchange  # it needs what is installed only by who wants traces

        classes.append(TracedExchange)
    return type("Exchange", tuple(classes), {"__slots__": ()}) if classes else Exchange
