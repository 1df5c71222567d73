"""Sticky weights: each destination gets its share, and a change of weights moves what it has to."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.explain.keyspace import sample_hashes
from meshproxy.routes import WeightedDestination
from meshproxy.stickyweights import StickyWeights
from meshproxy.strategies.ring_hash import RingHashBuilder
from tests.properties import steady
from tests.strategies.scenarios import Host

HASHES = sample_hashes(4000)
_WEIGHTS = st.lists(st.integers(1, 100), min_size=2, max_size=5)


def chosen(*weights: int) -> list[str]:
    """The cluster of each sample."""
    destinations = [WeightedDestination(f"c{number}", weight) for number, weight in enumerate(weights)]
    choose = StickyWeights(destinations).choose
    return [choose(key_hash).cluster for key_hash in HASHES]


def moved(before: list[str], after: list[str]) -> Counter[tuple[str, str]]:
    """How many samples went from where to where."""
    return Counter(pair for pair in zip(before, after, strict=True) if pair[0] != pair[1])


class StickyWeightTests(SynchronousTestCase):
    def test_canary(self) -> None:
        """From 90:10 to 80:20 a tenth of the sessions moves, all to the canary: none that was there leaves."""
        pairs = moved(chosen(90, 10), chosen(80, 20))
        self.assertEqual(set(pairs), {("c0", "c1")})
        self.assertLess(abs(pairs["c0", "c1"] / len(HASHES) - 0.1), 0.02)

    def test_proportions(self) -> None:
        """Nothing but proportions and names counts: neither the sum of the weights nor their order."""
        self.assertEqual(chosen(3, 1), chosen(75, 25))
        turned = [WeightedDestination("c1", 1), WeightedDestination("c0", 3)]
        self.assertEqual([StickyWeights(turned).choose(it).cluster for it in HASHES], chosen(3, 1))

    @steady
    @given(_WEIGHTS)
    def test_shares(self, weights: list[int]) -> None:
        """Each destination gets its share of the sessions."""
        counts = Counter(chosen(*weights))
        for number, weight in enumerate(weights):
            self.assertLess(abs(counts[f"c{number}"] / len(HASHES) - weight / sum(weights)), 0.04)

    @steady
    @given(_WEIGHTS, st.integers(1, 100))
    def test_one_weight(self, weights: list[int], other: int) -> None:
        """If one weight changes, sessions move only to that destination, or only away from it."""
        pairs = moved(chosen(*weights), chosen(other, *weights[1:]))
        if other > weights[0]:
            self.assertEqual({to for _, to in pairs} - {"c0"}, set())
        else:
            self.assertEqual({source for source, _ in pairs} - {"c0"}, set())

    @steady
    @given(_WEIGHTS, st.data())
    def test_bound(self, weights: list[int], data: st.DataObject) -> None:
        """Whatever changes, less than twice the difference of the shares moves."""
        others = data.draw(st.lists(st.integers(1, 100), min_size=len(weights), max_size=len(weights)))
        shares = [(a / sum(weights), b / sum(others)) for a, b in zip(weights, others, strict=True)]
        difference = sum(abs(a - b) for a, b in shares) / 2
        pairs = moved(chosen(*weights), chosen(*others))
        bound = 2 * difference / (1 + difference)
        self.assertLessEqual(sum(pairs.values()) / len(HASHES), bound + 0.04)

    def test_one_cluster_twice(self) -> None:
        """Two destinations of one cluster, with other headers, have their shares too."""
        destinations = [WeightedDestination("c", 1), WeightedDestination("c", 1)]
        counts = Counter(map(StickyWeights(destinations).choose, HASHES))
        self.assertLess(abs(counts[destinations[0]] / len(HASHES) - 0.5), 0.04)

    def test_apart_from_the_ring(self) -> None:
        """The sessions of a canary are spread over its whole ring, and not over the part that its share is."""
        hosts = [Host(f"10.0.0.{number}:80") for number in range(8)]
        ring = RingHashBuilder().build(hosts)
        canary = [key_hash for key_hash, cluster in zip(HASHES, chosen(95, 5), strict=True) if cluster == "c1"]
        self.assertEqual(len({ring.pick(key_hash, 0) for key_hash in canary}), 8)
