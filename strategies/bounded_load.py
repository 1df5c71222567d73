"""Consistent hashing with bounded loads, around a ring or a table.

An endpoint that has more than its share of the requests in flight, times a factor, is passed over for others in an
order that depends on the hash alone. Source: ``thread_aware_lb_impl.cc`` of Envoy; the idea is from Mirrokni, Thorup
and Zadimoghaddam, "Consistent Hashing with Bounded Loads".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import ceil
from random import Random
from typing import Protocol

from attrs import frozen
from zope.interface import implementer

from meshproxy.interfaces import (
    IBuildsInSteps,
    IDescribes,
    IHasTable,
    ILoadBalancer,
    ILoadBalancerBuilder,
    ILocatesHash,
    IObservesLoad,
    IWeighsLocalities,
)
from meshproxy.model import Endpoint
from meshproxy.strategies import shares

_WORDS = 624  # the state of MT19937


# A hot session overloads its endpoint again and again, and seeding costs more than all the rest.
@lru_cache(maxsize=256)
def probe_order(seed: int, hosts: int) -> tuple[int, ...]:
    """The order in which hosts are looked at: a shuffle by MT19937 with a 32-bit seed."""
    draw = _mersenne_twister(seed).getrandbits
    order = list(range(hosts))
    for at in range(hosts):
        other = at + _below(hosts - at, draw)
        order[at], order[other] = order[other], order[at]
    return tuple(order)


def _mersenne_twister(seed: int) -> Random:
    """MT19937 as C++ seeds it from one number; Python's own seeding differs."""
    words = [seed & 0xFFFFFFFF]
    for number in range(1, _WORDS):
        words.append((1812433253 * (words[-1] ^ words[-1] >> 30) + number) & 0xFFFFFFFF)
    source = Random()
    source.setstate((3, (*words, _WORDS), None))
    return source


def _below(bound: int, draw: Callable[[int], int]) -> int:
    width = (1 << 32) // bound
    number = bound
    while number >= bound:
        number = draw(32) // width
    return number


class _Inner(Protocol):
    """What builds the table that is chosen from: for endpoints by weight, or by locality first."""

    def build(self, endpoints: Sequence[Endpoint]) -> ILoadBalancer: ...
    def build_by_locality(self, localities: Sequence[tuple[float, Sequence[Endpoint]]]) -> ILoadBalancer: ...


@implementer(ILoadBalancer, IObservesLoad, IBuildsInSteps, IDescribes, ILocatesHash)
class BoundedLoad:
    """``inner`` chooses by hash among ``hosts``; ``factor`` is in percent, above 100 to leave room for imbalance."""

    __slots__ = ("_hosts", "_inner", "_share_of", "factor")
    uses_hash = True

    def __init__(self, inner: ILoadBalancer, hosts: Sequence[tuple[Endpoint, float]], factor: int) -> None:
        self._inner = inner
        self._hosts = [endpoint for endpoint, _ in hosts]
        self._share_of = dict(hosts)
        self.factor = factor

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        """See ``ILoadBalancer``: the choice while there is no load."""
        return self._inner.pick(hash, attempt)

    def pick_with_load(self, hash: int, attempt: int, active: Callable[[Endpoint], int]) -> Endpoint | None:
        """See ``IObservesLoad``. The endpoint with the smallest load if all have too much."""
        first = self._inner.pick(hash, attempt)
        if first is None:
            return None
        hosts = self._hosts
        slots = ((sum(map(active, hosts)) + 1) * self.factor + 99) // 100
        lightest, least = first, self._load(first, slots, active)
        if least <= 1.0:
            return first
        for index in probe_order(hash & 0xFFFFFFFF, len(hosts)):
            host = hosts[index]
            if host is not first:
                load = self._load(host, slots, active)
                if load <= 1.0:
                    return host
                if load < least:
                    lightest, least = host, load
        return lightest

    def _load(self, host: Endpoint, slots: int, active: Callable[[Endpoint], int]) -> float:
        return active(host) / max(ceil(slots * self._share_of[host]), 1)

    @property
    def table_bytes(self) -> int:
        """See ``IHasTable``."""
        table = IHasTable(self._inner, None)
        return 0 if table is None else table.table_bytes

    def build_table(self) -> None:
        """See ``IHasTable``."""
        for _ in self.table_steps():
            pass

    def table_steps(self) -> Iterator[None]:
        """See ``IBuildsInSteps``: those of the inner table, or one for a table that has none."""
        in_steps, table = IBuildsInSteps(self._inner, None), IHasTable(self._inner, None)
        if in_steps is not None:
            yield from in_steps.table_steps()
        elif table is not None:
            table.build_table()

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        """See ``ILoadBalancer``: the inner one's choice, then the others in the order in which they are looked at."""
        first = self._inner.pick(hash, 0)
        if first is not None:
            yield first
            for index in probe_order(hash & 0xFFFFFFFF, len(self._hosts)):
                if self._hosts[index] is not first:
                    yield self._hosts[index]

    def locate(self, hash: int) -> Mapping[str, object]:
        """See ``ILocatesHash``: the place in the inner table."""
        locates = ILocatesHash(self._inner, None)
        return {} if locates is None else locates.locate(hash)

    def describe(self) -> Mapping[str, object]:
        """See ``IDescribes``: facts of the inner table, and the factor."""
        describes = IDescribes(self._inner, None)
        return {**({} if describes is None else describes.describe()), "hash_balance_factor": self.factor}


@implementer(ILoadBalancerBuilder, IWeighsLocalities)
@frozen
class BoundedLoadBuilder:
    """``inner`` builds the ring or table; ``factor`` is as for ``BoundedLoad``."""

    inner: _Inner
    factor: int

    def build(self, endpoints: Sequence[Endpoint]) -> BoundedLoad:
        """See ``ILoadBalancerBuilder``."""
        return BoundedLoad(self.inner.build(endpoints), shares.of_endpoints(endpoints), self.factor)

    def build_by_locality(self, localities: Sequence[tuple[float, Sequence[Endpoint]]]) -> BoundedLoad:
        """See ``IWeighsLocalities``."""
        return BoundedLoad(self.inner.build_by_locality(localities), shares.of_localities(localities), self.factor)
