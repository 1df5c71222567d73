"""The health of a cluster's endpoints, and the balancer that it comes to.

Rules: a cluster has one of these if it ejects endpoints, checks them, lets them warm up, or some were asked to drain;
no other one has. What becomes of health is decided in ``availability``; here it is only arranged that the balancer
follows: it is built at most once in a turn of the reactor. Tables of hashes are built out of the way of requests
(``building``) and at most once in ``TABLE_SECONDS``, as Envoy merges changes of health; meanwhile the old one serves.
While all endpoints are healthy, a cluster is served by the balancer that it was configured with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from meshproxy.availability import AvailableBuilder, Health
from meshproxy.interfaces import ILoadBalancer
from meshproxy.model import Cluster, Endpoint
from meshproxy.priority import PANIC_THRESHOLD
from meshproxy.upstream.checking import Verdicts
from meshproxy.upstream.ejections import Ejection
from meshproxy.upstream.outliers import Detector, Monitor

if TYPE_CHECKING:
    from meshproxy.upstream.hosts import ClusterState, Upstreams

TABLE_SECONDS = 1.0
FIRST_CHECK_SECONDS = 5.0
"""How long a cluster that is new waits for the first checks; until they have ended, all that does not fail is used."""
_UNCHECKED = "not checked yet"

_IS_UNHEALTHY = attrgetter("is_unhealthy")

_log = Logger()


def available_builder(cluster: Cluster) -> AvailableBuilder:
    """What builds balancers for endpoints of a cluster some of which may be unhealthy."""
    builder, outliers = cluster.builder, cluster.outliers
    if isinstance(builder, AvailableBuilder):
        return builder
    threshold = PANIC_THRESHOLD if outliers is None else outliers.min_health_percent
    return AvailableBuilder(builder, panic_threshold=threshold)


class ClusterHealth:
    """See the head of this module; it is the ``Watcher`` of the cluster's detector.

    ``serve`` is called with each balancer that serves from now on.
    """

    def __init__(self, state: ClusterState, upstreams: Upstreams, serve: Callable[[ILoadBalancer], None]) -> None:
        self.detector: Detector | None = None
        self._state = state
        self._upstreams = upstreams
        self._serve = serve
        self._call: Any = None
        self._building = self._outdated = self._was_checked = False
        self._first_checks: Any = None
        self._built_at = float("-inf")

    def follow(self) -> None:
        """The cluster is new or has changed, or has other endpoints."""
        cluster = self._state.cluster
        self._watch(cluster)
        self._take_over_verdicts()
        if cluster.balancer.uses_hash and not self._is_as_configured():
            self._ask()
        else:
            self._build()

    def retire(self) -> None:
        """The cluster is gone."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._outdated = False  # what is under way is the last build
        self._stop_waiting()
        self._forget()

    def health(self) -> dict[Endpoint, Health]:
        """The endpoints that are not healthy."""
        unhealthy = {endpoint: Health.UNHEALTHY for endpoint, host in self._state.hosts.items() if host.is_unhealthy}
        return {**unhealthy, **dict.fromkeys(self._state.drains, Health.DRAINING)}

    # Health checks

    def checked(self) -> None:
        """There are other verdicts about the cluster."""
        if self._take_over_verdicts():
            self._ask()

    def _take_over_verdicts(self) -> bool:
        """Whether that changes which endpoints are healthy."""
        state, now = self._state, self._upstreams.clock.seconds()
        if state.cluster.health_check is None:
            self._stop_waiting()
            self._was_checked = False
            verdicts, unknown = Verdicts(state.name), ""
        else:
            verdicts = self._upstreams.verdicts.get(state.name, Verdicts(state.name))
            known = verdicts.passing | verdicts.failing.keys()
            if state.hosts and all(host.key in known for host in state.hosts.values()):
                self._was_checked = True
                self._stop_waiting()
            elif state.hosts and not self._was_checked and self._first_checks is None:
                self._first_checks = self._upstreams.clock.callLater(FIRST_CHECK_SECONDS, self._waited)
            unknown = _UNCHECKED if self._was_checked else ""
        changed = False
        for host in state.hosts.values():
            before = host.failing
            host.failing = "" if host.key in verdicts.passing else verdicts.failing.get(host.key, unknown)
            if bool(before) is not bool(host.failing):
                changed = True
                host.failing_since = now
                if before:
                    host.since = now
        return changed

    def _waited(self) -> None:
        """Whatever was not checked so far does not count any more."""
        self._first_checks = None
        self._was_checked = True
        self.checked()

    def _stop_waiting(self) -> None:
        if self._first_checks is not None:
            self._first_checks.cancel()
            self._first_checks = None

    # The detector

    def _watch(self, cluster: Cluster) -> None:
        policy = cluster.outliers
        if policy is None:
            self._forget()
            return
        if self.detector is None:
            self.detector = Detector(policy, self._upstreams.clock, self)
        detector = self.detector
        detector.configure(policy)
        before = detector.ejected
        # Endpoints that get no requests at all, by their locality, do not count.
        used = available_builder(cluster).arrange(cluster.endpoints, {}).priority_of()
        detector.watch(self._state.hosts[endpoint] for endpoint in used)
        self._forgotten(monitor for monitor in before if monitor.host.monitor is not monitor)

    def _forget(self) -> None:
        if self.detector is not None:
            self._forgotten(self.detector.ejected)
            self.detector.stop()
            self.detector = None

    def _forgotten(self, monitors: Iterable[Monitor]) -> None:
        self._upstreams.ejections.forgotten(self._state.name, [monitor.host.key for monitor in monitors])

    def ejected(self, monitor: Monitor) -> None:
        """See ``Watcher``."""
        assert self.detector is not None
        assert monitor.ejected_at is not None
        since, multiplier = monitor.ejected_at, monitor.multiplier
        ejection = Ejection(self._state.name, monitor.host.key, monitor.reason, since, multiplier)
        self._upstreams.ejections.ejected(ejection, self.detector.duration(monitor))
        self._ask()

    def returned(self, monitor: Monitor, seconds: float) -> None:
        """See ``Watcher``."""
        self._upstreams.ejections.returned(self._state.name, monitor.host.key, seconds)
        self._ask()

    def let_go(self, monitor: Monitor) -> None:
        """See ``Watcher``."""
        self._upstreams.ejections.active -= 1
        self._ask()

    def spared(self, monitor: Monitor) -> None:
        """See ``Watcher``."""
        self._upstreams.ejections.spared += 1

    def follow_ejection(self, ejection: Ejection) -> None:
        """Another worker has ejected an endpoint of this cluster, or has it back."""
        detector = self.detector
        monitor = None if detector is None else detector.monitor(ejection.key)
        if detector is None or monitor is None or (monitor.ejected_at is None) is (ejection.reason is None):
            return  # not one of these endpoints, or known
        if ejection.reason is None:
            detector.release(monitor)
            self._upstreams.ejections.active -= 1
        else:
            self._upstreams.ejections.active += 1
            detector.follow(monitor, ejection.reason, ejection.since, ejection.multiplier)
        self._ask()

    # The balancer

    def _is_as_configured(self) -> bool:
        state = self._state
        unhealthy = any(map(_IS_UNHEALTHY, state.hosts.values()))
        return state.cluster.warmup is None and not unhealthy and state.drains_as_configured

    def _age(self, endpoint: Endpoint) -> float:
        now: float = self._upstreams.clock.seconds()
        return now - self._state.host(endpoint).since

    def _ask(self) -> None:
        if self._building:
            self._outdated = True
        elif self._call is None:
            clock = self._upstreams.clock
            due = self._built_at + TABLE_SECONDS if self._state.cluster.balancer.uses_hash else float("-inf")
            self._call = clock.callLater(max(0.0, due - clock.seconds()), self._build)

    def _build(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        cluster = self._state.cluster
        if self._is_as_configured():
            self._serve(cluster.balancer)
            return
        self._building = True
        self._built_at = self._upstreams.clock.seconds()
        run = self._upstreams.builds.run if cluster.balancer.uses_hash else maybeDeferred
        building: Deferred[Any] = run(self._balancer, cluster, self.health())
        building.addCallbacks(self._built, self._failed, callbackArgs=(cluster,))

    def _balancer(self, cluster: Cluster, health: Mapping[Endpoint, Health]) -> ILoadBalancer:
        """The balancer of endpoints with this health; it may be made in a thread."""
        builder = available_builder(cluster)
        if cluster.warmup is not None:
            builder = builder.warming(cluster.warmup, self._age)
        return builder.build_for(cluster.endpoints, health)

    def _built(self, balancer: ILoadBalancer, cluster: Cluster) -> None:
        if cluster is self._state.cluster and not self._is_as_configured():
            self._serve(balancer)
        self._ended()

    def _failed(self, failure: Any) -> None:
        _log.failure("Cluster {name} keeps its old balancer", failure, name=self._state.name)
        self._ended()

    def _ended(self) -> None:
        self._building = False
        if self._outdated:
            self._outdated = False
            self._ask()
