"""Balancing among localities of given weights, then within the one that was chosen.

Localities take turns by earliest deadline first, whatever the balancer within each does. Source:
``locality_wrr.cc`` of Envoy; what a locality weighs that lacks endpoints is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

from zope.interface import implementer

from meshproxy.interfaces import ILoadBalancer, IObservesLoad
from meshproxy.model import Endpoint
from meshproxy.strategies.edf import Rotation

Localities = Sequence[tuple[float, Sequence[Endpoint]]]
"""Localities with their weights, above 0, and their endpoints, at least one."""


@implementer(ILoadBalancer)
class LocalityTurns:
    """``build`` makes the balancer of one locality; ``seed`` sets the phase of the turns."""

    __slots__ = ("_inner", "_rotation")
    uses_hash = False

    def __init__(self, localities: Localities, build: Callable[[Sequence[Endpoint]], ILoadBalancer], seed: int) -> None:
        self._inner = [build(endpoints) for _, endpoints in localities]
        self._rotation = Rotation([weight for weight, _ in localities], seed)

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        """See ``ILoadBalancer``. Each call is a turn, a further attempt's too."""
        return self._inner[self._rotation.pick()].pick(hash, attempt) if self._inner else None

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        """See ``ILoadBalancer``: locality by locality, in the order of their next turns."""
        for index in self._rotation.upcoming():
            yield from self._inner[index].candidates(hash)


@implementer(IObservesLoad)
class LoadedLocalityTurns(LocalityTurns):
    """For balancers that look at the load."""

    __slots__ = ()

    def pick_with_load(self, hash: int, attempt: int, active: Callable[[Endpoint], int]) -> Endpoint | None:
        """See ``IObservesLoad``."""
        if not self._inner:
            return None
        balancer = cast(IObservesLoad, self._inner[self._rotation.pick()])
        return balancer.pick_with_load(hash, attempt, active)
