"""RANDOM and LEAST_REQUEST draw endpoints with the odds that Envoy gives them."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from meshproxy.interfaces import ILoadBalancer, ILoadBalancerBuilder, IObservesLoad
from meshproxy.strategies import least_request, random_choice
from meshproxy.strategies.least_request import LeastRequest
from meshproxy.strategies.random_choice import RandomChoice
from tests.properties import steady
from tests.strategies.scenarios import Host


def _hosts(weights: list[int]) -> list[Host]:
    return [Host(str(number), weight) for number, weight in enumerate(weights)]


def _idle(host: Host) -> int:
    return 0


class RandomTests(SynchronousTestCase):
    def test_first_attempt(self) -> None:
        """The first attempt takes the random number as it is, whatever the weights."""
        balancer = RandomChoice(_hosts([1, 5, 1]))
        self.assertEqual([balancer.pick(number, 0).key for number in range(4)], ["0", "1", "2", "0"])

    def test_independent_attempts(self) -> None:
        """What the first attempt drew says nothing about the second: all pairs are equally likely."""
        source = Random(1)
        balancer = RandomChoice(_hosts([1, 1, 1]))
        pairs = Counter()
        for _ in range(9000):
            number = source.getrandbits(64)
            pairs[balancer.pick(number, 0), balancer.pick(number, 1)] += 1
        self.assertEqual(len(pairs), 9)
        self.assertTrue(all(850 < count < 1150 for count in pairs.values()), pairs)


class LeastRequestTests(SynchronousTestCase):
    def test_one_busy_of_two(self) -> None:
        """Of two endpoints the busy one still gets a quarter, because both draws may fall on it."""
        source = Random(2)
        first, second = _hosts([1, 1])
        balancer = LeastRequest([first, second], 0)
        picked = Counter(
            balancer.pick_with_load(source.getrandbits(64), 0, {first: 1, second: 0}.__getitem__) for _ in range(4000)
        )
        self.assertTrue(900 < picked[first] < 1100, picked)

    def test_tie_goes_to_the_first_draw(self) -> None:
        """Equal loads leave the first draw, which is the number's lower part."""
        balancer = LeastRequest(_hosts([1, 1]), 0)
        self.assertEqual(balancer.pick_with_load(1, 0, lambda host: 3).key, "1")
        self.assertEqual(balancer.pick_with_load(1, 0, lambda host: int(host.key)).key, "0")

    def test_independent_attempts(self) -> None:
        """A further attempt may well draw another endpoint, as often as chance has it."""
        source = Random(3)
        balancer = LeastRequest(_hosts([1, 1, 1, 1]), 0)
        numbers = [source.getrandbits(64) for _ in range(4000)]
        same = sum(
            balancer.pick_with_load(number, 0, _idle) == balancer.pick_with_load(number, 1, _idle) for number in numbers
        )
        self.assertTrue(900 < same < 1100, same)

    def test_weights(self) -> None:
        """Idle endpoints of different weights share requests by weight."""
        balancer = LeastRequest(_hosts([1, 3]), 0)
        picked = Counter(balancer.pick_with_load(0, 0, _idle).key for _ in range(400))
        self.assertEqual(picked, {"0": 100, "1": 300})

    def test_weights_under_load(self) -> None:
        """Requests in flight divide the weight: 3 with two in flight is as much as 1 that is idle."""
        light, heavy = _hosts([1, 3])
        balancer = LeastRequest([light, heavy], 0)
        picked = Counter(balancer.pick_with_load(0, 0, {light: 0, heavy: 2}.__getitem__) for _ in range(400))
        self.assertTrue(abs(picked[light] - 200) <= 2, picked)


class DrawingTests(SynchronousTestCase):
    def test_interfaces(self) -> None:
        """Builders and balancers provide what they say; equal settings make equal builders."""
        for module in (least_request, random_choice):
            builder = module.from_config(None)
            verifyObject(ILoadBalancerBuilder, builder)
            verifyObject(ILoadBalancer, builder.build(_hosts([1])))
            self.assertEqual(builder, module.from_config(None))
        verifyObject(IObservesLoad, LeastRequest(_hosts([1]), 0))

    def test_no_endpoints(self) -> None:
        """Without endpoints there is none to pick, and there are no candidates."""
        for balancer in (RandomChoice([]), LeastRequest([], 0)):
            self.assertIsNone(balancer.pick(7, 0))
            self.assertEqual(list(balancer.candidates(7)), [])
        self.assertIsNone(LeastRequest([], 0).pick_with_load(7, 0, _idle))

    @steady
    @given(st.integers(1, 9), st.booleans(), st.integers(0, 2**64 - 1))
    def test_candidates(self, count: int, weighted: bool, number: int) -> None:
        """Candidates are all endpoints, each once, in the order in which attempts would draw them."""
        hosts = _hosts([1 + (index if weighted else 0) for index in range(count)])
        for balancer in (RandomChoice(hosts), LeastRequest(hosts, 5)):
            candidates = list(balancer.candidates(number))
            self.assertCountEqual(candidates, hosts)
            self.assertEqual(candidates[0], balancer.pick(number, 0))
