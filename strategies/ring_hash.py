"""``ringHash``: a ring of hashes, on which each endpoint has entries in proportion to its weight.

An endpoint that comes or goes moves only the sessions next to its entries. A request belongs to the first entry whose
hash is at least its own, the next attempt to the entry after that. Source: ``ring_hash_lb.cc`` of Envoy, whose rounding
is part of the result.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil
from types import MappingProxyType
from typing import Literal, NamedTuple

from attrs import frozen
from zope.interface import implementer

from meshproxy.hashing import murmur2, xxh64
from meshproxy.interfaces import (
    IBoundsLoad,
    IConfig,
    IDescribes,
    ILoadBalancer,
    ILoadBalancerBuilder,
    ILocatesHash,
    IWeighsLocalities,
)
from meshproxy.model import Endpoint
from meshproxy.strategies import shares
from meshproxy.strategies.bounded_load import BoundedLoadBuilder
from meshproxy.strategies.distinct import distinct

MINIMUM_SIZE = 1024
MAXIMUM_SIZE = 8_388_608

HashFunction = Literal["xxhash64", "murmur2"]
_FUNCTIONS: Mapping[HashFunction, Callable[[bytes], int]] = MappingProxyType({"xxhash64": xxh64, "murmur2": murmur2})


class Ring(NamedTuple):
    """Entries in ascending order of their hashes; ``owners`` has each entry's host as its index.

    ``size`` is the size that was aimed at; rounding may make the ring one entry longer. ``counts`` has the
    number of entries of each host.
    """

    size: int
    hashes: list[int]
    owners: list[int]
    counts: list[int]


_SUFFIXES = tuple(b"_%d" % number for number in range(1024))


def _suffixes(count: int) -> Iterable[bytes]:
    """``_0``, ``_1`` and so on; those that nearly every ring needs are made once."""
    if count <= len(_SUFFIXES):
        return _SUFFIXES[:count]
    return (b"_%d" % number for number in range(count))


def build_ring(
    hosts: Sequence[tuple[str, float]],
    minimum: int = MINIMUM_SIZE,
    maximum: int = MAXIMUM_SIZE,
    function: HashFunction = "xxhash64",
) -> Ring:
    """The ring for host keys with their shares."""
    if not hosts:
        return Ring(0, [], [], [])
    least = min(1.0, *(share for _, share in hosts))
    scale = min(ceil(least * minimum) / least, float(maximum))
    digest = _FUNCTIONS[function]
    hashes: list[int] = []
    owners: list[int] = []
    counts = []
    wanted = 0.0
    for index, (key, share) in enumerate(hosts):
        wanted += scale * share
        count = max(0, ceil(wanted) - len(hashes))
        prefix = key.encode()
        hashes += [digest(prefix + suffix) for suffix in _suffixes(count)]
        owners += [index] * count
        counts.append(count)
    order = sorted(range(len(hashes)), key=hashes.__getitem__)
    return Ring(ceil(scale), [hashes[at] for at in order], [owners[at] for at in order], counts)


@implementer(ILoadBalancer, IDescribes, ILocatesHash)
class RingHash:
    """A load balancer on a ring."""

    __slots__ = ("_endpoints", "_hashes", "_owners", "_ring_facts")
    uses_hash = True

    def __init__(self, hosts: Sequence[tuple[Endpoint, float]], settings: RingHashBuilder) -> None:
        ring = build_ring(
            [(endpoint.identity, share) for endpoint, share in hosts],
            settings.minimum_size,
            settings.maximum_size,
            settings.function,
        )
        self._endpoints = [endpoint for endpoint, _ in hosts]
        self._hashes = ring.hashes
        # One more at the end: a hash behind the last entry belongs to the first, and nothing to an empty ring.
        owners: list[Endpoint | None] = [self._endpoints[owner] for owner in ring.owners]
        self._owners = [*owners, owners[0] if owners else None]
        self._ring_facts = {
            "size": ring.size,
            "min_hashes_per_host": min(ring.counts, default=0),
            "max_hashes_per_host": max(ring.counts, default=0),
        }

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        """See ``ILoadBalancer``. Attempts go from entry to entry, so they may well repeat an endpoint."""
        index = bisect_left(self._hashes, hash)
        if attempt and self._hashes:
            entries = len(self._hashes)
            index = (index % entries + attempt) % entries
        return self._owners[index]

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        """See ``ILoadBalancer``. Endpoints without an entry on a small ring come last."""
        entries = len(self._hashes)
        start = bisect_left(self._hashes, hash)
        return distinct((self._owners[(start + step) % entries] for step in range(entries)), self._endpoints)

    def locate(self, hash: int) -> Mapping[str, object]:
        """See ``ILocatesHash``: the entry that owns the hash, from 0, of how many, and the entry's own hash."""
        entries = len(self._hashes)
        if not entries:
            return {}
        entry = bisect_left(self._hashes, hash) % entries
        return {"entry": entry, "of": entries, "entry_hash": f"{self._hashes[entry]:016x}"}

    def describe(self) -> Mapping[str, object]:
        """See ``IDescribes``: the size aimed at, and the fewest and most entries of an endpoint."""
        return dict(self._ring_facts)


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
