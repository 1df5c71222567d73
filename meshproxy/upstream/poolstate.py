"""What the pool of an endpoint has under way, as a value for whoever shows it."""

from __future__ import annotations

from attrs import frozen

from meshproxy.upstream.hosts import HostState


@frozen
class HostPoolState:
    """The pool of one host. ``connections`` are all of it; some are ``connecting``, some ``idle``."""

    key: str
    connections: int
    connecting: int
    idle: int
    pending: int
    active: int


def host_pool_state(host: HostState) -> HostPoolState:
    """The present state of one host's pool."""
    pool = host.pool
    return HostPoolState(host.key, pool.opened, pool.connecting, len(pool.idle), pool.pending, host.active)
