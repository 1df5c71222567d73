"""Outlier detection: when an endpoint that fails is ejected, and when it returns. Rules on a clock, no I/O.

Each try of a request ends in one of four ways, and each is told to the endpoint's ``Monitor``: a response came, the
connection failed or broke, or time ran out. Failures count while they come one after the other:

- a response of 5xx is a failure, one of 502, 503 or 504 is a gateway error too; any other response ends the row, and
  a 5xx that is no gateway error ends the row of those;
- without a split, a failed or broken connection counts as a 503 and a timeout as a 504; with one, both count in a row
  of their own, which ends when a connection has been made.

A row that is as long as its threshold ejects the endpoint, unless too many are ejected already, and begins anew either
way. While an endpoint is ejected its rows only grow; they begin anew when it returns.

Where several workers serve, each counts what it sees itself. What one of them ejects, the others eject too, and they
have it back when that one says so, or an interval after it should have said so. Where several eject at once, that may
be more than is allowed: then each lets go what was ejected last, so all keep the same.

It is ejected for the base time once more than the time before, up to ``LONGEST_EJECTION``, and returns with the first
tick after that; ticks come once in an interval, counted from when the detection began. Each tick takes one off the next
ejection of an endpoint that has been back for an interval. Source: ``outlier_detection_impl.cc`` and ``router.cc`` of
Envoy.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from math import floor
from typing import Any, Protocol

from meshproxy.policies import OutlierDetection

LONGEST_EJECTION = 300.0
"""Seconds; a base time that is longer holds instead."""

_GATEWAY_ERRORS = (502, 503, 504)
_CONNECTION_FAILED = 503
_TIMED_OUT = 504
_FAILURE, _SUCCESS = 500, 200


class Reason(Enum):
    """Why an endpoint was ejected."""

    CONSECUTIVE_5XX = "consecutive_5xx"
    CONSECUTIVE_GATEWAY_ERRORS = "consecutive_gateway_errors"
    CONSECUTIVE_LOCAL_ORIGIN_FAILURES = "consecutive_local_origin_failures"


class Watched(Protocol):
    """An endpoint at run time. A detector puts its monitor there."""

    key: str
    monitor: Monitor | None


class Watcher(Protocol):
    """Who is told of what happens to the endpoints of a cluster."""

    def ejected(self, monitor: Monitor) -> None:
        """An endpoint gets no requests from now on."""

    def returned(self, monitor: Monitor, seconds: float) -> None:
        """It gets some again, after so many seconds."""

    def let_go(self, monitor: Monitor) -> None:
        """Another worker has ejected it, and will let it go: too many are ejected already."""

    def spared(self, monitor: Monitor) -> None:
        """It would have been ejected, or stayed so, but too many are already."""


class Monitor:
    """What is known of one endpoint. Times are the clock's, None for never.

    ``ejected_at`` is None while it is not ejected. ``reason`` is that of the last ejection, ``ejections`` counts those
    by this worker; another one's is *followed*.
    """

    __slots__ = (
        "_5xx",
        "_detector",
        "_gateway_errors",
        "_local_failures",
        "ejected_at",
        "ejections",
        "host",
        "is_followed",
        "multiplier",
        "reason",
        "returned_at",
    )

    def __init__(self, detector: Detector, host: Watched) -> None:
        self.host = host
        self._detector = detector
        self.ejected_at: float | None = None
        self.returned_at: float | None = None
        self.reason: Reason | None = None
        self.is_followed = False
        self.ejections = 0
        self.multiplier = 0
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget the failures so far."""
        self._5xx = self._gateway_errors = self._local_failures = 0

    # The outcomes of tries

    def connected(self) -> None:
        """A request is put on a connection."""
        self._local_failures = 0

    def responded(self, status: int, grpc_status: int | None = None) -> None:
        """The head of a response came; ``grpc_status`` is what its gRPC status means in HTTP."""
        errors = self._detector.policy.error_statuses
        if errors:
            self._count(max(status, _FAILURE) if status in errors else _SUCCESS)
        else:
            self._count(status if grpc_status is None else grpc_status)

    def failed(self) -> None:
        """There was no connection, or it ended before the response did."""
        self._count_local(_CONNECTION_FAILED)

    def timed_out(self) -> None:
        """No head of a response came in time."""
        self._count_local(_TIMED_OUT)

    def _count_local(self, status: int) -> None:
        policy = self._detector.policy
        if not policy.split_local_origin:
            self._count(status)
            return
        self._local_failures += 1
        if self._local_failures == policy.consecutive_local_origin_failures and self.ejected_at is None:
            self._detector.detected(self, Reason.CONSECUTIVE_LOCAL_ORIGIN_FAILURES)
            self._local_failures = 0

    def _count(self, status: int) -> None:
        if status < _FAILURE:
            self._5xx = self._gateway_errors = 0
            return
        policy = self._detector.policy
        if status in _GATEWAY_ERRORS:
            self._gateway_errors += 1
            if self._gateway_errors == policy.consecutive_gateway_errors and self.ejected_at is None:
                self._detector.detected(self, Reason.CONSECUTIVE_GATEWAY_ERRORS)
                self._gateway_errors = 0
        else:
            self._gateway_errors = 0
        self._5xx += 1
        if self._5xx == policy.consecutive_5xx and self.ejected_at is None:
            self._detector.detected(self, Reason.CONSECUTIVE_5XX)
            self._5xx = 0


