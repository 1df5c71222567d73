"""Health, priorities and panic come to the endpoints that Envoy would choose from."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from meshproxy.availability import AvailableBuilder, Health
from meshproxy.interfaces import IContinues, ILoadBalancer, ILoadBalancerBuilder, IObservesLoad
from meshproxy.model import Endpoint
from meshproxy.policies import Localities
from meshproxy.selection import after
from meshproxy.strategies.least_request import LeastRequestBuilder
from meshproxy.strategies.maglev import MaglevBuilder
from meshproxy.strategies.random_choice import RandomChoiceBuilder
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.strategies.round_robin import RoundRobin, RoundRobinBuilder
from tests.properties import steady

BITS = Random(3).getrandbits
SIMPLE = (RoundRobinBuilder(BITS), LeastRequestBuilder(BITS), RandomChoiceBuilder(BITS))
HASHING = (RingHashBuilder(), MaglevBuilder(251))
NEAR_FIRST = Localities("eu/a", by_distance=True)


def endpoints(count: int, place: str = "eu/a", first: int = 1) -> list[Endpoint]:
    return [Endpoint("10.0.0.1", port, locality=place) for port in range(first, first + count)]


def failed(*those: Endpoint) -> dict[Endpoint, Health]:
    return dict.fromkeys(those, Health.UNHEALTHY)


def picks(balancer: Any, count: int = 400) -> Counter[Endpoint | None]:
    """What independent random numbers are answered with; all endpoints are idle."""
    numbers = [Random(number).getrandbits(64) for number in range(count)]
    if IObservesLoad.providedBy(balancer):
        return Counter(balancer.pick_with_load(number, 0, lambda _: 0) for number in numbers)
    return Counter(balancer.pick(number, 0) for number in numbers)


class OnePriorityTests(SynchronousTestCase):
    def test_as_if_alone(self) -> None:
        """One priority in good health has the very balancer of the strategy, which knows nothing of priorities."""
        for inner in (*SIMPLE, *HASHING):
            builder = AvailableBuilder(inner)
            verifyObject(ILoadBalancerBuilder, builder)
            self.assertIs(type(builder.build(endpoints(3))), type(inner.build(endpoints(3))))

    def test_unhealthy(self) -> None:
        """Endpoints that fail are not chosen."""
        every = endpoints(4)
        for inner in (*SIMPLE, *HASHING):
            found = AvailableBuilder(inner, panic_threshold=0).build_for(every, failed(*every[:3]))
            self.assertEqual(set(picks(found)), {every[3]}, inner)

    def test_panic(self) -> None:
        """Where fewer are healthy than the threshold says, all are chosen; at the threshold they are not."""
        every = endpoints(4)
        for inner in (*SIMPLE, *HASHING):
            builder = AvailableBuilder(inner, panic_threshold=50)
            self.assertEqual(set(picks(builder.build_for(every, failed(*every[:3])))), set(every), inner)
            self.assertEqual(set(picks(builder.build_for(every, failed(*every[:2])))), set(every[2:]), inner)

    def test_draining(self) -> None:
        """What drains is as if it were not there: no share of the others' health, and not reached by panic."""
        every = endpoints(4)
        for inner in (*SIMPLE, *HASHING):
            builder = AvailableBuilder(inner, panic_threshold=50)
            drained = dict.fromkeys(every[:2], Health.DRAINING)
            self.assertEqual(set(picks(builder.build_for(every, drained))), set(every[2:]), inner)
            # One of the other two is just enough not to panic; when none is left, both are used, and no other one.
            one_left = {**failed(every[2]), **drained}
            self.assertEqual(set(picks(builder.build_for(every, one_left))), {every[3]}, inner)
            self.assertEqual(set(picks(builder.build_for(every, {**one_left, **failed(every[3])}))), set(every[2:]))

    def test_nobody(self) -> None:
        """With all endpoints failed and no threshold, and without endpoints, there is none."""
        every = endpoints(2)
        for inner in (*SIMPLE, *HASHING):
            builder = AvailableBuilder(inner, panic_threshold=0)
            self.assertEqual(set(picks(builder.build_for(every, failed(*every)), 5)), {None}, inner)
            self.assertEqual(set(picks(builder.build(()), 5)), {None}, inner)

    def test_degraded(self) -> None:
        """Degraded endpoints serve where healthy ones are too few, but never those that go by hash."""
        every = endpoints(2)
        worse = {every[0]: Health.UNHEALTHY, every[1]: Health.DEGRADED}
        for inner in SIMPLE:
            self.assertEqual(set(picks(AvailableBuilder(inner).build_for(every, worse), 50)), {every[1]}, inner)
        for inner in HASHING:
            self.assertEqual(set(picks(AvailableBuilder(inner).build_for(every, worse), 50)), {None}, inner)
        many = endpoints(10)
        mixed = {many[0]: Health.DEGRADED, **failed(*many[1:6])}
        found = picks(AvailableBuilder(SIMPLE[2]).build_for(many, mixed), 4000)
        # 56% for four healthy ones of ten, 14% for the degraded one, and both are all that there is.
        self.assertApproximates(found[many[0]] / 4000, 0.2, 0.03)


