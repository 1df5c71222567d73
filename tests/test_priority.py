"""Priorities get the loads that Envoy gives them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Endpoint
from meshproxy.priority import Level, Loads, loads_after, spread
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


class RetryTests(SynchronousTestCase):
    def order(self, levels: list[Level], frequency: int, tries: int) -> list[tuple[int, ...]]:
        """The healthy loads of each try, where every try uses an endpoint of the priority with most load."""
        hosts = [Endpoint(f"10.0.{number}.1", 80) for number in range(len(levels))]
        number_of = {host: number for number, host in enumerate(hosts)}
        usual, tried, found = spread(levels, 0), [], []
        for _ in range(tries):
            loads = loads_after(tried, levels, usual, number_of.get, frequency)
            self.assertEqual(sum(loads.healthy + loads.degraded), 100)
            found.append(loads.healthy)
            tried.append(hosts[max(range(len(levels)), key=loads.healthy.__getitem__)])
        return found

    def test_each_try_elsewhere(self) -> None:
        """With frequency 1 each try leaves out the priorities of those before it; then all are there again."""
        levels = [Level(2, 0, 2)] * 3
        first, second, third = (100, 0, 0), (0, 100, 0), (0, 0, 100)
        self.assertEqual(self.order(levels, 1, 5), [first, second, third, first, second])

    def test_two_tries_each(self) -> None:
        """With frequency 2 it takes two tries, and what was worked out then holds for the third."""
        levels = [Level(2, 0, 2)] * 2
        first, second = (100, 0), (0, 100)
        self.assertEqual(self.order(levels, 2, 7), [first, first, second, second, first, first, second])

    def test_what_is_left(self) -> None:
        """What the others have is scaled up, and rounding goes to the first of them."""
        levels = [Level(1, 0, 2), Level(1, 0, 7), Level(1, 0, 7)]
        self.assertEqual(self.order(levels, 1, 2)[1], (0, 50, 50))
        uneven = [Level(3, 0, 3), Level(1, 0, 5), Level(1, 0, 9)]
        self.assertEqual(self.order(uneven, 1, 2)[1], (0, 66, 34))

    def test_nothing_available(self) -> None:
        """Where no priority has a healthy endpoint, the loads are as they are without tries."""
        levels = [Level(0, 0, 2)] * 2
        self.assertEqual(self.order(levels, 1, 3), [(100, 0)] * 3)
