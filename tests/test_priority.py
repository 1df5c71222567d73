"""Priorities get the loads that Envoy gives them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.priority import Level, Loads, spread
from tests.vectors import load


class PriorityTests(SynchronousTestCase):
    def test_loads(self) -> None:
        """Healthy and degraded loads and panic are as stated for every case; they always add up to 100."""
        for case in load("unit-priority")["cases"]:
            loads = spread([Level(*level) for level in case["levels"]], case["threshold"], case["overprovisioning"])
            self.assertEqual(list(loads.healthy), case["healthy"], case)
            if case["degraded"] is not None:
                self.assertEqual(list(loads.degraded), case["degraded"], case)
            if case["panic"] is not None:
                self.assertEqual(list(loads.panic), case["panic"], case)
            self.assertEqual(sum(loads.healthy + loads.degraded), 100, case)

    def test_choice(self) -> None:
        """A hash chooses the stated priority."""
        for case in load("unit-priority")["choose"]:
            loads = Loads(tuple(case["healthy"]), tuple(case["degraded"]), (False, False))
            self.assertEqual(loads.choose(int(case["hash"])), (case["priority"], False), case)

    def test_degraded_choice(self) -> None:
        """Degraded hosts come behind the healthy ones of all priorities."""
        loads = Loads((0, 28), (72, 0), (False, False))
        self.assertEqual([loads.choose(number) for number in (27, 28, 99)], [(1, False), (0, True), (0, True)])

    def test_no_panic_at_threshold_0(self) -> None:
        """With threshold 0 nothing panics: priority 0 gets all and has no usable host."""
        self.assertEqual(spread([Level(0, 0, 3), Level(0, 0, 3)], 0), Loads((100, 0), (0, 0), (False, False)))

    def test_no_hosts(self) -> None:
        """A cluster without hosts has its load at priority 0."""
        self.assertEqual(spread([Level(0, 0, 0)]).healthy, (100,))
