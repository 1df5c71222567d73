"""``ringHash``: a ring of hashes, on which each endpoint has entries in proportion to its weight.

An endpoint that comes or goes moves only the sessions next to its entries. A request belongs to the first entry whose
hash is at least its own, the next attempt to the entry after that. Source: ``ring_hash_lb.cc`` of Envoy, whose rounding
is part of the result.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from math import ceil
from types import MappingProxyType
from typing import Literal, NamedTuple

from attrs import frozen
from zope.interface import implementer

from meshproxy.hashing import BITS, murmur2, xxh64
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
from meshproxy.strategies import imbalance, shares
from meshproxy.strategies.bounded_load import BoundedLoadBuilder
from meshproxy.strategies.distinct import distinct
from meshproxy.strategies.steps import Steps, finished, gathered, identified

MINIMUM_SIZE = 1024
MAXIMUM_SIZE = 8_388_608
_WANTED = 1.5  # times its share for the busiest endpoint, where a size is proposed

HashFunction = Literal["xxhash64", "murmur2"]
_FUNCTIONS: Mapping[HashFunction, Callable[[bytes], int]] = MappingProxyType({"xxhash64": xxh64, "murmur2": murmur2})


class Ring(NamedTuple):
    """Entries in ascending order of their hashes; ``owners`` has each entry's host as its index.

    ``size`` is the size that was aimed at; rounding may make the ring one entry longer. ``counts`` has the
    number of entries of each host.
    """

    size: int
    hashes: Sequence[int]
    owners: Sequence[int]
    counts: list[int]


_AT_ONCE = 512  # hashes that are made or sorted in a step
_SUFFIXES = tuple(b"_%d" % number for number in range(1024))
# Of larger rings, entries are kept in arrays: that takes a fifth of the memory, and a little longer for each pick.
_LARGE = 65_536
_BYTES = 52  # of an entry in lists: two references and a number
_BYTES_OF_LARGE = 12


def _suffixes(count: int) -> Iterable[bytes]:
    """``_0``, ``_1`` and so on; those that nearly every ring needs are made once, others as they are needed."""
    return _SUFFIXES[:count] if count <= len(_SUFFIXES) else (b"_%d" % number for number in range(count))


def _scale(shares: Iterable[float], minimum: int, maximum: int) -> float:
    """How many entries there are for a share of 1."""
    least = min(1.0, *shares)
    return min(ceil(least * minimum) / least, float(maximum))


def build_ring(
    hosts: Sequence[tuple[str, float]],
    minimum: int = MINIMUM_SIZE,
    maximum: int = MAXIMUM_SIZE,
    function: HashFunction = "xxhash64",
) -> Ring:
    """The ring for host keys with their shares."""
    return finished(ring_steps(hosts, minimum, maximum, function))


def ring_steps(hosts: Sequence[tuple[str, float]], minimum: int, maximum: int, function: HashFunction) -> Steps[Ring]:
    """As ``build_ring``, in steps."""
    if not hosts:
        return Ring(0, [], [], [])
    scale = _scale((share for _, share in hosts), minimum, maximum)
    counts = yield from gathered(_counts(scale, hosts))
    total = sum(counts)
    found = _found((key.encode() for key, _ in hosts), counts, _FUNCTIONS[function])
    hashes, owners = yield from (_sorted_in_arrays if total > _LARGE else _sorted)(found, total)
    return Ring(ceil(scale), hashes, owners, counts)


def _counts(scale: float, hosts: Iterable[tuple[str, float]]) -> Iterator[int]:
    """How many entries each host gets. Rounding is carried over from host to host."""
    wanted = 0.0
    total = 0
    for _, share in hosts:
        wanted += scale * share
        count = max(0, ceil(wanted) - total)
        total += count
        yield count


_Found = Iterator[tuple[list[int], list[int]]]
"""Some hashes at a time, and whose each is."""


def _found(keys: Iterable[bytes], counts: Sequence[int], digest: Callable[[bytes], int]) -> _Found:
    texts = (key + suffix for key, count in zip(keys, counts, strict=True) for suffix in _suffixes(count))
    owners = chain.from_iterable(map(repeat, range(len(counts)), counts))
    while hashes := [*map(digest, islice(texts, _AT_ONCE))]:
        yield hashes, [*islice(owners, len(hashes))]


def _sorted(found: _Found, total: int) -> Steps[tuple[Sequence[int], Sequence[int]]]:
    """All hashes in order, and whose each is; of equal ones, that of the first host is first."""
    hashes: list[int] = []
    owners: list[int] = []
    bits = _part_bits(total)
    parts: list[list[int]] = [[] for _ in range(1 << bits)]
    for some, whose in found:
        if bits:
            for index, number in enumerate(some, len(hashes)):
                parts[number >> BITS - bits].append(index)
        else:
            parts[0] += range(total)
        hashes += some
        owners += whose
        yield
    all_hashes: list[int] = []
    all_owners: list[int] = []
    for part in parts:
        part.sort(key=hashes.__getitem__)
        all_hashes += [hashes[index] for index in part]
        all_owners += [owners[index] for index in part]
        yield
    return all_hashes, all_owners


def _sorted_in_arrays(found: _Found, total: int) -> Steps[tuple[Sequence[int], Sequence[int]]]:
    """The same in arrays, and never much of it in lists."""
    bits = _part_bits(total)
    parts = [(array("Q"), array("I")) for _ in range(1 << bits)]
    for some, whose in found:
        for number, owner in zip(some, whose, strict=True):
            hashes, owners = parts[number >> BITS - bits]
            hashes.append(number)
            owners.append(owner)
        yield
    parts.reverse()
    all_hashes, all_owners = array("Q"), array("I")
    while parts:  # what is sorted is no longer needed
        hashes, owners = parts.pop()
        order = sorted(range(len(hashes)), key=hashes.__getitem__)
        all_hashes.extend(map(hashes.__getitem__, order))
        all_owners.extend(map(owners.__getitem__, order))
        yield
    return all_hashes, all_owners


def _part_bits(total: int) -> int:
    """By how many leading bits so many hashes are told apart, so that those with the same ones are few."""
    return (total // _AT_ONCE).bit_length()


class _Owners:
    """The endpoints that the entries of a large ring belong to."""

    __slots__ = ("_endpoints", "_owners")

    def __init__(self, endpoints: Sequence[Endpoint], owners: Sequence[int]) -> None:
        self._endpoints = endpoints
        self._owners = owners

    def __getitem__(self, entry: int) -> Endpoint:
        return self._endpoints[self._owners[entry]]


@implementer(ILoadBalancer, IBuildsInSteps, IDescribes, IForeseesShares, ILocatesHash)
class RingHash:
    """A load balancer on a ring."""

    __slots__ = ("_endpoints", "_hashes", "_hosts", "_owners", "_ring_facts", "_settings")
    uses_hash = True

    def __init__(self, hosts: Sequence[tuple[Endpoint, float]], settings: RingHashBuilder) -> None:
        self._hosts = hosts
        self._settings = settings
        self._endpoints = [endpoint for endpoint, _ in hosts]
        self._hashes: Sequence[int] = ()
        self._owners: Sequence[Endpoint] | _Owners = ()
        self._ring_facts: Mapping[str, object] = {}

    @property
    def table_bytes(self) -> int:
        """See ``IHasTable``."""
        settings, shares_of_hosts = self._settings, [share for _, share in self._hosts]
        entries = ceil(_scale(shares_of_hosts, settings.minimum_size, settings.maximum_size)) if shares_of_hosts else 0
        return entries * (_BYTES_OF_LARGE if entries > _LARGE else _BYTES)

    def build_table(self) -> None:
        """See ``IHasTable``."""
        finished(self.table_steps())

    def table_steps(self) -> Steps[None]:
        """See ``IBuildsInSteps``."""
        if self._hashes:
            return
        settings = self._settings
        hosts = yield from identified(self._hosts)
        ring = yield from ring_steps(hosts, settings.minimum_size, settings.maximum_size, settings.function)
        self._ring_facts = {
            "size": ring.size,
            "min_hashes_per_host": min(ring.counts, default=0),
            "max_hashes_per_host": max(ring.counts, default=0),
        }
        if len(ring.hashes) > _LARGE:
            self._owners = _Owners(self._endpoints, ring.owners)
        else:
            self._owners = yield from gathered(map(self._endpoints.__getitem__, ring.owners))
        self._hashes = ring.hashes  # last, for it says that all is there

    def _built(self) -> Sequence[int]:
        """The hashes of the ring, which is built now."""
        self.build_table()
        return self._hashes

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        """See ``ILoadBalancer``. Attempts go from entry to entry, so they may well repeat an endpoint."""
        hashes = self._hashes or self._built()
        index = bisect_left(hashes, hash) + attempt
        entries = len(hashes)
        if index >= entries:
            if not entries:
                return None
            index %= entries
        return self._owners[index]

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        """See ``ILoadBalancer``. Endpoints without an entry on a small ring come last."""
        hashes = self._hashes or self._built()
        entries = len(hashes)
        start = bisect_left(hashes, hash)
        return distinct((self._owners[(start + step) % entries] for step in range(entries)), self._endpoints)

    def locate(self, hash: int) -> Mapping[str, object]:
        """See ``ILocatesHash``: the entry that owns the hash, from 0, of how many, and the entry's own hash."""
        hashes = self._hashes or self._built()
        entries = len(hashes)
        if not entries:
            return {}
        entry = bisect_left(hashes, hash) % entries
        return {"entry": entry, "of": entries, "entry_hash": f"{hashes[entry]:016x}"}

    def describe(self) -> Mapping[str, object]:
        """See ``IDescribes``: the size aimed at, and the fewest and most entries of an endpoint."""
        self.build_table()
        return dict(self._ring_facts)

    def shortage(self, limit: float) -> Shortage | None:
        """See ``IForeseesShares``."""
        hosts, settings = len(self._hosts), self._settings
        entries = self._entries(settings.minimum_size)
        if hosts < 2 or imbalance.is_even(min(entries), hosts, limit):
            return None
        most = imbalance.most_loaded(entries)
        if most <= limit:
            return None
        size, better = settings.minimum_size, most
        while better > _WANTED and size < settings.maximum_size:
            size = min(2 * size, settings.maximum_size)
            better = imbalance.most_loaded(self._entries(size))
        each = f"{min(entries):.0f} entries for {'each' if min(entries) == max(entries) else 'some'}"
        return Shortage(
            f"is too small for {hosts} endpoints: with {each}, the busiest has to expect {most:.2g} times its share",
            f"minimumRingSize: {size} makes it {better:.2g} times",
        )

    def _entries(self, minimum: int) -> list[float]:
        """How many entries each host would get on a ring of at least so many, but for rounding."""
        shares_of_hosts = [share for _, share in self._hosts]
        scale = _scale(shares_of_hosts, minimum, self._settings.maximum_size) if shares_of_hosts else 0.0
        return [scale * share for share in shares_of_hosts]


