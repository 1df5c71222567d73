"""Work in steps."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.strategies import maglev, ring_hash
from meshproxy.strategies.steps import Steps, finished, in_order

_MANY = 5_000


def _count(steps: Steps[object]) -> int:
    return sum(1 for _ in steps)


class StepsTests(SynchronousTestCase):
    """``steps``."""

    def test_in_order(self) -> None:
        """Keys are sorted as bytes, however many there are."""
        for count in (0, 1, 256, 257, 1_000):
            keys = [b"%d" % (number * 7919 % 1_009) for number in range(count)]
            self.assertEqual(finished(in_order(keys)), sorted(range(count), key=keys.__getitem__), count)

    def test_hosts(self) -> None:
        """What is done for each host takes the more steps the more hosts there are, even if their table is small."""
        hosts = [(f"10.0.{number >> 8}.{number & 255}:80", 1 / _MANY) for number in range(_MANY)]
        # Keys, their order in two passes, and two hashes; counts, and hashes.
        self.assertGreater(_count(maglev.table_steps(hosts, 11)), 5 * (_MANY // 256))
        self.assertGreater(_count(ring_hash.ring_steps(hosts, 1, 1, "xxhash64")), _MANY // 256)
