"""What the pools of a cluster have under way, as values for whoever shows it."""

from __future__ import annotations

from attrs import frozen

from meshproxy.policies import ConnectionPool
from meshproxy.upstream.hosts import ClusterState, HostState


@frozen
class HostPoolState:
    """The pool of one host. ``connections`` are all of it; some are ``connecting``, some ``idle``."""

    key: str
    connections: int
    connecting: int
    idle: int
    pending: int
    active: int


@frozen
class ClusterPoolState:
    """A cluster's circuit breakers, by the names of ``CircuitBreakers``, and the pools of its present hosts.

    The cluster's figures may be higher than those of its hosts together: endpoints that have left may still be at work.
    """

    cluster: str
    limits: ConnectionPool
    connections: int
    pending: int
    requests: int
    retries: int
    connection_overflows: int
    pending_overflows: int
    request_overflows: int
    retry_overflows: int
    hosts: tuple[HostPoolState, ...]


def pool_state(state: ClusterState) -> ClusterPoolState:
    """The present state of a cluster's pools."""
    breakers = state.breakers
    return ClusterPoolState(
        cluster=state.name,
        limits=state.cluster.pool,
        connections=breakers.connections,
        pending=breakers.pending,
        requests=breakers.requests,
        retries=breakers.retries,
        connection_overflows=breakers.connection_overflows,
        pending_overflows=breakers.pending_overflows,
        request_overflows=breakers.request_overflows,
        retry_overflows=breakers.retry_overflows,
        hosts=tuple(map(host_pool_state, state.hosts.values())),
    )


def host_pool_state(host: HostState) -> HostPoolState:
    """The present state of one host's pool."""
    pool = host.pool
    return HostPoolState(host.key, pool.opened, pool.connecting, len(pool.idle), pool.pending, host.active)
