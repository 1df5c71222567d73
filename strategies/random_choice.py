"""``RANDOM``: any endpoint, each as likely as the others whatever its weight. Source: ``random_lb.cc`` of Envoy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from attrs import field, frozen
from zope.interface import implementer

from meshproxy.hashing import vary
from meshproxy.interfaces import IConfig, ILoadBalancer, ILoadBalancerBuilder, IWeighsLocalities
from meshproxy.model import Endpoint
from meshproxy.strategies.draws import drawn
from meshproxy.strategies.localities import Localities, LocalityTurns
from meshproxy.strategies.settings import nothing


@implementer(ILoadBalancer)
class RandomChoice:
    """Takes the random number that comes with each pick as it is."""

    __slots__ = ("_endpoints",)
    uses_hash = False

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        """See ``ILoadBalancer``. Attempts are independent of each other."""
        endpoints = self._endpoints
        return endpoints[vary(hash, attempt) % len(endpoints)] if endpoints else None

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        """See ``ILoadBalancer``."""
        return drawn(self._endpoints, hash)


@implementer(ILoadBalancerBuilder, IWeighsLocalities)
@frozen
class RandomChoiceBuilder:
    """``getrandbits`` is the source of phases, for localities; it does not count when builders are compared."""

    getrandbits: Callable[[int], int] = field(eq=False, repr=False)

    def build(self, endpoints: Sequence[Endpoint]) -> RandomChoice:
        """See ``ILoadBalancerBuilder``."""
        return RandomChoice(endpoints)

    def build_by_locality(self, localities: Localities) -> LocalityTurns:
        """See ``IWeighsLocalities``."""
        return LocalityTurns(localities, self.build, self.getrandbits(64))


def from_config(config: IConfig | None) -> RandomChoiceBuilder:
    """There are no settings."""
    nothing(config)
    return RandomChoiceBuilder(Random().getrandbits)