class PriorityTests(SynchronousTestCase):
    near, far = endpoints(2), endpoints(2, "us", 11)

    def build(self, inner: ILoadBalancerBuilder, *those: Endpoint, threshold: int = 0) -> Any:
        builder = AvailableBuilder(inner, NEAR_FIRST, threshold)
        return builder.build_for([*self.near, *self.far], failed(*those))

    def test_interfaces(self) -> None:
        """What chooses among priorities goes by hash or load as what it chooses with does."""
        for inner in (*SIMPLE, *HASHING):
            found = self.build(inner)
            verifyObject(ILoadBalancer, found)
            verifyObject(IContinues, found)
            self.assertEqual(found.uses_hash, inner in HASHING)
            self.assertEqual(IObservesLoad.providedBy(found), IObservesLoad.providedBy(inner.build(self.near)))

    def test_healthy(self) -> None:
        """While the first priority is well it gets everything."""
        for inner in (*SIMPLE, *HASHING):
            self.assertEqual(set(picks(self.build(inner))), set(self.near), inner)

    def test_failing_over(self) -> None:
        """With one of two endpoints failed, the first priority gets 70 percent, the second the rest."""
        for inner in (*SIMPLE, *HASHING):
            found = picks(self.build(inner, self.near[0]), 4000)
            self.assertEqual(found[self.near[0]], 0, inner)
            self.assertApproximates(found[self.near[1]] / 4000, 0.7, 0.04)
            for endpoint in self.far:
                self.assertApproximates(found[endpoint] / 4000, 0.15, 0.06)

    def test_failed(self) -> None:
        """With the first priority failed the second gets everything; with both, nobody, or all that panic."""
        for inner in (*SIMPLE, *HASHING):
            self.assertEqual(set(picks(self.build(inner, *self.near))), set(self.far), inner)
            everyone = (*self.near, *self.far)
            self.assertEqual(set(picks(self.build(inner, *everyone), 9)), {None}, inner)
            self.assertEqual(set(picks(self.build(inner, *everyone, threshold=1))), set(everyone), inner)

    def test_hash_decides(self) -> None:
        """The hash itself decides on the priority, so a session stays in it, also over retries."""
        for inner in HASHING:
            found = self.build(inner, self.near[0])
            for number in (69, 169, 70, 99):
                wanted = self.near if number % 100 < 70 else self.far
                self.assertTrue(all(found.pick(number, attempt) in wanted for attempt in range(6)), number)
            self.assertIs(after([self.near[1]] * 2, found), found)

    def test_random_number_that_chose_the_priority(self) -> None:
        """It does not restrict which endpoints of the priority are chosen by load."""
        near, far = endpoints(100), endpoints(100, "us", 1001)
        inner = LeastRequestBuilder(BITS)
        found = AvailableBuilder(inner, NEAR_FIRST, 0).build_for([*near, *far], failed(*near[:50]))
        self.assertEqual(set(picks(found, 20000)), {*near[50:], *far})

    def test_place(self) -> None:
        """Where a hash falls is told with its priority."""
        found = self.build(HASHING[1], self.near[0])
        self.assertEqual(found.locate(99), {"priority": 1, "slot": 99, "of": 251})
        self.assertEqual(found.locate(4)["priority"], 0)

    def test_candidates(self) -> None:
        """Every endpoint that may be chosen is a candidate once, those of the priority of the hash first."""
        for inner in (*SIMPLE, *HASHING):
            found = list(self.build(inner, self.near[0]).candidates(99))
            self.assertEqual((set(found[:2]), found[2:]), (set(self.far), [self.near[1]]), inner)

    def test_retries(self) -> None:
        """A retry for other localities goes to another priority after two tries, and back when none is left."""
        found = self.build(SIMPLE[0])
        near, far = self.near[0], self.far[0]
        for tried, wanted in (
            ([near], self.near),
            ([near, near], self.far),
            ([near, near, far], self.far),
            ([near, near, far, far], self.near),
            ([near, near, far, far, near, near], self.far),
        ):
            self.assertEqual(set(picks(after(tried, found), 20)), set(wanted), tried)
        single = AvailableBuilder(SIMPLE[0]).build(self.near)
        self.assertIs(after([near, near], single), single)

    def test_phase(self) -> None:
        """A rotation goes on where it stood, in each priority, when the health of others changes."""
        before = self.build(RoundRobinBuilder(lambda bits: 0))
        later = self.build(RoundRobinBuilder(lambda bits: 5))
        self.assertIs(before.pick(0, 0), self.near[0])
        later.continue_from(before)
        self.assertIs(later.pick(0, 0), self.near[1])
        self.assertIsInstance(later.balancers[1], RoundRobin)


