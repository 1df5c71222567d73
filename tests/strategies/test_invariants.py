"""What holds for any endpoints: order, balance and movement of rings, tables and rotations."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from math import ceil
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Endpoint
from meshproxy.strategies import shares
from meshproxy.strategies.bounded_load import BoundedLoadBuilder
from meshproxy.strategies.edf import Rotation
from meshproxy.strategies.least_request import LeastRequest
from meshproxy.strategies.maglev import build_table
from meshproxy.strategies.ring_hash import RingHashBuilder, build_ring
from meshproxy.testing import sample_endpoints
from tests.properties import steady

_WEIGHTS = st.lists(st.integers(1, 9), min_size=1, max_size=10)
_HASHES = st.integers(0, 2**64 - 1)
_SHUFFLES = st.randoms(use_true_random=False)
_SEEDS = st.integers(0, 10_000)
_SIZE = 1009
_SAMPLES = 200


def _hosts(weights: Sequence[int]) -> list[tuple[str, float]]:
    """Keys and shares of endpoints that have a weight."""
    endpoints = sample_endpoints(len(weights), [weight or 1 for weight in weights])
    used = [endpoint for endpoint, weight in zip(endpoints, weights, strict=True) if weight]
    return [(endpoint.key, share) for endpoint, share in shares.of_endpoints(used)]


def _shuffled(endpoints: Sequence[Endpoint], random: Random) -> list[Endpoint]:
    found = list(endpoints)
    random.shuffle(found)
    return found


class RingTests(SynchronousTestCase):
    @steady
    @given(st.integers(1, 12), _SHUFFLES, st.lists(_HASHES, min_size=1, max_size=30))
    def test_order_of_equals(self, count: int, random: Random, hashes: list[int]) -> None:
        """In whichever order endpoints of equal weight are configured, a hash has the same candidates."""
        endpoints = sample_endpoints(count)
        first, second = (RingHashBuilder(64 * count).build(it) for it in (endpoints, _shuffled(endpoints, random)))
        for number in hashes:
            self.assertEqual(list(first.candidates(number)), list(second.candidates(number)))

    @steady
    @given(_WEIGHTS, _SHUFFLES)
    def test_order_of_weights(self, weights: list[int], random: Random) -> None:
        """With different weights the order decides where rounding goes: about one entry of each endpoint."""
        endpoints = sample_endpoints(len(weights), weights)
        counts = []
        for order in (endpoints, _shuffled(endpoints, random)):
            hosts = [(endpoint.key, share) for endpoint, share in shares.of_endpoints(order)]
            counts.append(dict(zip((key for key, _ in hosts), build_ring(hosts).counts, strict=True)))
        for key, count in counts[0].items():
            self.assertLessEqual(abs(count - counts[1][key]), 1)

    @steady
    @given(_WEIGHTS, st.integers(2, 7))
    def test_proportions(self, weights: list[int], times: int) -> None:
        """Only the proportions of weights count."""
        rings = [build_ring(_hosts(found)) for found in (weights, [weight * times for weight in weights])]
        self.assertEqual(rings[0], rings[1])

    @steady
    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8), st.integers(1, 300))
    def test_movement(self, weights: list[tuple[int, int]], minimum: int) -> None:
        """When weights change, or endpoints come (from 0) and go, no hash moves without need.

        It moves only from an endpoint that has fewer entries than before, or to one that has more.
        """
        (before, counts), (after, other_counts) = (
            self.owners([pair[at] for pair in weights], minimum) for at in (0, 1)
        )
        for old, new in zip(before, after, strict=True):
            if old != new and old is not None and new is not None:
                self.assertTrue(other_counts[old] < counts[old] or other_counts[new] > counts[new], (old, new))

    def owners(self, weights: Sequence[int], minimum: int) -> tuple[list[str | None], Counter[str]]:
        """Whose each of some hashes is, and how many entries each key has."""
        hosts = _hosts(weights)
        ring = build_ring(hosts, minimum)
        counts = Counter({key: count for (key, _), count in zip(hosts, ring.counts, strict=True)})
        if not hosts:
            return [None] * _SAMPLES, counts
        found = (bisect_left(ring.hashes, number * (1 << 64) // _SAMPLES) for number in range(_SAMPLES))
        return [hosts[ring.owners[at % len(ring.owners)]][0] for at in found], counts


class TableTests(SynchronousTestCase):
    @steady
    @given(_WEIGHTS, st.integers(2, 7))
    def test_proportions(self, weights: list[int], times: int) -> None:
        """Only the proportions of weights count."""
        tables = [build_table(_hosts(found), _SIZE) for found in (weights, [weight * times for weight in weights])]
        self.assertEqual(tables[0], tables[1])

    @steady
    @given(_WEIGHTS, st.integers(1, 9), st.data())
    def test_weight(self, weights: list[int], more: int, data: st.DataObject) -> None:
        """An endpoint that gets more weight does not lose slots, nor do others win any, but for rounding."""
        at = data.draw(st.integers(0, len(weights) - 1))
        heavier = [weight + more * (index == at) for index, weight in enumerate(weights)]
        before, after = (build_table(_hosts(found), _SIZE) for found in (weights, heavier))
        for index in range(len(weights)):
            gained = after.count(index) - before.count(index)
            self.assertGreaterEqual(gained if index == at else -gained, -2)

    @steady
    @given(st.integers(2, 12), st.data())
    def test_movement(self, count: int, data: st.DataObject) -> None:
        """When an endpoint leaves, hardly more slots of others change hands than it had itself."""
        hosts = [(f"10.0.0.{number}:80", 1.0) for number in range(count)]
        gone = data.draw(st.integers(0, count - 1))
        left = [number for number in range(count) if number != gone]
        before = build_table([(key, 1 / count) for key, _ in hosts], _SIZE)
        rest = build_table([(hosts[number][0], 1 / (count - 1)) for number in left], _SIZE)
        after = [left[owner] for owner in rest]
        moved = sum(old not in (gone, new) for old, new in zip(before, after, strict=True))
        self.assertLessEqual(moved, before.count(gone) * 1.1)


class RotationTests(SynchronousTestCase):
    @steady
    @given(_WEIGHTS, _SEEDS, st.integers(0, 200))
    def test_every_window(self, weights: list[int], seed: int, skipped: int) -> None:
        """In as many turns as the weights add up to, each has as many as its weight, give or take one, at any time."""
        rotation = Rotation(weights, seed)
        for _ in range(skipped):
            rotation.pick()
        turns = Counter(rotation.pick() for _ in range(sum(weights)))
        for index, weight in enumerate(weights):
            self.assertLessEqual(abs(turns[index] - weight), 1, (weights, seed, skipped))

    @steady
    @given(_WEIGHTS, _SEEDS, _SHUFFLES)
    def test_order(self, weights: list[int], seed: int, random: Random) -> None:
        """Shares do not depend on the order of endpoints."""
        order = list(range(len(weights)))
        random.shuffle(order)
        first, second = Rotation(weights, seed), Rotation([weights[index] for index in order], seed)
        many = 10 * sum(weights)
        turns = Counter(first.pick() for _ in range(many))
        others = Counter(order[second.pick()] for _ in range(many))
        for index in order:
            self.assertLessEqual(abs(turns[index] - others[index]), 2)


class BoundedLoadTests(SynchronousTestCase):
    @steady
    @given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 12)), min_size=1, max_size=8), _HASHES)
    def test_room(self, members: list[tuple[int, int]], number: int) -> None:
        """The first choice has it while there is room; then one that has room; without any, the least loaded one."""
        endpoints = sample_endpoints(len(members), [weight for weight, _ in members])
        active = dict(zip(endpoints, (busy for _, busy in members), strict=True))
        slots = ((sum(active.values()) + 1) * 125 + 99) // 100
        total = sum(weight for weight, _ in members)
        load = {it: active[it] / max(ceil(slots * (it.weight / total)), 1) for it in endpoints}
        balancer = BoundedLoadBuilder(RingHashBuilder(64), 125).build(endpoints)
        first, picked = balancer.pick(number, 0), balancer.pick_with_load(number, 0, active.__getitem__)
        assert first is not None
        assert picked is not None
        if load[first] <= 1.0:
            self.assertEqual(picked, first)
        elif min(load.values()) <= 1.0:
            self.assertLessEqual(load[picked], 1.0)
        else:
            self.assertEqual(load[picked], min(load.values()))


class LeastRequestTests(SynchronousTestCase):
    @steady
    @given(st.lists(st.integers(0, 9), min_size=1, max_size=10), st.lists(_HASHES, min_size=1, max_size=20))
    def test_less_busy_of_two(self, loads: list[int], numbers: list[int]) -> None:
        """The one with fewer requests in flight of two draws is taken, so the busiest is only by drawing it twice."""
        endpoints = sample_endpoints(len(loads))
        load = dict(zip(endpoints, loads, strict=True))
        balancer = LeastRequest(endpoints, 0)
        for number in numbers:
            draws = [endpoints[part % len(endpoints)] for part in (number, number >> 32)]
            picked = balancer.pick_with_load(number, 0, load.__getitem__)
            self.assertIn(picked, draws)
            self.assertEqual(load[picked], min(load[draw] for draw in draws))

    @steady
    @given(_WEIGHTS, _SEEDS)
    def test_balance(self, weights: list[int], seed: int) -> None:
        """Idle endpoints of different weights have turns by their weights, give or take one."""
        endpoints = sample_endpoints(len(weights), weights)
        if len(set(weights)) > 1:
            balancer = LeastRequest(endpoints, seed)
            turns = Counter(balancer.pick_with_load(0, 0, lambda endpoint: 0) for _ in range(sum(weights)))
            for endpoint in endpoints:
                self.assertLessEqual(abs(turns[endpoint] - endpoint.weight), 1)
