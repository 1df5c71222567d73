"""``maglev``: a table of prime size that the endpoints fill in turns, each along a permutation of its own.

Lookup is one remainder; loads are more even than on a ring, and a change of endpoints moves few other sessions. The
order in which endpoints are configured does not matter. Source: ``maglev_lb.cc`` of Envoy, whose rounding is part of
the result; the scheme is Google's (Eisenbud et al., NSDI 2016).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count, islice, repeat
from math import ceil, isqrt

from attrs import frozen
from zope.interface import implementer

from meshproxy.hashing import MASK, xxh64
from meshproxy.interfaces import (
    IBoundsLoad,
    IBuildsInSteps,
    IConfig,
    IDescribes,
    IForeseesShares,
    ILoadBalancer,
    ILoadBalancerBuilder,
    ILocatesHash,
    IWeighsLocalities,
    Shortage,
)
from meshproxy.model import Endpoint
from meshproxy.strategies import shares
from meshproxy.strategies.bounded_load import BoundedLoadBuilder
from meshproxy.strategies.distinct import distinct
from meshproxy.strategies.steps import Steps, finished, gathered, identified, in_order

TABLE_SIZE = 65537
LARGEST_TABLE = 5_000_010
_WANTED = 100  # slots for the lightest endpoint: shares are right to one part in so many. Source: Maglev, 3.4
_AT_ONCE = 8  # slots that are filled in a step, the last of which take the longest


def is_prime(number: int) -> bool:
    """Whether Istio takes a table size for a prime, which it does with 1."""
    return number in (1, 2) or (number % 2 == 1 and all(number % odd for odd in range(3, isqrt(number) + 1, 2)))


def build_table(hosts: Sequence[tuple[str, float]], size: int = TABLE_SIZE) -> Sequence[int]:
    """The table for host keys with their shares: for each slot a host's index. Empty without hosts.

    ``size`` is a prime, or 1.
    """
    return finished(table_steps(hosts, size))


def table_steps(hosts: Sequence[tuple[str, float]], size: int) -> Steps[Sequence[int]]:
    """As ``build_table``, in steps."""
    owners = array("BHI"[_width(len(hosts)) // 2])
    if not hosts:
        return owners
    owners.frombytes(bytes(size * owners.itemsize))
    taken = bytearray(size)
    keys = yield from gathered(key.encode() for key, _ in hosts)
    order = yield from in_order(keys)
    slots = yield from gathered(xxh64(keys[index]) % size for index in order)
    skips = yield from gathered(xxh64(keys[index], 1) % max(size - 1, 1) + 1 for index in order)
    acting = chain.from_iterable(_turns([hosts[index][1] for index in order]))
    # To find one of the last few free slots takes the more steps the fewer they are. For these it is not walked to:
    # how many steps away each of them is can be computed, since the size is a prime.
    last = (isqrt(size) + 1) // 2
    for done in range(0, size - last, _AT_ONCE):
        for host in islice(acting, min(_AT_ONCE, size - last - done)):
            slot, skip = slots[host], skips[host]
            while taken[slot]:
                slot += skip
                if slot >= size:
                    slot -= size
            taken[slot] = 1
            owners[slot] = order[host]
            slots[host] = slot
        yield
    free = set(_free(taken))
    for host in islice(acting, last):
        slot, skip = slots[host], skips[host]
        inverse = pow(skip, -1, size)
        steps = min([(other - slot) * inverse % size for other in free])
        slot = (slot + steps * skip) % size
        free.remove(slot)
        owners[slot] = order[host]
        slots[host] = slot
        yield
    return owners


def _free(taken: bytearray) -> Iterator[int]:
    slot = taken.find(0)
    while slot >= 0:
        yield slot
        slot = taken.find(0, slot + 1)


def _width(hosts: int) -> int:
    """How many bytes it takes to name one of so many hosts."""
    return next(width for width in (1, 2, 4) if hosts <= 256**width)


def _turns(shares: Sequence[float]) -> Iterator[Sequence[int]]:
    """For each turn the hosts that act in it, by their index and in its order; without end.

    A host acts in a turn unless ``turn * share < target``, in doubles, and then ``target`` grows by the largest share.
    """
    hosts = range(len(shares))
    most = max(shares)
    if min(shares) == most:
        yield from repeat(hosts)  # a target is never ahead: rounding adds up to less than a share in any table
    targets = [0.0] * len(shares)
    # Most hosts act again in the next turn. The others are kept by the turn in which they do, so that the time to build
    # depends on the size alone.
    following = list(hosts)
    later: dict[int, list[int]] = {}
    for turn in count(1):
        acting, following = following, []
        if turn in later:
            acting = sorted(acting + later.pop(turn))
        yield acting
        for host in acting:
            target = targets[host] = targets[host] + most
            share = shares[host]
            if (turn + 1) * share >= target:
                following.append(host)
            else:
                later.setdefault(_turn_to_reach(target, share), []).append(host)


def _turn_to_reach(target: float, share: float) -> int:
    """The first turn for which ``turn * share`` is not below the target, in doubles."""
    turn = max(0, int(target / share) - 1)
    while turn * share < target:
        turn += 1
    return turn


@implementer(ILoadBalancer, IBuildsInSteps, IDescribes, IForeseesShares, ILocatesHash)
class Maglev:
    """A load balancer on a Maglev table."""

    __slots__ = ("_endpoints", "_hosts", "_owners", "_size")
    uses_hash = True

    def __init__(self, hosts: Sequence[tuple[Endpoint, float]], size: int) -> None:
        self._hosts = hosts
        self._endpoints = [endpoint for endpoint, _ in hosts]
        self._size = size if hosts else 0
        self._owners: Sequence[int] = ()

    @property
    def table_bytes(self) -> int:
        """See ``IHasTable``."""
        return self._size * _width(len(self._hosts))

    def build_table(self) -> None:
        """See ``IHasTable``."""
        finished(self.table_steps())

    def table_steps(self) -> Steps[None]:
        """See ``IBuildsInSteps``."""
        if not self._owners:
            hosts = yield from identified(self._hosts)
            self._owners = yield from table_steps(hosts, self._size)

    def _built(self) -> Sequence[int]:
        """The owners of all slots, as indexes of endpoints; they are built now."""
        self.build_table()
        return self._owners

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        """See ``ILoadBalancer``. The first further attempt inverts the hash, later ones count down from there."""
        owners = self._owners or self._built()
        if not owners:
            return None
        return self._endpoints[owners[(hash ^ (MASK + 1 - attempt) if attempt else hash) % self._size]]

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        """See ``ILoadBalancer``. Endpoints without a slot in a small table come last."""
        # The attempts up to a power of two visit that many neighbouring hashes, so all slots are seen by then.
        attempts = range((1 << self._size.bit_length()) + 1)
        return distinct((self.pick(hash, attempt) for attempt in attempts), self._endpoints)

    def locate(self, hash: int) -> Mapping[str, object]:
        """See ``ILocatesHash``: the slot, from 0, of how many."""
        return {"slot": hash % self._size, "of": self._size} if self._size else {}

    def describe(self) -> Mapping[str, object]:
        """See ``IDescribes``: the size of the table, and the fewest and most slots of an endpoint."""
        counts = Counter(self._owners or self._built())
        found = [counts[number] for number in range(len(self._hosts))]
        return {
            "table_size": self._size,
            "min_entries_per_host": min(found, default=0),
            "max_entries_per_host": max(found, default=0),
        }

    def shortage(self, limit: float) -> Shortage | None:
        """See ``IForeseesShares``. Slots are dealt out in turns, so only endpoints without one are a matter."""
        hosts = len(self._hosts)
        if not hosts:
            return None
        least = min(share for _, share in self._hosts)
        if self._size * least >= 1.0:
            return None
        size = _suggested(least)
        return Shortage(
            f"is too small for {hosts} endpoints with these weights: some get none of its {self._size} slots",
            f"with about 100 slots for each it spreads evenly, as with tableSize: {size}"
            if size * least >= _WANTED - 1
            else f"with the largest one, tableSize: {size}, the lightest has about {size * least:.2g}",
        )


def _suggested(least: float) -> int:
    """A size with which an endpoint of the least share has ``_WANTED`` slots, or the largest one."""
    wanted = min(max(TABLE_SIZE, ceil(_WANTED / least)), LARGEST_TABLE)
    return next(number for number in range(wanted, 0, -1) if is_prime(number))


@implementer(ILoadBalancerBuilder, IWeighsLocalities, IBoundsLoad)
@frozen
class MaglevBuilder:
    """``table_size`` is a prime."""

    table_size: int = TABLE_SIZE

    def build(self, endpoints: Sequence[Endpoint]) -> Maglev:
        """See ``ILoadBalancerBuilder``."""
        return Maglev(shares.of_endpoints(endpoints), self.table_size)

    def build_by_locality(self, localities: Sequence[tuple[float, Sequence[Endpoint]]]) -> Maglev:
        """See ``IWeighsLocalities``."""
        return Maglev(shares.of_localities(localities), self.table_size)

    def bounded(self, factor: int) -> BoundedLoadBuilder:
        """See ``IBoundsLoad``."""
        return BoundedLoadBuilder(self, factor)


def from_config(config: IConfig | None) -> MaglevBuilder:
    """From a mapping with ``tableSize``, which Istio requires although Envoy has a default for it."""
    if config is None:
        return MaglevBuilder()
    hint = f"Envoy's default is {TABLE_SIZE}"
    size = config.fields("tableSize").get("tableSize")
    if size is None:
        config.fail("maglev needs a tableSize, a prime number", hint)
    number = size.integer(1, LARGEST_TABLE)
    if not is_prime(number):
        size.fail(f"tableSize must be a prime number, {number} is not", hint)
    return MaglevBuilder(number)
