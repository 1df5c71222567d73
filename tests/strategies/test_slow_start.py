"""New hosts start slowly, as Envoy's do."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from meshproxy.interfaces import IWarmsUp
from meshproxy.model import Endpoint
from meshproxy.policies import Warmup
from meshproxy.strategies.least_request import LeastRequestBuilder
from meshproxy.strategies.round_robin import RoundRobinBuilder
from meshproxy.strategies.slow_start import factor, factors
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


class WarmingTests(SynchronousTestCase):
    hosts = (Endpoint("10.0.0.1", 1), Endpoint("10.0.0.1", 2, weight=2), Endpoint("10.0.0.1", 3))

    def test_factors(self) -> None:
        """Ages are in seconds, and the settings are those of the warmup."""
        of = factors(Warmup(10, 2.0, 20), {1: 2.5, 2: 0.0, 3: 10.0}.__getitem__)
        self.assertEqual([of(age) for age in (1, 2, 3)], [0.5, 0.2, 1.0])  # type: ignore[arg-type]

    def test_builders(self) -> None:
        """What can warm up does so by rotation while some endpoint is new, and as ever when none is."""
        for builder in (RoundRobinBuilder(lambda bits: 0), LeastRequestBuilder(lambda bits: 0)):
            verifyObject(IWarmsUp, builder)
            ages = dict.fromkeys(self.hosts, 100.0)
            warming = builder.warming(Warmup(10), ages.__getitem__)
            self.assertEqual(warming, builder)
            ages[self.hosts[0]] = 0.0
            balancer = warming.build((self.hosts[0], self.hosts[2]))
            found = [balancer.pick(0, 0) for _ in range(1100)]
            self.assertApproximates(found.count(self.hosts[0]), 100, 2)
            ages[self.hosts[0]] = 100.0
            balancer = warming.build(self.hosts)
            found = [balancer.pick(0, 0) for _ in range(400)]
            self.assertEqual([found.count(host) for host in self.hosts], [100, 200, 100])

    def test_by_locality(self) -> None:
        """Within localities too."""
        ages = {self.hosts[0]: 0.0, self.hosts[1]: 100.0, self.hosts[2]: 100.0}
        warming = RoundRobinBuilder(lambda bits: 0).warming(Warmup(10), ages.__getitem__)
        balancer = warming.build_by_locality([(1, (self.hosts[0], self.hosts[2])), (1, (self.hosts[1],))])
        found = [balancer.pick(0, 0) for _ in range(2200)]
        self.assertApproximates(found.count(self.hosts[0]), 100, 2)
