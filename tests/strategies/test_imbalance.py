"""How uneven rings are to be expected, compared with rings that were built."""

from __future__ import annotations

from statistics import median

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.explain.keyspace import sample_hashes, shares
from meshproxy.model import Endpoint
from meshproxy.strategies.imbalance import is_even, most_loaded
from meshproxy.strategies.maglev import MaglevBuilder, is_prime
from meshproxy.strategies.ring_hash import RingHashBuilder

HASHES = sample_hashes(40_000)


def endpoints(count: int, host: int, weight: int = 1) -> list[Endpoint]:
    return [Endpoint(f"10.{host}.{n >> 8}.{n & 255}", 80, weight=weight) for n in range(count)]


class RingTests(SynchronousTestCase):
    def test_as_built(self) -> None:
        """The busiest endpoint of rings is what was foreseen, to an eighth of it."""
        for count, size in ((3, 1024), (10, 64), (50, 256), (150, 1024), (150, 8192), (400, 400)):
            built = []
            for host in range(7):
                ring = endpoints(count, host)
                built.append(shares(RingHashBuilder(size).build(ring), ring, HASHES).most_loaded)
            foreseen = most_loaded([max(1.0, size / count)] * count)
            self.assertLess(abs(median(built) / foreseen - 1), 1 / 8, (count, size, built, foreseen))

    def test_bound(self) -> None:
        """What is sure to be even is even."""
        for count in (2, 10, 300):
            for entries in (1, 5, 20, 100, 1000):
                for limit in (1.2, 2.0, 4.0):
                    if is_even(entries, count, limit):
                        self.assertLess(most_loaded([entries] * count), limit)
        self.assertTrue(is_even(341, 3, 2.0))

    def test_shortage(self) -> None:
        """A ring with few entries for each endpoint is told with the size that is enough; a usual one is not."""
        for count, size, expected in ((3, 1024, False), (60, 1024, False), (150, 1024, True), (150, 16384, False)):
            self.assertEqual(RingHashBuilder(size).build(endpoints(count, 0)).shortage(2.0) is not None, expected)
        shortage = RingHashBuilder().build(endpoints(200, 0)).shortage(2.0)
        assert shortage is not None
        self.assertIn("too small for 200 endpoints: with 6 entries for each", shortage.problem)
        self.assertIn("the busiest has to expect 2.5 times its share", shortage.problem)
        self.assertEqual(shortage.remedy, "minimumRingSize: 8192 makes it 1.5 times")
        for alone in ([], endpoints(1, 0)):
            self.assertIsNone(RingHashBuilder(1).build(alone).shortage(2.0))

    def test_weights(self) -> None:
        """Light endpoints have few entries, however many there are in all."""
        heavy = endpoints(2, 0, weight=500)
        self.assertIsNone(RingHashBuilder(4096).build(heavy).shortage(2.0))
        self.assertIsNotNone(RingHashBuilder(4096).build([*heavy, *endpoints(40, 1)]).shortage(2.0))


class MaglevTests(SynchronousTestCase):
    def test_shortage(self) -> None:
        """A table in which endpoints get no slot is told; one that is merely uneven is not."""
        for count, size, expected in ((3, 2, True), (3, 3, False), (300, 251, True), (300, 307, False), (0, 7, False)):
            self.assertEqual(MaglevBuilder(size).build(endpoints(count, 0)).shortage(2.0) is not None, expected)
        shortage = MaglevBuilder(251).build([*endpoints(1, 0, weight=1000), *endpoints(3000, 1)]).shortage(2.0)
        assert shortage is not None
        self.assertIn("some get none of its 251 slots", shortage.problem)
        proposed = int(shortage.remedy.rpartition(" ")[2])
        self.assertTrue(is_prime(proposed))
        self.assertLess(abs(proposed / 400_000 - 1), 0.01)

    def test_uneven_weights(self) -> None:
        """What is proposed is enough for the lightest endpoint, and what no table can do is not promised."""
        for heavy, remedy in (
            (200_000, "with the largest one, tableSize: 4999999, the lightest has about 25"),
            (200_000_000, "with the largest one, tableSize: 4999999, the lightest has about 0.025"),
        ):
            shortage = MaglevBuilder().build([*endpoints(1, 0, weight=heavy), *endpoints(2, 1)]).shortage(2.0)
            assert shortage is not None
            self.assertEqual(shortage.remedy, remedy)
