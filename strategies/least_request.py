"""``LEAST_REQUEST``: of two endpoints drawn at random, the one with fewer requests in flight.

Both draws are from all endpoints, so they may be the same; a tie goes to the first. Endpoints of different weights go
by earliest deadline first instead, where ``weight / (requests in flight + 1)`` is what counts; so do those of which
some are warming up. Source: ``least_request_lb.cc`` of Envoy, with its defaults: two choices, bias 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from attrs import evolve, field, frozen
from zope.interface import implementer

from meshproxy.hashing import vary
from meshproxy.interfaces import (
    IConfig,
    ILoadBalancer,
    ILoadBalancerBuilder,
    IObservesLoad,
    IWarmsUp,
    IWeighsLocalities,
)
from meshproxy.model import Endpoint
from meshproxy.policies import Warmup
from meshproxy.strategies.draws import drawn
from meshproxy.strategies.edf import rotation
from meshproxy.strategies.localities import LoadedLocalityTurns, Localities
from meshproxy.strategies.settings import nothing
from meshproxy.strategies.slow_start import Factor, factors


@implementer(ILoadBalancer, IObservesLoad)
class LeastRequest:
    """``seed`` is an unsigned 64-bit number that sets the phase of endpoints with different weights.

    ``factor``, if there is one, lowers weights.
    """

    __slots__ = ("_count", "_endpoints", "_factor", "_rotation")
    uses_hash = False

    def __init__(self, endpoints: Sequence[Endpoint], seed: int, factor: Factor | None = None) -> None:
        self._endpoints = tuple(endpoints)
        self._count = len(self._endpoints)
        self._factor = factor
        self._rotation = rotation(self._endpoints, seed, factor)

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        """See ``ILoadBalancer``: a choice for endpoints that are all idle."""
        if self._rotation is not None:
            return self.pick_with_load(hash, attempt, lambda _: 0)
        return self._endpoints[vary(hash, attempt) % self._count] if self._count else None

    def pick_with_load(self, hash: int, attempt: int, active: Callable[[Endpoint], int]) -> Endpoint | None:
        """See ``IObservesLoad``. Attempts are independent of each other."""
        endpoints = self._endpoints
        if self._rotation is not None:
            factor = self._factor

            def weight(index: int) -> float:
                endpoint = endpoints[index]
                share = endpoint.weight / (active(endpoint) + 1)
                return share if factor is None else share * factor(endpoint)

            return endpoints[self._rotation.pick_by(weight)]
        if not endpoints:
            return None
        count = self._count
        number = vary(hash, attempt) if attempt else hash
        first, second = endpoints[number % count], endpoints[(number >> 32) % count]
        return second if second is not first and active(second) < active(first) else first

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        """See ``ILoadBalancer``: as for endpoints that are all idle."""
        if self._rotation is not None:
            return (self._endpoints[index] for index in self._rotation.upcoming())
        return drawn(self._endpoints, hash)


@implementer(ILoadBalancerBuilder, IWeighsLocalities, IWarmsUp)
@frozen
class LeastRequestBuilder:
    """``getrandbits`` is the source of phases; like ``factor`` it does not count when builders are compared."""

    getrandbits: Callable[[int], int] = field(eq=False, repr=False)
    factor: Factor | None = field(default=None, eq=False, repr=False)

    def build(self, endpoints: Sequence[Endpoint]) -> LeastRequest:
        """See ``ILoadBalancerBuilder``."""
        return LeastRequest(endpoints, self.getrandbits(64), self.factor)

    def warming(self, warmup: Warmup, age: Callable[[Endpoint], float]) -> LeastRequestBuilder:
        """See ``IWarmsUp``."""
        return evolve(self, factor=factors(warmup, age))

    def build_by_locality(self, localities: Localities) -> LoadedLocalityTurns:
        """See ``IWeighsLocalities``."""
        return LoadedLocalityTurns(localities, self.build, self.getrandbits(64))


def from_config(config: IConfig | None) -> LeastRequestBuilder:
    """There are no settings."""
    nothing(config)
    return LeastRequestBuilder(Random().getrandbits)
