"""Host state: what the process knows about an endpoint beyond its configuration.

Rules: state is keyed by cluster name and ``ip:port``, never by a snapshot's objects, so a reload that leaves an
endpoint in place leaves its connections and counts too. An endpoint that a new snapshot no longer has is *retired*: its
idle connections close at once, busy ones when their exchange ends. So do the connections of all hosts of a cluster
whose pool has other settings than before.

What a cluster's names stand for is found by ``discovery``: there a cluster with names is exchanged for one with
addresses, here nothing but addresses is known. Which endpoints may be chosen is a matter of ``health``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger

from meshproxy.failures import PLUGIN_ERRORS
from meshproxy.interfaces import IContinues, ILoadBalancer, IObservesLoad
from meshproxy.model import Cluster, Endpoint, drained
from meshproxy.persistence import Sessions
from meshproxy.upstream.breakers import CircuitBreakers
from meshproxy.upstream.building import Builds
from meshproxy.upstream.checking import Verdicts
from meshproxy.upstream.drains import Drains
from meshproxy.upstream.ejections import Ejections
from meshproxy.upstream.health import ClusterHealth
from meshproxy.upstream.idle import IdleSweep
from meshproxy.upstream.outliers import Monitor
from meshproxy.upstream.pool import Pool
from meshproxy.upstream.probes import HealthProbes
from meshproxy.upstream.recent import ServiceTimes
from meshproxy.upstream.traffic import Traffic

_Pick = Callable[[int, int, Callable[[Endpoint], int]], Endpoint | None]

_MakePool = Callable[["HostState"], Pool]

_log = Logger()


class HostState:
    """An endpoint at run time: requests in flight and the pool of its connections. ``make_pool`` makes a new one.

    ``since`` is when it came to its cluster or last began to pass its health checks. ``failing`` says why it does not
    pass them, and is empty if it does or there are none; ``failing_since`` is when it began not to. ``monitor`` hears
    how tries end, None where nothing ejects endpoints. ``requests`` counts the tries that were put on a connection,
    ``errors`` those that failed or were answered 5xx. ``times``: how long its answers took of late.
    """

    __slots__ = (
        "active",
        "address",
        "errors",
        "failing",
        "failing_since",
        "key",
        "log_name",
        "monitor",
        "pool",
        "port",
        "requests",
        "since",
        "times",
    )

    def __init__(self, endpoint: Endpoint, make_pool: _MakePool, since: float = 0.0) -> None:
        self.move(endpoint)
        self.failing, self.since, self.failing_since = "", since, since
        self.monitor: Monitor | None = None
        self.active = self.requests = self.errors = 0
        self.times = ServiceTimes()
        self.pool = make_pool(self)

    def move(self, endpoint: Endpoint) -> None:
        """Make new connections to another address; those that exist stay in use."""
        self.address = endpoint.address
        self.port = endpoint.port
        self.key = endpoint.key
        self.log_name = self.key.encode()

    @property
    def is_ejected(self) -> bool:
        """Whether it has failed so often that it gets no requests."""
        return self.monitor is not None and self.monitor.ejected_at is not None

    @property
    def is_unhealthy(self) -> bool:
        """Whether it is ejected or does not pass its health checks."""
        return bool(self.failing) or self.is_ejected

    def failed(self) -> None:
        """A try ended without the whole response, and not because of us."""
        self.errors += 1
        if self.monitor is not None:
            self.monitor.failed()

    def timed_out(self) -> None:
        """A try ended because no response came in time."""
        self.errors += 1
        if self.monitor is not None:
            self.monitor.timed_out()

    def renew_pool(self, make_pool: _MakePool) -> None:
        """Use no connection of now for further requests; what waits for one waits in the new pool."""
        old, self.pool = self.pool, make_pool(self)
        self.pool.adopt(old)


class ClusterState:
    """A cluster at run time: its present configuration, its circuit breakers, its hosts, the balancer that serves.

    ``sessions`` knows the cookies that keep sessions at their hosts, None where there are none. ``plain``: the first
    host of a request is a matter of its hash and the balancer alone. ``drains`` are the endpoints that take no new
    sessions, and until when (a Unix time) they keep those they have. ``traffic`` counts its requests.
    """

    __slots__ = (
        "_by_key",
        "_former",
        "_upstreams",
        "balancer",
        "breakers",
        "cluster",
        "drains",
        "health",
        "hosts",
        "log_name",
        "name",
        "pick_with_load",
        "plain",
        "sessions",
        "traffic",
    )

    def __init__(self, cluster: Cluster, upstreams: Upstreams) -> None:
        self.name = cluster.name
        self.log_name = cluster.name.encode()
        self.cluster = cluster
        self.breakers = CircuitBreakers(cluster.pool)
        self.traffic = Traffic()
        self.health: ClusterHealth | None = None
        self._upstreams = upstreams
        self._by_key: dict[str, HostState] = {}
        self.hosts: dict[Endpoint, HostState] = {}
        # What the present balancer may still pick, if it was built for an earlier configuration.
        self._former: dict[Endpoint, HostState] = {}
        self.sessions: Sessions | None = None
        self._serve(cluster.balancer)
        self.update(cluster)

    def update(self, cluster: Cluster) -> None:
        """Take over a new configuration of the same cluster; hosts that stay keep their state.

        So does a balancer that was rebuilt and can continue from the one that it replaces.
        """
        old, self.cluster = self.cluster, cluster
        self._take_over_hosts(cluster)
        self._keep_sessions(cluster)
        if (cluster.pool, cluster.connect_timeout) != (old.pool, old.connect_timeout):
            self.breakers.limit(cluster.pool)
            for host in self._by_key.values():
                host.renew_pool(self._make_pool)
        ruled = cluster.outliers or cluster.warmup or cluster.health_check
        if self.health is None and (ruled or not self.drains_as_configured):
            self.health = ClusterHealth(self, self._upstreams, self._change_balancer)
        if self.health is None:
            self._change_balancer(cluster.balancer)
        else:
            self.health.follow()

    def _take_over_hosts(self, cluster: Cluster) -> None:
        kept = {}
        self.drains = self._drained(cluster)
        self._former.update(self.hosts)
        self.hosts = {}
        for endpoint in cluster.endpoints:
            key = endpoint.key
            host = self._by_key.get(key)
            if host is None and cluster.logical:
                # The one host of the cluster has another address now.
                host = next(iter(self._by_key.values()), None)
                if host is not None:
                    host.move(endpoint)
            if host is None:
                host = HostState(endpoint, self._make_pool, self._upstreams.clock.seconds())
            kept[key] = self.hosts[endpoint] = host
        for host in self._by_key.values():
            if host.key not in kept:
                host.pool.retire()
        self._by_key = kept

    def _drained(self, cluster: Cluster) -> dict[Endpoint, float]:
        return drained(cluster.endpoints, (*cluster.draining, *self._upstreams.drains.all))

    @property
    def drains_as_configured(self) -> bool:
        """Whether the same endpoints drain as the cluster's balancer was built without."""
        return self.drains.keys() == drained(self.cluster.endpoints, self.cluster.draining).keys()

    def drain(self) -> None:
        """Follow what was asked for beside the configuration."""
        before, self.drains = self.drains, self._drained(self.cluster)
        if before.keys() == self.drains.keys():
            return
        if self.health is None:
            self.health = ClusterHealth(self, self._upstreams, self._change_balancer)
        self.health.follow()

    def _keep_sessions(self, cluster: Cluster) -> None:
        policy = cluster.persistence
        if policy is None:
            self.sessions = None
        else:
            if self.sessions is None or self.sessions.policy != policy:
                self.sessions = Sessions(policy)
            self.sessions.follow(cluster.endpoints)
        self.plain = self.pick_with_load is None and self.sessions is None

    def session_host(self, lines: Sequence[bytes]) -> Endpoint | None:
        """The endpoint to which the ``Cookie`` lines of a request tie its session, None where it may go anywhere."""
        if self.sessions is None or not lines:
            return None
        now = self._upstreams.wall()
        endpoint = self.sessions.endpoint(lines, now)
        if endpoint is None or self.hosts[endpoint].is_unhealthy:
            return None
        return None if endpoint in self.drains and now >= self.drains[endpoint] else endpoint

    def session_cookie(self, endpoint: Endpoint) -> bytes | None:
        """The ``Set-Cookie`` value for a session that begins at an endpoint; None where no cookies are used."""
        return None if self.sessions is None else self.sessions.set_cookie(endpoint, self._upstreams.wall())

    def _make_pool(self, host: HostState) -> Pool:
        cluster, upstreams = self.cluster, self._upstreams
        return Pool(host, self.breakers, cluster.pool, cluster.connect_timeout, upstreams.connect, upstreams.sweep)

    def _change_balancer(self, balancer: ILoadBalancer) -> None:
        _continue(self.name, self.balancer, balancer)
        self._serve(balancer)

    def _serve(self, balancer: ILoadBalancer) -> None:
        self.balancer = balancer
        self._former = {}
        # None for most balancers, so that asking costs one comparison for each request.
        observing = IObservesLoad(balancer, None)
        self.pick_with_load: _Pick | None = None if observing is None else observing.pick_with_load
        self.plain = observing is None and self.sessions is None

    def host(self, endpoint: Endpoint) -> HostState:
        """The state of an endpoint; a retired one for an endpoint that is no longer configured."""
        host = self.hosts.get(endpoint) or self._by_key.get(endpoint.key)
        if host is None:
            host = HostState(endpoint, self._make_pool)
            host.pool.retire()
        return host

    def picked(self, endpoint: Endpoint) -> HostState:
        """The state of an endpoint that the balancer picked; raises ``ValueError`` if it was not built for that."""
        host = self.hosts.get(endpoint) or self._former.get(endpoint)
        if host is None:
            raise ValueError(f"{self.balancer!r} picked {endpoint!r}, which is no endpoint of {self.name}")
        return host

    def active(self, endpoint: Endpoint) -> int:
        """Requests in flight at an endpoint."""
        return self.host(endpoint).active

    def retire(self) -> None:
        """The cluster is gone from the configuration."""
        if self.health is not None:
            self.health.retire()
        for host in self._by_key.values():
            host.pool.retire()


