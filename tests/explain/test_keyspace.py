"""Shares of endpoints and movements between balancers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.explain.keyspace import (
    Shares,
    expected_movement,
    least_movement,
    movement,
    sample_hashes,
    shares,
)
from meshproxy.model import Endpoint
from meshproxy.strategies.maglev import MaglevBuilder
from meshproxy.strategies.ring_hash import RingHashBuilder

HASHES = sample_hashes(20_000)


def endpoints(count: int, weight: int = 1) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(f"10.0.0.{number}", 80, weight) for number in range(1, count + 1))


class SharesTests(SynchronousTestCase):
    def test_table(self) -> None:
        """The shares of a Maglev table are those of its slots, to the precision of the samples."""
        some = (*endpoints(3), Endpoint("10.0.1.1", 80, 3))
        balancer = MaglevBuilder(65537).build(some)
        found = shares(balancer, some, HASHES)
        self.assertAlmostEqual(sum(found.by_endpoint.values()), 1.0)
        self.assertEqual(found.even["10.0.1.1:80"], 0.5)
        for key, share in found.by_endpoint.items():
            self.assertLess(abs(share - found.even[key]), 0.005)
        self.assertLess(found.most_loaded, 1.02)
        self.assertGreater(found.least_loaded, 0.98)

    def test_nobody_left_out(self) -> None:
        """An endpoint that gets nothing has a share of 0."""
        some = endpoints(40)
        found = shares(MaglevBuilder(7).build(some), some, HASHES)
        self.assertEqual(len(found.by_endpoint), 40)
        self.assertEqual(found.least_loaded, 0.0)


class MovementTests(SynchronousTestCase):
    @given(st.integers(1, 12), st.integers(1, 12))
    @settings(max_examples=12, deadline=None)
    def test_minimum(self, before: int, after: int) -> None:
        """Endpoints that come or go move their own share at the least, and nothing moves where nothing changes."""
        old, new = endpoints(before), endpoints(after)
        least = least_movement(old, new)
        self.assertAlmostEqual(least, abs(after - before) / max(before, after))
        builder = MaglevBuilder(1021)
        found = movement(builder.build(old), old, builder.build(new), new, HASHES)
        self.assertEqual(found.moved == 0.0, before == after)
        self.assertGreater(found.moved, least - 0.02)
        self.assertAlmostEqual(sum(found.pairs.values()), found.moved)

    def test_ring_keeps_the_rest(self) -> None:
        """With an endpoint less on a ring whose entries stay, only its own sessions move."""
        old = endpoints(4)
        # Of such sizes each endpoint has 512 entries, however many there are.
        before, after = RingHashBuilder(2048).build(old), RingHashBuilder(1536).build(old[:3])
        found = movement(before, old, after, old[:3], HASHES)
        self.assertEqual({source for source, _ in found.pairs}, {"10.0.0.4:80"})

    def test_weights(self) -> None:
        """A weight that changes has its least movement too."""
        self.assertAlmostEqual(least_movement(endpoints(2), (*endpoints(1), Endpoint("10.0.0.2", 80, 3))), 0.25)
        self.assertEqual(least_movement((), endpoints(2)), 0.0)

    def test_unrelated(self) -> None:
        """A choice that has nothing to do with the one before keeps a session by chance only."""
        even = Shares({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5})
        self.assertEqual(expected_movement(even, even), 0.5)