class Detector:
    """The monitors of one cluster. ``clock`` provides ``IReactorTime``.

    There is a timer only as long as some endpoint is ejected or would be ejected for longer the next time.
    """

    def __init__(self, policy: OutlierDetection, clock: Any, watcher: Watcher) -> None:
        self.policy = policy
        self.monitors: list[Monitor] = []
        self._by_key: dict[str, Monitor] = {}
        self._ejected: dict[Monitor, None] = {}
        self._clock = clock
        self._watcher = watcher
        self._began_at: float = clock.seconds()
        self._tick: Any = None

    def configure(self, policy: OutlierDetection) -> None:
        """Go on by other rules; what is ejected stays so, and ticks are counted from now on."""
        if policy != self.policy:
            self.policy = policy
            self._disarm()
            self._began_at = self._clock.seconds()
            self._arm()

    def watch(self, hosts: Iterable[Watched]) -> None:
        """These are the endpoints now; what is known of those that stay is kept."""
        before = set(self.monitors)
        monitors = []
        for host in hosts:
            if host.monitor is None or host.monitor not in before:
                host.monitor = Monitor(self, host)
            monitors.append(host.monitor)
        self.monitors = monitors
        self._by_key = {monitor.host.key: monitor for monitor in monitors}
        for gone in before.difference(monitors):
            gone.host.monitor = None
            self._ejected.pop(gone, None)

    def stop(self) -> None:
        """Watch nobody any more."""
        self.watch(())
        self._disarm()

    @property
    def ejected(self) -> list[Monitor]:
        """The monitors of those that are ejected."""
        return list(self._ejected)

    def _allows(self, number: int) -> bool:
        """Whether so many may be ejected at once."""
        return 100.0 * number / len(self.monitors) <= self.policy.max_ejection_percent

    def detected(self, monitor: Monitor, reason: Reason) -> None:
        """A monitor that is not ejected has had too many failures: eject it if that may be."""
        if not self._allows(len(self._ejected) + 1):
            self._watcher.spared(monitor)
            return
        monitor.ejected_at = self._clock.seconds()
        self._ejected[monitor] = None
        monitor.reason = reason
        monitor.is_followed = False
        monitor.ejections += 1
        base = self.policy.base_ejection_time
        if monitor.multiplier * base < self._longest() + base:
            monitor.multiplier += 1
        self._arm()
        self._watcher.ejected(monitor)

    def monitor(self, key: str) -> Monitor | None:
        """That of an endpoint, None for an unknown one."""
        return self._by_key.get(key)

    def follow(self, monitor: Monitor, reason: Reason, since: float, multiplier: int) -> None:
        """Another worker has ejected an endpoint that is not ejected here.

        The watcher is not told of that, but of what has to be let go for it.
        """
        monitor.ejected_at = since
        self._ejected[monitor] = None
        monitor.reason = reason
        monitor.is_followed = True
        monitor.multiplier = multiplier
        self._arm()
        while not self._allows(len(self._ejected)):
            last = max(self._ejected, key=_when_ejected)
            seconds = _elapsed(last.ejected_at, self._clock.seconds())
            self.release(last)
            if last.is_followed:
                self._watcher.let_go(last)
            else:
                self._watcher.spared(last)
                self._watcher.returned(last, seconds)

    def release(self, monitor: Monitor) -> None:
        """End an ejection. The watcher is not told."""
        monitor.ejected_at = None
        self._ejected.pop(monitor, None)
        monitor.returned_at = self._clock.seconds()
        monitor.begin_anew()

    def duration(self, monitor: Monitor) -> float:
        """How long the present ejection lasts, in seconds, up to the tick that ends it."""
        return min(self.policy.base_ejection_time * monitor.multiplier, self._longest())

    def _longest(self) -> float:
        return max(LONGEST_EJECTION, self.policy.base_ejection_time)

    def _arm(self) -> None:
        if self._tick is None and any(monitor.multiplier for monitor in self.monitors):
            interval = self.policy.interval
            now = self._clock.seconds()
            number = floor(round((now - self._began_at) / interval, 6)) + 1
            self._tick = self._clock.callLater(self._began_at + number * interval - now, self._on_tick)

    def _disarm(self) -> None:
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _on_tick(self) -> None:
        self._tick = None
        now = self._clock.seconds()
        for monitor in self.ejected:
            seconds = _elapsed(monitor.ejected_at, now)
            spare = self.policy.interval if monitor.is_followed else 0.0
            if seconds >= self.duration(monitor) + spare:
                self.release(monitor)
                self._watcher.returned(monitor, seconds)
        for monitor in self.monitors:
            back = monitor.ejected_at is None and _elapsed(monitor.returned_at, now) >= self.policy.interval
            if back and monitor.multiplier:
                monitor.multiplier -= 1
        self._arm()


def _when_ejected(monitor: Monitor) -> tuple[float, str]:
    """Different for each of those that are ejected, and the same in all workers."""
    return monitor.ejected_at or 0.0, monitor.host.key


def _elapsed(since: float | None, now: float) -> float:
    """Seconds, to the microsecond: sums of intervals are not exact beyond that. 0 if it never began."""
    return 0.0 if since is None else round(now - since, 6)


__all__ = ["LONGEST_EJECTION", "Detector", "Monitor", "Reason", "Watched", "Watcher"]
