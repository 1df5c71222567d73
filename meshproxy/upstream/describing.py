"""What is known of a cluster's endpoints at one moment, for whoever wants to see it. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from meshproxy.availability import Health
from meshproxy.priority import Loads
from meshproxy.upstream.health import available_builder
from meshproxy.upstream.hosts import ClusterState, HostState


@frozen
class EndpointStatus:
    """One endpoint. Times are the clock's.

    ``priority`` is None for one that gets no requests because of its locality. ``since`` is when it came into this
    health, and ``reason`` why, empty for one that never failed. ``until`` is the first moment at which an ejection can
    end. ``ejections`` counts those so far.
    """

    key: str
    priority: int | None
    health: Health
    reason: str
    since: float
    until: float | None
    ejections: int
    active: int


def look(state: ClusterState) -> tuple[Loads, Iterator[EndpointStatus]]:
    """What share of the requests each priority gets; and the endpoints in their order, each when it is asked for."""
    cluster = state.cluster
    # Without anything else to watch, a cluster whose documents drain an endpoint has no state of health.
    unhealthy = dict.fromkeys(state.drains, Health.DRAINING) if state.health is None else state.health.health()
    arrangement = available_builder(cluster).arrange(cluster.endpoints, unhealthy)
    priority_of = arrangement.priority_of()
    endpoints = (
        _status(state, host, priority_of.get(endpoint), unhealthy.get(endpoint, Health.HEALTHY))
        for endpoint, host in list(state.hosts.items())
    )
    return arrangement.loads, endpoints


def _status(state: ClusterState, host: HostState, priority: int | None, health: Health) -> EndpointStatus:
    monitor, detector = host.monitor, None if state.health is None else state.health.detector
    reason, since, until, ejections = "", host.since, None, 0
    if monitor is not None and detector is not None and monitor.reason is not None:
        reason, ejections = monitor.reason.value, monitor.ejections
        if monitor.ejected_at is not None:
            since, until = monitor.ejected_at, monitor.ejected_at + detector.duration(monitor)
        elif monitor.returned_at is not None:
            since = monitor.returned_at
    if host.failing and not host.is_ejected:
        reason, since = f"health check: {host.failing}", host.failing_since
    return EndpointStatus(host.key, priority, health, reason, since, until, ejections, host.active)
