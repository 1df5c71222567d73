"""Which endpoints may be chosen: the one place where health, priorities and panic become candidates. Pure.

Rules: endpoints are in priorities (``localities``). Of a priority, its healthy endpoints are chosen, or all of them
while it is in panic; which priority a request goes to is a matter of the priorities' loads (``priority``). Balancers
that go by hash have no degraded endpoints and keep their priority over retries. Source: ``load_balancer_impl.cc``,
``thread_aware_lb_impl.cc`` and ``locality_wrr.cc`` of Envoy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import cast

from attrs import evolve, field, frozen
from zope.interface import implementer

from meshproxy.hashing import vary
from meshproxy.interfaces import (
    IContinues,
    IForeseesShares,
    IHasTable,
    ILoadBalancer,
    ILoadBalancerBuilder,
    ILocatesHash,
    IObservesLoad,
    IWarmsUp,
    IWeighsLocalities,
    Shortage,
)
from meshproxy.localities import Group, arranged
from meshproxy.model import Endpoint
from meshproxy.policies import Localities, Warmup
from meshproxy.priority import OVERPROVISIONING, PANIC_THRESHOLD, Level, Loads, loads_after, spread

# What is drawn with a number that also chose the priority would only come upon a part of the endpoints.
_APART = 1 << 32


class Health(Enum):
    """What is known of an endpoint."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """To be used where nothing better is left."""
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    """To be treated as if it were not there, but by sessions that are at it."""


@frozen
class Priority:
    """The endpoints of one priority: all of them, and those in good or fair health. Each group is in all three."""

    everyone: tuple[Group, ...]
    healthy: tuple[Group, ...]
    degraded: tuple[Group, ...]

    @property
    def level(self) -> Level:
        """How many there are."""
        return Level(
            *[sum(len(group.endpoints) for group in part) for part in (self.healthy, self.degraded, self.everyone)]
        )


@frozen
class Arrangement:
    """All priorities of a cluster and what share of the requests each gets."""

    priorities: tuple[Priority, ...]
    loads: Loads

    def priority_of(self) -> dict[Endpoint, int]:
        """The number of the priority of each endpoint that may ever get requests."""
        return {
            endpoint: number
            for number, priority in enumerate(self.priorities)
            for group in priority.everyone
            for endpoint in group.endpoints
        }


def arrange(
    endpoints: Sequence[Endpoint], health: Mapping[Endpoint, Health], localities: Localities, panic_threshold: int
) -> Arrangement:
    """Endpoints that ``health`` does not name are healthy. ``panic_threshold`` is in percent.

    Draining endpoints are in no priority: they are no part of what panic is measured by, and it does not reach them.
    """

    # There are many endpoints and few that are not healthy.
    other = {endpoint for endpoint, found in health.items() if found is not Health.HEALTHY}
    degraded = {endpoint for endpoint in other if health[endpoint] is Health.DEGRADED}
    draining = {endpoint for endpoint in other if health[endpoint] is Health.DRAINING}

    def priority(groups: Sequence[Group]) -> Priority:
        healthy = [Group(weight, tuple([it for it in members if it not in other])) for weight, members in groups]
        fair = [Group(weight, tuple(filter(degraded.__contains__, members))) for weight, members in groups]
        return Priority(tuple(groups), tuple(healthy), tuple(fair))

    staying = [it for it in endpoints if it not in draining] if draining else endpoints
    priorities = tuple(map(priority, arranged(staying, localities)))
    return Arrangement(priorities, spread([priority.level for priority in priorities], panic_threshold))


@implementer(ILoadBalancerBuilder)
@frozen
class AvailableBuilder:
    """Builds balancers for endpoints some of which may not be chosen; ``inner`` builds for those that may."""

    inner: ILoadBalancerBuilder
    localities: Localities = field(factory=Localities)
    panic_threshold: int = PANIC_THRESHOLD

    def build(self, endpoints: Sequence[Endpoint]) -> ILoadBalancer:
        """See ``ILoadBalancerBuilder``: all of them are healthy."""
        return self.build_for(endpoints, {})

    def build_for(self, endpoints: Sequence[Endpoint], health: Mapping[Endpoint, Health]) -> ILoadBalancer:
        """The balancer for endpoints in this health, as for ``arrange``."""
        arrangement = self.arrange(endpoints, health)
        loads = arrangement.loads
        by_hash = self.inner.build(()).uses_hash
        whole = list(zip(arrangement.priorities, loads.panic, strict=True))
        balancers = [
            self._build(priority, priority.everyone if panic else priority.healthy, by_hash, panic)
            for priority, panic in whole
        ]
        with_degraded = not by_hash and any(loads.degraded)
        if len(balancers) == 1 and not with_degraded:
            return balancers[0]
        degraded = [self._build(it, it.degraded, by_hash, False) for it, _ in whole] if with_degraded else balancers
        kind = LoadedPriorities if IObservesLoad.providedBy(balancers[0]) else Priorities
        return kind(arrangement, balancers, degraded, by_hash)

    def arrange(self, endpoints: Sequence[Endpoint], health: Mapping[Endpoint, Health]) -> Arrangement:
        """What the balancer for these endpoints goes by."""
        return arrange(endpoints, health, self.localities, self.panic_threshold)

    def warming(self, warmup: Warmup, age: Callable[[Endpoint], float]) -> AvailableBuilder:
        """See ``IWarmsUp``, which ``inner`` has to provide."""
        return evolve(self, inner=cast(IWarmsUp, self.inner).warming(warmup, age))

    def _build(self, priority: Priority, usable: Sequence[Group], by_hash: bool, panic: bool) -> ILoadBalancer:
        weighted = self.localities.weighted and (by_hash or not panic)
        if not weighted:
            return self.inner.build([endpoint for group in usable for endpoint in group.endpoints])
        localities: list[tuple[float, Sequence[Endpoint]]] = list(usable)
        if not by_hash:
            both = zip(priority.everyone, usable, strict=True)
            localities = [
                (_effective_weight(every, group), group.endpoints) for every, group in both if group.endpoints
            ]
        return cast(IWeighsLocalities, self.inner).build_by_locality(localities)


def _effective_weight(every: Group, usable: Group) -> float:
    """What a locality weighs while some of its endpoints may not be chosen."""
    return every.weight * min(1.0, OVERPROVISIONING / 100 * (len(usable.endpoints) / len(every.endpoints)))


@implementer(ILoadBalancer, IContinues, IForeseesShares, IHasTable, ILocatesHash)
class Priorities:
    """Chooses a priority by its load, then an endpoint of it.

    ``balancers`` has those of all priorities, ``degraded`` those of their degraded endpoints.
    """

    __slots__ = ("_arrangement", "_degraded", "_loads", "balancers", "uses_hash")

    def __init__(
        self,
        arrangement: Arrangement,
        balancers: Sequence[ILoadBalancer],
        degraded: Sequence[ILoadBalancer],
        uses_hash: bool,
    ) -> None:
        self._arrangement = arrangement
        self._loads = arrangement.loads
        self.balancers = balancers
        self._degraded = degraded
        self.uses_hash = uses_hash

    def after(self, tried: Sequence[Endpoint], tries_per_priority: int) -> ILoadBalancer:
        """For a retry that prefers priorities which no try of its request has used; ``tried`` has their endpoints."""
        if self.uses_hash:
            return self
        levels = [priority.level for priority in self._arrangement.priorities]
        other = type(self)(self._arrangement, self.balancers, self._degraded, self.uses_hash)
        other._loads = loads_after(tried, levels, self._loads, self._arrangement.priority_of().get, tries_per_priority)
        return other

    def _chosen(self, number: int) -> ILoadBalancer:
        priority, degraded = self._loads.choose(number)
        return (self._degraded if degraded else self.balancers)[priority]

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        """See ``ILoadBalancer``. By hash, further attempts stay in the priority."""
        number = hash if self.uses_hash else vary(hash, attempt)
        return self._chosen(number).pick(hash, attempt)

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        """See ``ILoadBalancer``: those of the priority that the hash goes to first, then the other priorities'."""
        chosen = self._chosen(hash)
        seen: set[Endpoint] = set()
        for balancer in dict.fromkeys([chosen, *self.balancers, *self._degraded]):
            for endpoint in balancer.candidates(hash):
                if endpoint not in seen:
                    seen.add(endpoint)
                    yield endpoint

    def locate(self, hash: int) -> Mapping[str, object]:
        """See ``ILocatesHash``: the priority, from 0, and the place in its table."""
        priority, _ = self._loads.choose(hash)
        locates = ILocatesHash(self.balancers[priority], None)
        return {"priority": priority, **({} if locates is None else locates.locate(hash))}

    @property
    def table_bytes(self) -> int:
        """See ``IHasTable``: those of all priorities."""
        return sum(table.table_bytes for table in self.tables())

    def build_table(self) -> None:
        """See ``IHasTable``."""
        for table in self.tables():
            table.build_table()

    def shortage(self, limit: float) -> Shortage | None:
        """See ``IForeseesShares``: that of the first priority that has one."""
        found = (IForeseesShares(balancer, None) for balancer in self.balancers)
        return next((it for foresees in found if foresees and (it := foresees.shortage(limit))), None)

    def tables(self) -> list[IHasTable]:
        """Those of all priorities, each once."""
        found = [IHasTable(balancer, None) for balancer in dict.fromkeys([*self.balancers, *self._degraded])]
        return [table for table in found if table is not None]

    def continue_from(self, previous: ILoadBalancer) -> None:
        """See ``IContinues``: each priority goes on from the same one of before."""
        if isinstance(previous, Priorities):
            pairs = [(self.balancers, previous.balancers), (self._degraded, previous._degraded)]
            for mine, others in pairs:
                for balancer, before in zip(mine, others, strict=False):
                    continuing = IContinues(balancer, None)
                    if continuing is not None:
                        continuing.continue_from(before)


@implementer(IObservesLoad)
class LoadedPriorities(Priorities):
    """For balancers that look at the load."""

    __slots__ = ()

    def pick_with_load(self, hash: int, attempt: int, active: Callable[[Endpoint], int]) -> Endpoint | None:
        """See ``IObservesLoad``."""
        if self.uses_hash:
            return cast(IObservesLoad, self._chosen(hash)).pick_with_load(hash, attempt, active)
        number = vary(hash, attempt)
        return cast(IObservesLoad, self._chosen(number)).pick_with_load(vary(number, _APART), 0, active)
