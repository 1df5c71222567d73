"""How a load balancer shares out its hashes, and how many of them another one gives to somebody else.

Hashes are samples: multiples of the golden ratio modulo 2**64, which fill the range evenly however many there are, so
shares are right to about one part in their number, and the same in each run. Source: Weyl's equidistribution theorem;
Knuth, The Art of Computer Programming, volume 3, 6.4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from meshproxy.hashing import MASK
from meshproxy.interfaces import ILoadBalancer
from meshproxy.model import Endpoint

SAMPLES = 100_000
_GOLDEN = 0x9E3779B97F4A7C15


def sample_hashes(number: int = SAMPLES) -> list[int]:
    """Hashes that are spread evenly over all there are."""
    return [number * _GOLDEN & MASK for number in range(1, number + 1)]


@frozen
class Shares:
    """What part of the hashes each endpoint gets. ``even`` is what it would get by its weight alone."""

    by_endpoint: Mapping[str, float]
    even: Mapping[str, float]

    @property
    def most_loaded(self) -> float:
        """The largest ratio of an endpoint's share and its even share; 1 is ideal, 0 means no endpoints."""
        return max((share / self.even[key] for key, share in self.by_endpoint.items()), default=0.0)

    @property
    def least_loaded(self) -> float:
        """The smallest such ratio."""
        return min((share / self.even[key] for key, share in self.by_endpoint.items()), default=0.0)


@frozen
class Movement:
    """What part of the hashes belongs to another endpoint after a change.

    ``pairs`` has the share for each pair of endpoints. ``minimum`` is what has to move in any case, since endpoints
    come and go or their weights change.
    """

    moved: float
    minimum: float
    pairs: Mapping[tuple[str, str], float]


def shares(balancer: ILoadBalancer, endpoints: Sequence[Endpoint], hashes: Sequence[int]) -> Shares:
    """How ``balancer``, which was built for ``endpoints``, shares out ``hashes``, of which there is at least one."""
    return shares_of(owners(balancer, hashes), endpoints)


def owners(balancer: ILoadBalancer, hashes: Iterable[int]) -> list[str]:
    """``Endpoint.key`` of the endpoint that each hash belongs to; empty where there is none."""
    pick = balancer.pick
    return ["" if (endpoint := pick(key_hash, 0)) is None else endpoint.key for key_hash in hashes]


def shares_of(keys: Sequence[str], endpoints: Sequence[Endpoint]) -> Shares:
    """The shares of ``endpoints`` in hashes whose owners have these keys, of which there is at least one."""
    counts = Counter(keys)
    shares = {endpoint.key: counts[endpoint.key] / len(keys) for endpoint in endpoints}
    return Shares(shares, even_shares(endpoints))


def even_shares(endpoints: Iterable[Endpoint]) -> dict[str, float]:
    """The share of each endpoint by its weight."""
    weights: Counter[str] = Counter()
    for endpoint in endpoints:
        weights[endpoint.key] += endpoint.weight
    total = sum(weights.values())
    return {key: weight / total for key, weight in weights.items()}


def movement(
    old: ILoadBalancer,
    old_endpoints: Sequence[Endpoint],
    new: ILoadBalancer,
    new_endpoints: Sequence[Endpoint],
    hashes: Sequence[int],
) -> Movement:
    """What a change from ``old`` to ``new`` moves."""
    pairs = Counter(
        (before, after)
        for before, after in zip(owners(old, hashes), owners(new, hashes), strict=True)
        if before and after and before != after
    )
    moved = {pair: count / len(hashes) for pair, count in pairs.most_common()}
    return Movement(sum(moved.values()), least_movement(old_endpoints, new_endpoints), moved)


def least_movement(old: Iterable[Endpoint], new: Iterable[Endpoint]) -> float:
    """The share that no strategy can keep in place if each endpoint is to get its even share before and after."""
    before, after = even_shares(old), even_shares(new)
    if not before or not after:
        return 0.0
    return sum(max(0.0, share - before.get(key, 0.0)) for key, share in after.items())


def expected_movement(old: Shares, new: Shares) -> float:
    """The share that moves where the new choice has nothing to do with the old one, as with another hash key."""
    return 1.0 - sum(share * new.by_endpoint.get(key, 0.0) for key, share in old.by_endpoint.items())
