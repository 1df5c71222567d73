"""``LEAST_REQUEST``: of two endpoints drawn at random, the one with fewer requests in flight.

Both draws are from all endpoints, so they may be the same; a tie goes to the first. Endpoints of different weights go
by earliest deadline first instead, where ``weight / (requests in flight + 1)`` is what counts. Source:
``least_request_lb.cc`` of Envoy, with its defaults: two choices, bias 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from attrs import field, frozen
from zope.interface import implementer

from meshproxy.hashing import vary
from meshproxy.interfaces import IConfig, ILoadBalancer, ILoadBalancerBuilder, IObservesLoad, IWeighsLocalities
from meshproxy.model import Endpoint
from meshproxy.strategies.draws import drawn
from meshproxy.strategies.edf import Rotation
from meshproxy.strategies.localities import LoadedLocalityTurns, Localities
from meshproxy.strategies.settings import nothing


@implementer(ILoadBalancer, IObservesLoad)
class LeastRequest:
    """``seed`` is an unsigned 64-bit number that sets the phase of endpoints with different weights."""

    __slots__ = ("_count", "_endpoints", "_rotation")
    uses_hash = False

    def __init__(self, endpoints: Sequence[Endpoint], seed: int) -> None:
        self._endpoints = list(endpoints)
        self._count = len(self._endpoints)
        weights = [endpoint.weight for endpoint in self._endpoints]
        self._rotation = Rotation(weights, seed) if len(set(weights)) > 1 else None

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        """See ``ILoadBalancer``: a choice for endpoints that are all idle."""
        if self._rotation is not None:
            return self._endpoints[self._rotation.pick()]
        return self._endpoints[vary(hash, attempt) % self._count] if self._count else None

    def pick_with_load(self, hash: int, attempt: int, active: Callable[[Endpoint], int]) -> Endpoint | None:
        """See ``IObservesLoad``. Attempts are independent of each other."""
        endpoints = self._endpoints
        if self._rotation is not None:

            def weight(index: int) -> float:
                endpoint = endpoints[index]
                return endpoint.weight / (active(endpoint) + 1)

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


@implementer(ILoadBalancerBuilder, IWeighsLocalities)
@frozen
class LeastRequestBuilder:
    """``getrandbits`` is the source of phases; it does not count when builders are compared."""

    getrandbits: Callable[[int], int] = field(eq=False, repr=False)

    def build(self, endpoints: Sequence[Endpoint]) -> LeastRequest:
        """See ``ILoadBalancerBuilder``."""
        return LeastRequest(endpoints, self.getrandbits(64))

    def build_by_locality(self, localities: Localities) -> LoadedLocalityTurns:
        """See ``IWeighsLocalities``."""
        return LoadedLocalityTurns(localities, self.build, self.getrandbits(64))


def from_config(config: IConfig | None) -> LeastRequestBuilder:
    """There are no settings."""
    nothing(config)
    return LeastRequestBuilder(Random().getrandbits)
