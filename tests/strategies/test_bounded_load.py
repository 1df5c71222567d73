"""Overloaded endpoints are passed over in Envoy's order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from meshproxy.interfaces import ILoadBalancer, ILoadBalancerBuilder, IObservesLoad
from meshproxy.strategies import shares
from meshproxy.strategies.bounded_load import BoundedLoad, BoundedLoadBuilder, probe_order
from meshproxy.strategies.ring_hash import RingHashBuilder
from tests.properties import steady
from tests.strategies.scenarios import Host
from tests.vectors import load

_HOSTS = [Host(f"h{number}") for number in range(5)]


@implementer(ILoadBalancer)
class ByNumber:
    """Hash n is for host n."""

    uses_hash = True

    def pick(self, hash: int, attempt: int) -> Host:
        return _HOSTS[(hash + attempt) % 5]

    def candidates(self, hash: int) -> None:
        raise NotImplementedError


class BoundedLoadTests(SynchronousTestCase):
    def test_stated_orders(self) -> None:
        """A seed's order of probes is the stated one."""
        for case in load("unit-bounded")["shuffles"]:
            self.assertEqual(list(probe_order(case["seed"], case["hosts"])), case["order"])

    def test_stated_picks(self) -> None:
        """With the stated hosts overloaded the stated host is picked."""
        balancer = BoundedLoad(ByNumber(), shares.of_endpoints(_HOSTS), 100)
        for case in load("unit-bounded")["cases"]:
            overloaded = [_HOSTS[number] for number in case["overloaded"]]
            picked = balancer.pick_with_load(case["hash"], 0, lambda host, busy=overloaded: 50 if host in busy else 0)
            self.assertEqual(picked, _HOSTS[case["picked"]])

    def test_all_overloaded(self) -> None:
        """When all have too much the least loaded one gets it; of equals the first choice."""
        balancer = BoundedLoad(ByNumber(), shares.of_endpoints(_HOSTS), 1)
        self.assertEqual(balancer.pick_with_load(2, 0, lambda host: 9 - (host.key == "h4")), _HOSTS[4])
        self.assertEqual(balancer.pick_with_load(2, 0, lambda host: 9), _HOSTS[2])

    def test_idle(self) -> None:
        """Without load the inner balancer's choice stands, for each attempt."""
        balancer = BoundedLoad(ByNumber(), shares.of_endpoints(_HOSTS), 120)
        for attempt in range(6):
            inner = ByNumber().pick(3, attempt)
            self.assertEqual(balancer.pick_with_load(3, attempt, lambda host: 0), inner)
            self.assertEqual(balancer.pick(3, attempt), inner)

    def test_interfaces(self) -> None:
        """Builder and balancer provide what they say, equal settings are equal, no endpoints are no error."""
        builder = BoundedLoadBuilder(RingHashBuilder(), 120)
        verifyObject(ILoadBalancerBuilder, builder)
        balancer = builder.build([])
        verifyObject(ILoadBalancer, balancer)
        verifyObject(IObservesLoad, balancer)
        self.assertIsNone(balancer.pick_with_load(1, 0, lambda host: 0))
        self.assertEqual(list(balancer.candidates(1)), [])
        self.assertEqual(builder, BoundedLoadBuilder(RingHashBuilder(), 120))

    def test_by_locality(self) -> None:
        """Shares are those of the localities, in the inner balancer and for the load."""
        balancer = BoundedLoadBuilder(RingHashBuilder(), 120).build_by_locality([(3, _HOSTS[:1]), (1, _HOSTS[1:])])
        active = dict.fromkeys(_HOSTS, 0)
        for number in range(200):
            active[balancer.pick_with_load(number << 56 & 2**64 - 1, 0, active.__getitem__)] += 1
        self.assertGreater(active[_HOSTS[0]], 120)
        self.assertEqual(balancer.describe()["hash_balance_factor"], 120)
        self.assertEqual(
            balancer.locate(5), RingHashBuilder().build_by_locality([(3, _HOSTS[:1]), (1, _HOSTS[1:])]).locate(5)
        )

    @steady
    @given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=60), st.integers(101, 200))
    def test_bound(self, hashes: list[int], factor: int) -> None:
        """However requests fall, no endpoint gets more than its slots and one."""
        balancer = BoundedLoadBuilder(RingHashBuilder(50), factor).build(_HOSTS)
        active = dict.fromkeys(_HOSTS, 0)
        for number in hashes:
            active[balancer.pick_with_load(number, 0, active.__getitem__)] += 1
            slots = (sum(active.values()) * factor + 99) // 100
            self.assertLessEqual(max(active.values()), -(-slots // 5) + 1)

    @steady
    @given(st.integers(0, 2**64 - 1))
    def test_candidates(self, hash: int) -> None:
        """Candidates are all endpoints, each once, the inner balancer's choice first."""
        candidates = list(BoundedLoad(ByNumber(), shares.of_endpoints(_HOSTS), 120).candidates(hash))
        self.assertCountEqual(candidates, _HOSTS)
        self.assertEqual(candidates[0], _HOSTS[hash % 5])
