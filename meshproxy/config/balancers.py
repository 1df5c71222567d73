"""Balancers of the clusters of one load: those that may be shared are built once for equal endpoints."""

from __future__ import annotations

from zope.interface import Interface

from meshproxy.config.balancing import Balancing, Strategies
from meshproxy.interfaces import IContinues, ILoadBalancer, ILoadBalancerBuilder, IObservesLoad
from meshproxy.model import Endpoint


class Balancers:
    """Builds by ``strategies``. A large table is built once for all clusters of equal endpoints."""

    def __init__(self, strategies: Strategies) -> None:
        self._strategies = strategies
        self._tables: dict[tuple[Endpoint, ...], list[tuple[object, ILoadBalancer]]] = {}

    def balancer(
        self, balancing: Balancing, builder: ILoadBalancerBuilder, endpoints: tuple[Endpoint, ...]
    ) -> ILoadBalancer | None:
        """The balancer of a cluster, None if building it failed. ``builder`` is made from that of ``balancing``."""
        tables = self._tables.setdefault(endpoints, [])
        for known, table in tables:
            if equal(known, builder):
                return table
        balancer = self._strategies.build(balancing, builder, endpoints)
        if balancer is not None and _may_be_shared(balancer):
            tables.append((builder, balancer))
        return balancer


def equal(builder: object, other: object) -> bool:
    """Whether two builders build the same; False for those that cannot be compared."""
    try:
        return bool(builder == other)
    except Exception:  # noqa: BLE001 - a plugin may fail in any way; what cannot be compared is built anew
        return False


def _may_be_shared(balancer: ILoadBalancer) -> bool:
    """True for a table that depends on nothing but its endpoints."""
    stateful: tuple[type[Interface], ...] = (IContinues, IObservesLoad)
    return balancer.uses_hash and not any(interface(balancer, None) is not None for interface in stateful)
