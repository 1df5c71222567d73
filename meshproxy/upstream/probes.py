"""Checking the endpoints of clusters again and again, and telling what comes of it.

Rules: one of these is in a process, or in the supervisor of several; whoever serves gets the results as values and
never asks for more. What is known belongs to a cluster's name and an ``Endpoint.key``, so a reload leaves it alone, and
only endpoints that are new are checked at once. An interval begins when a check ends; it is longer by a random part,
and the first one is any part of an interval, so that checks spread over time. No more than ``MOST_AT_ONCE`` are under
way; what is due waits for its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshproxy.model import Cluster, Endpoint
from meshproxy.policies import HealthCheck
from meshproxy.upstream.checking import CheckedEndpoint, ProbeFailed, Verdicts
from meshproxy.upstream.loglines import LineLimit

MOST_AT_ONCE = 100

Probe = Callable[[Endpoint, HealthCheck], Deferred[None]]

_log = Logger()


class _Target:
    """An endpoint of a cluster that is checked."""

    __slots__ = ("call", "check", "checked", "cluster", "endpoint", "gone")

    def __init__(self, cluster: str, endpoint: Endpoint, check: HealthCheck) -> None:
        self.cluster = cluster
        self.endpoint = endpoint
        self.check = check
        self.checked = CheckedEndpoint()
        self.call: Any = None
        self.gone = False


class HealthProbes:
    """See the head of this module.

    ``probe`` checks an endpoint; it fires when that is passed, else fails with ``ProbeFailed``. A check that takes too
    long is cancelled. ``publish`` is called with the verdicts about each cluster in which something changed. ``random``
    gives numbers from 0 up to 1.

    ``passed`` and ``failed`` count checks, ``changes`` how often an endpoint became healthy (True) or unhealthy
    (False) after it was known.
    """

    def __init__(
        self,
        clock: Any,
        probe: Probe,
        publish: Callable[[Sequence[Verdicts]], None],
        random: Callable[[], float],
    ) -> None:
        self.passed = self.failed = 0
        self.changes = {True: 0, False: 0}
        self._clock, self._probe, self._publish, self._random = clock, probe, publish, random
        self._targets: dict[str, dict[str, _Target]] = {}
        self._due: deque[_Target] = deque()
        self._under_way: dict[_Target, Deferred[None]] = {}
        self._beginning = False
        self._changed: set[str] = set()
        self._publication: Any = None
        self._lines = LineLimit(clock, "changes by health checks")

    # What is checked

    def follow(self, clusters: Mapping[str, Cluster]) -> None:
        """These are all clusters from now on."""
        for name in [name for name in self._targets if name not in clusters]:
            self._forget(self._targets.pop(name).values())
        for cluster in clusters.values():
            self.replace(cluster)

    def replace(self, cluster: Cluster) -> None:
        """A cluster has these endpoints from now on, and this check."""
        check, known = cluster.health_check, self._targets.get(cluster.name, {})
        if check is None:
            self._forget(self._targets.pop(cluster.name, {}).values())
            self._begin()
            return
        kept: dict[str, _Target] = {}
        for endpoint in cluster.endpoints:
            target = known.get(endpoint.key)
            if target is None:
                target = _Target(cluster.name, endpoint, check)
                self._due.append(target)
            target.endpoint, target.check = endpoint, check
            kept[endpoint.key] = target
        self._forget(target for key, target in known.items() if key not in kept)
        self._targets[cluster.name] = kept
        if kept.keys() != known.keys():
            self._tell(cluster.name)
        self._begin()

    def stop(self) -> None:
        """Check nothing any more."""
        for targets in self._targets.values():
            self._forget(targets.values())
        self._targets = {}
        if self._publication is not None:
            self._publication.cancel()
            self._publication = None

    def _forget(self, targets: Iterable[_Target]) -> None:
        for target in targets:
            target.gone = True
            if target.call is not None:
                target.call.cancel()
                target.call = None
            under_way = self._under_way.pop(target, None)
            if under_way is not None:
                under_way.cancel()

    # What is known

    def verdicts(self) -> list[Verdicts]:
        """About all clusters that are checked."""
        return [self._verdicts(name) for name in self._targets]

    @property
    def unhealthy(self) -> int:
        """How many endpoints fail their checks now."""
        return sum(
            target.checked.known and not target.checked.healthy
            for targets in self._targets.values()
            for target in targets.values()
        )

    def _verdicts(self, name: str) -> Verdicts:
        known = {key: target.checked for key, target in self._targets[name].items() if target.checked.known}
        passing = frozenset(key for key, checked in known.items() if checked.healthy)
        return Verdicts(name, passing, {key: it.reason for key, it in known.items() if not it.healthy})

    def _tell(self, name: str) -> None:
        """All that changes in one turn is told in one go."""
        self._changed.add(name)
        if self._publication is None:
            self._publication = self._clock.callLater(0, self._tell_now)

    def _tell_now(self) -> None:
        self._publication = None
        changed, self._changed = self._changed, set()
        self._publish([self._verdicts(name) for name in sorted(changed) if name in self._targets])

    # Checks

    def _begin(self) -> None:
        """Check what is due, as far as there is room."""
        if self._beginning:
            return  # a check has ended at once
        self._beginning = True
        while self._due and len(self._under_way) < MOST_AT_ONCE:
            target = self._due.popleft()
            if not target.gone:
                probing = maybeDeferred(self._probe, target.endpoint, target.check)
                self._under_way[target] = probing
                probing.addTimeout(target.check.timeout, self._clock, _timed_out)
                probing.addBoth(self._ended, target)
        self._beginning = False

    def _ended(self, result: Failure | None, target: _Target) -> None:
        if target.gone:
            return
        del self._under_way[target]
        before = target.checked.known
        if isinstance(result, Failure):
            self.failed += 1
            changed = target.checked.failed(target.check, _why(result))
        else:
            self.passed += 1
            changed = target.checked.passed(target.check)
        if changed:
            self._tell(target.cluster)
            self._log(target, before)
        check, drawn = target.check, self._random()
        # After the first one a part of an interval: what began together does not go on so.
        intervals = 1 + check.jitter * drawn if before else drawn
        target.call = self._clock.callLater(check.interval * intervals, self._wait, target)
        self._begin()

    def _wait(self, target: _Target) -> None:
        target.call = None
        self._due.append(target)
        self._begin()

    def _log(self, target: _Target, before: bool) -> None:
        healthy = target.checked.healthy
        if before:
            self.changes[healthy] += 1
        elif healthy:
            return  # as it should be
        if not self._lines.allows():
            return
        where = {"key": target.endpoint.key, "cluster": target.cluster}
        if healthy:
            _log.info("Endpoint {key} of cluster {cluster} passes its health checks again", **where)
        else:
            text = "Endpoint {key} of cluster {cluster} fails its health checks: {reason}"
            _log.warn(text, reason=target.checked.reason, **where)


def _timed_out(result: object, seconds: float) -> Failure:
    return Failure(ProbeFailed("timeout"))


def _why(failure: Failure) -> ProbeFailed:
    error = failure.value
    if isinstance(error, ProbeFailed):
        return error
    return ProbeFailed(str(failure.value) or type(failure.value).__name__)


__all__ = ["MOST_AT_ONCE", "HealthProbes", "Probe"]
