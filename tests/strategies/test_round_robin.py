"""Round robin goes through the endpoints as Envoy does, by weight where weights differ."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from meshproxy.errors import ConfigError
from meshproxy.interfaces import IContinues, ILoadBalancer, ILoadBalancerBuilder
from meshproxy.strategies.edf import Rotation
from meshproxy.strategies.maglev import MaglevBuilder
from meshproxy.strategies.round_robin import RoundRobin, RoundRobinBuilder, from_config
from meshproxy.testing import setting
from tests.properties import steady
from tests.strategies.scenarios import Host
from tests.vectors import load

_WEIGHTS = st.lists(st.integers(1, 30), min_size=1, max_size=8)


def _hosts(weights: list[int]) -> list[Host]:
    return [Host(str(number), weight) for number, weight in enumerate(weights)]


def _turns(balancer: RoundRobin, count: int) -> list[int]:
    return [int(balancer.pick(0, 0).key) for _ in range(count)]


class StatedOrderTests(SynchronousTestCase):
    def test_equal_weights(self) -> None:
        """Endpoints come in configuration order from the stated start."""
        for case in load("unit-roundrobin")["unweighted"]:
            balancer = RoundRobin(_hosts([1] * case["hosts"]), case["seed"])
            self.assertEqual(_turns(balancer, len(case["order"])), case["order"])

    def test_different_weights(self) -> None:
        """Endpoints come in the stated order after as many picks as the seed says."""
        for case in load("unit-roundrobin")["edf"]:
            balancer = RoundRobin(_hosts(case["weights"]), case["seed"])
            self.assertEqual(_turns(balancer, len(case["order"])), case["order"])


class RotationTests(SynchronousTestCase):
    @steady
    @given(_WEIGHTS, st.integers(0, 200))
    def test_jump(self, weights: list[int], seed: int) -> None:
        """The jump to a phase leads to as many picks of each host as single picks from the start, give or take one."""
        whole_turns = sum(weights)
        jumped = Counter(islice(iter(Rotation(weights, seed).pick, None), whole_turns))
        for index, weight in enumerate(weights):
            self.assertLessEqual(abs(jumped[index] - weight), 1, (weights, seed))

    def test_huge_phase(self) -> None:
        """A 64-bit seed leads to a phase in which shares still are those of the weights, but for one swapped tie."""
        rotation = Rotation([3, 2, 1], 2**64 - 1)
        picks = Counter(rotation.pick() for _ in range(600))
        for index, expected in enumerate((300, 200, 100)):
            self.assertLessEqual(abs(picks[index] - expected), 1)

    def test_upcoming(self) -> None:
        """Upcoming hosts are in the order in which they first come, and asking changes nothing."""
        rotation = Rotation([5, 1, 3], 7)
        upcoming = list(rotation.upcoming())
        self.assertEqual(list(dict.fromkeys(rotation.pick() for _ in range(18))), upcoming)


class RoundRobinTests(SynchronousTestCase):
    def test_interfaces(self) -> None:
        """Builder and balancer provide what they say."""
        builder = from_config(None)
        verifyObject(ILoadBalancerBuilder, builder)
        verifyObject(ILoadBalancer, builder.build(_hosts([1, 1])))
        verifyObject(IContinues, builder.build(_hosts([1, 1])))

    def test_no_endpoints(self) -> None:
        """Without endpoints there is none to pick, and there are no candidates."""
        balancer = RoundRobin([], 5)
        self.assertIsNone(balancer.pick(1, 0))
        self.assertEqual(list(balancer.candidates(1)), [])

    @steady
    @given(_WEIGHTS, st.integers(0, 2**64 - 1), st.integers(0, 9))
    def test_candidates(self, weights: list[int], seed: int, turns: int) -> None:
        """Candidates are all endpoints in the order of their next turns; asking for them is no turn."""
        balancer = RoundRobin(_hosts(weights), seed)
        _turns(balancer, turns)
        candidates = [int(host.key) for host in balancer.candidates(0)]
        self.assertEqual(candidates, [int(host.key) for host in balancer.candidates(0)])
        self.assertEqual(len(candidates), len(weights))
        coming = _turns(balancer, 40 * len(weights))
        self.assertEqual(candidates, list(dict.fromkeys(coming)))

    def test_phase_outlives_a_rebuild(self) -> None:
        """With equal weights the next turn after a rebuild is the one that was next."""
        before = RoundRobin(_hosts([1, 1, 1]), 10)
        _turns(before, 4)
        after = RoundRobin(_hosts([1, 1, 1]), 99)
        after.continue_from(before)
        self.assertEqual(_turns(after, 3), _turns(before, 3))

    def test_weighted_order_starts_anew(self) -> None:
        """With different weights a rebuild begins where the first build began, as the seed is the same."""
        before = RoundRobin(_hosts([1, 2]), 1)
        start = _turns(before, 4)
        after = RoundRobin(_hosts([1, 2]), 99)
        after.continue_from(before)
        self.assertEqual(_turns(after, 4), start)

    def test_other_kind(self) -> None:
        """There is nothing to take over from another kind of balancer."""
        balancer = RoundRobin(_hosts([1, 1]), 1)
        balancer.continue_from(MaglevBuilder(7).build(_hosts([1])))
        self.assertEqual(_turns(balancer, 2), [1, 0])

    def test_builders(self) -> None:
        """Builders are equal whatever their source of phases, which is what phases come from."""
        first, second = (RoundRobinBuilder(Random(seed).getrandbits) for seed in (1, 1))
        self.assertEqual(first, from_config(None))
        hosts = _hosts([1] * 1000)
        self.assertEqual(first.build(hosts).pick(0, 0), second.build(hosts).pick(0, 0))
        self.assertNotEqual(first.build(hosts).pick(0, 0), RoundRobin(hosts, 0).pick(0, 0))

    def test_no_settings(self) -> None:
        """There are no settings, so any is refused."""
        self.assertRaises(ConfigError, from_config, setting("{x: 1}"))
