"""Shares are computed in Envoy's order of operations, to the last bit."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.strategies import shares


class SharesTests(SynchronousTestCase):
    def test_flat(self) -> None:
        """A share is the weight's part of the sum, in configuration order."""
        self.assertEqual(shares.flat([("a", 1), ("b", 3)]), [("a", 0.25), ("b", 0.75)])
        self.assertEqual(shares.flat([]), [])

    def test_order_of_operations(self) -> None:
        """The weight is multiplied by its locality's share first and divided then, which decides the last bit."""
        found = shares.by_locality([(3, [("a", 1), ("b", 6)]), (7, [("c", 1)])])
        self.assertEqual([share for _, share in found], [0.04285714285714286, 0.2571428571428571, 0.7])
        self.assertNotEqual(found[0][1], 1 / 7 * (3 / 10))

    def test_localities_of_weight_0(self) -> None:
        """Localities of weight 0 are left out with their hosts; all of them leave none."""
        self.assertEqual(shares.by_locality([(0, [("a", 1)]), (2, [("b", 9)])]), [("b", 1.0)])
        self.assertEqual(shares.by_locality([(0, [("a", 1)]), (0, [("b", 1)])]), [])