class LocalityTests(SynchronousTestCase):
    first, second = endpoints(4, "eu/a"), endpoints(4, "eu/b", 11)
    weighted = Localities(weighted=True, shares=(("eu/a", 75), ("eu/b", 25)))

    def shares(self, inner: ILoadBalancerBuilder, *those: Endpoint, threshold: int = 0) -> float:
        """What part of many picks the first locality gets."""
        found = AvailableBuilder(inner, self.weighted, threshold).build_for([*self.first, *self.second], failed(*those))
        counts = picks(found, 4000)
        return sum(counts[endpoint] for endpoint in self.first) / 4000

    def test_weights(self) -> None:
        """Healthy localities get what they are to get."""
        for inner in (*SIMPLE, *HASHING):
            self.assertApproximates(self.shares(inner), 0.75, 0.08)

    def test_missing_endpoints(self) -> None:
        """One that lacks half of its endpoints weighs 0.7 of that, but not where a hash decides."""
        for inner in SIMPLE:
            self.assertApproximates(self.shares(inner, *self.first[:2]), 52.5 / 77.5, 0.03)
        for inner in HASHING:
            self.assertApproximates(self.shares(inner, *self.first[:2]), 0.75, 0.08)

    def test_no_endpoints_left(self) -> None:
        """One without endpoints gets nothing."""
        for inner in (*SIMPLE, *HASHING):
            self.assertEqual(self.shares(inner, *self.first), 0.0, inner)

    def test_empty_locality_on_a_ring(self) -> None:
        """Its weight still counts when the others' shares of a ring are worked out, as in Envoy."""
        ring = AvailableBuilder(RingHashBuilder(), self.weighted, 0)
        found: Any = ring.build_for([*self.first, *self.second], failed(*self.first))
        alone: Any = ring.build(self.second)
        self.assertEqual((found.describe()["size"], alone.describe()["size"]), (1024, 1024))
        self.assertEqual(found.describe()["max_hashes_per_host"], 64)

    def test_panic(self) -> None:
        """In panic the simple balancers forget about localities."""
        most = (*self.first, *self.second[:3])
        self.assertApproximates(self.shares(SIMPLE[2], *most, threshold=50), 0.5, 0.04)


class EjectionPropertyTests(SynchronousTestCase):
    """What becomes of the sessions of the others when an endpoint is ejected."""

    def moved(self, inner: ILoadBalancerBuilder, count: int, which: int) -> float:
        """The part of the other endpoints' keys that move; checks that the ejected one keeps none and gets all back."""
        every = endpoints(count)
        gone = every[which % count]
        builder = AvailableBuilder(inner, panic_threshold=0)
        before, now, back = (owners(builder.build_for(every, failed(*those))) for those in ((), (gone,), ()))
        self.assertNotIn(gone, now)
        self.assertEqual(back, before)
        others = [(old, new) for old, new in zip(before, now, strict=True) if old is not gone]
        return sum(old is not new for old, new in others) / len(others)

    @steady
    @given(st.integers(2, 30), st.integers(0, 29))
    def test_ring(self, count: int, which: int) -> None:
        """On a ring whose endpoints have as many entries as before, only the ejected endpoint's keys move."""
        self.assertEqual(self.moved(RingHashBuilder(1), count, which), 0.0)

    @steady
    @given(st.integers(2, 12), st.integers(0, 11))
    def test_ring_of_least_size(self, count: int, which: int) -> None:
        """On a ring that the others have to fill up to its least size, some keys go to what was added, as in Envoy."""
        self.assertLess(self.moved(RingHashBuilder(), count, which), 0.2)

    @steady
    @given(st.integers(2, 12), st.integers(0, 11))
    def test_table(self, count: int, which: int) -> None:
        """In a table hardly any key of another endpoint moves."""
        self.assertLess(self.moved(MaglevBuilder(2503), count, which), 0.03)


def owners(balancer: ILoadBalancer) -> list[Endpoint | None]:
    """What 1000 keys are answered with."""
    return [balancer.pick(Random(number).getrandbits(64), 0) for number in range(1000)]
