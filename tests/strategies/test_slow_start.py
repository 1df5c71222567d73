"""New hosts start slowly, as Envoy's do."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.strategies.slow_start import factor
from tests.vectors import load


class SlowStartTests(SynchronousTestCase):
    def test_stated(self) -> None:
        """Every stated age has the stated factor."""
        for case in load("unit-roundrobin")["slow_start"]:
            found = factor(case["age_ms"], case["window_ms"], case["aggression"], case["min_percent"])
            self.assertEqual(found, case["factor"])

    def test_end_of_window(self) -> None:
        """From the window's end on nothing is reduced."""
        self.assertEqual(factor(60000, 60000), 1.0)
        self.assertLess(factor(59999, 60000), 1.0)

    def test_aggression(self) -> None:
        """Aggression takes the root of the elapsed part; what is no positive number counts as 1."""
        self.assertEqual(factor(25, 100, 2.0), 0.5)
        for odd in (0.0, -1.0, float("nan")):
            self.assertEqual(factor(25, 100, odd), 0.25)
