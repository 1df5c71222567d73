"""``ROUND_ROBIN``: endpoints in turn, in proportion to their weights.

The start is random, and equal endpoints keep their position over a rebuild. Endpoints of different weights, or of which
some are warming up, go by earliest deadline first; that order starts anew when they change. Source:
``round_robin_lb.cc`` of Envoy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from attrs import evolve, field, frozen
from zope.interface import implementer

from meshproxy.interfaces import (
    IConfig,
    IContinues,
    ILoadBalancer,
    ILoadBalancerBuilder,
    IWarmsUp,
    IWeighsLocalities,
)
from meshproxy.model import Endpoint
from meshproxy.policies import Warmup
from meshproxy.strategies.edf import rotation
from meshproxy.strategies.localities import Localities, LocalityTurns
from meshproxy.strategies.settings import nothing
from meshproxy.strategies.slow_start import Factor, factors


@implementer(ILoadBalancer, IContinues)
class RoundRobin:
    """``seed`` is an unsigned 64-bit number that sets the phase. ``factor``, if there is one, lowers weights."""

    __slots__ = ("_endpoints", "_factor", "_index", "_rotation", "_seed")
    uses_hash = False

    def __init__(self, endpoints: Sequence[Endpoint], seed: int, factor: Factor | None = None) -> None:
        self._endpoints = tuple(endpoints)
        self._factor = factor
        self._start(seed, seed)

    def _start(self, seed: int, index: int) -> None:
        self._seed = seed
        self._index = index
        self._rotation = rotation(self._endpoints, seed, self._factor)

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        """See ``ILoadBalancer``. Each call is a turn, a further attempt's too."""
        endpoints = self._endpoints
        if self._rotation is not None:
            factor = self._factor
            if factor is None:
                return endpoints[self._rotation.pick()]
            return endpoints[self._rotation.pick_by(lambda at: endpoints[at].weight * factor(endpoints[at]))]
        if not endpoints:
            return None
        index = self._index
        self._index = index + 1
        return endpoints[index % len(endpoints)]

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        """See ``ILoadBalancer``: in the order of their next turns."""
        count = len(self._endpoints)
        if self._rotation is not None:
            order = list(self._rotation.upcoming())
        else:
            order = [(self._index + step) % count for step in range(count)]
        for index in order:
            yield self._endpoints[index]

    def continue_from(self, previous: ILoadBalancer) -> None:
        """See ``IContinues``."""
        if isinstance(previous, RoundRobin):
            self._start(previous._seed, previous._index)


@implementer(ILoadBalancerBuilder, IWeighsLocalities, IWarmsUp)
@frozen
class RoundRobinBuilder:
    """``getrandbits`` is the source of phases; like ``factor`` it does not count when builders are compared."""

    getrandbits: Callable[[int], int] = field(eq=False, repr=False)
    factor: Factor | None = field(default=None, eq=False, repr=False)

    def build(self, endpoints: Sequence[Endpoint]) -> RoundRobin:
        """See ``ILoadBalancerBuilder``."""
        return RoundRobin(endpoints, self.getrandbits(64), self.factor)

    def warming(self, warmup: Warmup, age: Callable[[Endpoint], float]) -> RoundRobinBuilder:
        """See ``IWarmsUp``."""
        return evolve(self, factor=factors(warmup, age))

    def build_by_locality(self, localities: Localities) -> LocalityTurns:
        """See ``IWeighsLocalities``."""
        return LocalityTurns(localities, self.build, self.getrandbits(64))


def from_config(config: IConfig | None) -> RoundRobinBuilder:
    """There are no settings."""
    nothing(config)
    return RoundRobinBuilder(Random().getrandbits)