def _continue(cluster: str, old: ILoadBalancer, new: ILoadBalancer) -> None:
    """Hand the phase of a balancer on to the one that replaces it."""
    continuing = None if new is old else IContinues(new, None)
    if continuing is None:
        return
    try:
        continuing.continue_from(old)
    except PLUGIN_ERRORS:  # it starts afresh then; the installation goes on
        _log.failure("The load balancer of cluster {cluster} could not continue from the old one", cluster=cluster)


class Upstreams:
    """The run-time state of all clusters of the present snapshot, by cluster name.

    ``clock`` provides ``IReactorTime``; ``connect`` makes a connection for a pool. ``follow``: what is served by
    instead of a snapshot's clusters, whose names may have to be looked up. ``builds`` builds what takes long, by
    default at once. ``sweep`` closes idle connections. ``wall`` tells the time since 1970. ``drains`` are those that
    were asked for while serving. ``probes`` checks endpoints, None where another process does; ``verdicts`` are what
    was last heard of that, by cluster.
    """

    def __init__(self, clock: Any, connect: Callable[[Pool], None]) -> None:
        self.clusters: dict[str, ClusterState] = {}
        self.clock = clock
        self.connect = connect
        self.follow: Callable[[Mapping[str, Cluster]], Mapping[str, Cluster]] = lambda clusters: clusters
        self.builds = Builds(maybeDeferred)
        self.ejections = Ejections(clock)
        self.sweep = IdleSweep(clock)
        self.wall: Callable[[], float] = time.time
        self.drains = Drains(self._drain)
        self.probes: HealthProbes | None = None
        self.verdicts: dict[str, Verdicts] = {}

    def update(self, clusters: Mapping[str, Cluster]) -> None:
        """Take over a snapshot's clusters. States are kept by name; clusters that are gone are retired."""
        states = {}
        for name, cluster in self.follow(clusters).items():
            state = self.clusters.get(name)
            if state is None:
                state = ClusterState(cluster, self)
            elif state.cluster is not cluster:
                state.update(cluster)
            states[name] = state
        gone = [state for name, state in self.clusters.items() if name not in states]
        self.clusters = states
        for state in gone:
            state.retire()
        self.verdicts = {name: it for name, it in self.verdicts.items() if name in states}
        if self.probes is not None:
            self.probes.follow({name: state.cluster for name, state in states.items()})

    def apply(self, results: Iterable[Verdicts]) -> None:
        """Take over what health checks have found out, wherever they were made."""
        for verdicts in results:
            self.verdicts[verdicts.cluster] = verdicts
            state = self.clusters.get(verdicts.cluster)
            if state is not None and state.health is not None:
                state.health.checked()

    def _drain(self) -> None:
        for state in self.clusters.values():
            state.drain()

    def replace(self, cluster: Cluster) -> None:
        """Take over one cluster that changed although the snapshot did not."""
        state = self.clusters.get(cluster.name)
        if state is not None and state.cluster is not cluster:
            state.update(cluster)
            if self.probes is not None:
                self.probes.replace(cluster)