@implementer(ILoadBalancerBuilder, IWeighsLocalities, IBoundsLoad)
@frozen
class RingHashBuilder:
    """Sizes count entries; ``function`` hashes the ring's entries, never requests."""

    minimum_size: int = MINIMUM_SIZE
    maximum_size: int = MAXIMUM_SIZE
    function: HashFunction = "xxhash64"

    def build(self, endpoints: Sequence[Endpoint]) -> RingHash:
        """See ``ILoadBalancerBuilder``."""
        return RingHash(shares.of_endpoints(endpoints), self)

    def build_by_locality(self, localities: Sequence[tuple[float, Sequence[Endpoint]]]) -> RingHash:
        """See ``IWeighsLocalities``."""
        return RingHash(shares.of_localities(localities), self)

    def bounded(self, factor: int) -> BoundedLoadBuilder:
        """See ``IBoundsLoad``."""
        return BoundedLoadBuilder(self, factor)


def from_config(config: IConfig | None) -> RingHashBuilder:
    """From a mapping with ``minimumRingSize``; 0 and absent mean 1024."""
    fields = {} if config is None else config.fields("minimumRingSize")
    size = fields["minimumRingSize"].integer(0, MAXIMUM_SIZE) if "minimumRingSize" in fields else 0
    return RingHashBuilder(size or MINIMUM_SIZE)
