"""A destination by weight that stays the same for a session: a race that the session's hash decides.

Each destination runs for a time that its name and the hash alone decide, exponentially distributed with its weight as
the rate; the first one wins. So each wins its share of the sessions. When weights change, a session moves only if its
winner's share has become smaller against the new winner's: of two destinations, 90:10 to 80:20 moves 10 percent of the
sessions, all of them to the one that gained. With more, if one gains or loses and the others keep their proportions, it
is exactly the difference too, and in any case less than twice that. The order of destinations does not matter.

Source: weighted rendezvous hashing (Schindelhauer, Schomaker: "Weighted Distributed Hash Tables", the logarithmic
method); the bound is from Moulton, Jiang: "Maximally Consistent Sampling and the Jaccard Index of Probability
Distributions".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log

from meshproxy.hashing import xxh64
from meshproxy.routes import WeightedDestination

# The upper bits of a hash, as many as a double has.
_SHIFT = 11
_RANGE = float(1 << 64 - _SHIFT)


class StickyWeights:
    """Chooses among destinations with weights above 0."""

    __slots__ = ("_runners",)

    def __init__(self, destinations: Sequence[WeightedDestination]) -> None:
        # Destinations of one cluster may differ in what they do to headers.
        seen: Counter[str] = Counter()
        self._runners = []
        for destination in destinations:
            seed = xxh64(destination.cluster.encode(), seen[destination.cluster])
            seen[destination.cluster] += 1
            self._runners.append((destination, seed, destination.weight))

    def choose(self, key_hash: int) -> WeightedDestination:
        """The destination for a session's hash. It tells nothing about where the hash falls on a ring."""
        data = key_hash.to_bytes(8, "little")
        first = self._runners[0][0]
        best = float("inf")
        for destination, seed, weight in self._runners:
            time = -log(((xxh64(data, seed) >> _SHIFT) + 0.5) / _RANGE) / weight
            if time < best:
                first, best = destination, time
        return first
