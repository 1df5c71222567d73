"""Tests for balancing among localities."""

from __future__ import annotations

from collections import Counter
from random import Random

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from meshproxy.interfaces import ILoadBalancer, IObservesLoad, IWeighsLocalities
from meshproxy.model import Endpoint
from meshproxy.strategies import least_request, maglev, random_choice, ring_hash, round_robin, shares

FIRST = [Endpoint(f"10.0.0.{number}", 80) for number in (1, 2)]
SECOND = [Endpoint("10.0.1.1", 80)]
LOCALITIES = [(3, FIRST), (1, SECOND)]


def zero(bits: int) -> int:
    return 0


class TurnTests(SynchronousTestCase):
    builders = (
        round_robin.RoundRobinBuilder(zero),
        random_choice.RandomChoiceBuilder(zero),
        least_request.LeastRequestBuilder(zero),
    )

    def test_interfaces(self) -> None:
        """Every bundled builder can weigh localities; what observes the load without them does with them."""
        for builder in (*self.builders, ring_hash.RingHashBuilder(), maglev.MaglevBuilder(251)):
            verifyObject(IWeighsLocalities, builder)
            balancer = builder.build_by_locality(LOCALITIES)
            verifyObject(ILoadBalancer, balancer)
            self.assertEqual(IObservesLoad.providedBy(balancer), IObservesLoad.providedBy(builder.build(FIRST)))

    def test_weights(self) -> None:
        """Localities get turns by their weight, endpoints within one as their balancer has it."""
        for builder in self.builders:
            balancer = builder.build_by_locality(LOCALITIES)
            found = Counter(balancer.pick(number << 5, 0) for number in range(400))
            self.assertEqual(found[SECOND[0]], 100)
        balancer = self.builders[0].build_by_locality(LOCALITIES)
        found = Counter(balancer.pick(0, 0) for _ in range(400))
        self.assertEqual([found[endpoint] for endpoint in FIRST], [150, 150])

    def test_load(self) -> None:
        """Within a locality the one with fewer requests is taken; the load of another one does not count."""
        balancer = self.builders[2].build_by_locality(LOCALITIES)
        load = {FIRST[0]: 5, FIRST[1]: 0, SECOND[0]: 100}
        number = Random(1).getrandbits
        found = Counter(balancer.pick_with_load(number(64), 0, load.__getitem__) for _ in range(800))
        self.assertEqual(found[SECOND[0]], 200)
        self.assertLess(found[FIRST[0]], found[FIRST[1]] / 2)

    def test_candidates(self) -> None:
        """All endpoints are candidates, each once."""
        for builder in (*self.builders, ring_hash.RingHashBuilder(), maglev.MaglevBuilder(251)):
            found = list(builder.build_by_locality(LOCALITIES).candidates(7))
            self.assertEqual(sorted(found, key=str), sorted([*FIRST, *SECOND], key=str))

    def test_none(self) -> None:
        """Without localities there is no endpoint."""
        for builder in (*self.builders, ring_hash.RingHashBuilder(), maglev.MaglevBuilder(251)):
            balancer = builder.build_by_locality([])
            self.assertIsNone(balancer.pick(1, 0))
            self.assertEqual(list(balancer.candidates(1)), [])


class HashTests(SynchronousTestCase):
    def test_entries(self) -> None:
        """Entries on a ring and in a table are in proportion to the shares of the localities."""
        heavy = [Endpoint("10.0.0.1", 80, 3), Endpoint("10.0.0.2", 80)]
        expected = dict(shares.of_localities([(1, heavy), (1, SECOND)]))
        self.assertEqual([expected[it] for it in (*heavy, *SECOND)], [0.375, 0.125, 0.5])
        table = maglev.MaglevBuilder(4099).build_by_locality([(1, heavy), (1, SECOND)])
        ring = ring_hash.RingHashBuilder(4096).build_by_locality([(1, heavy), (1, SECOND)])
        for balancer, slots in ((table, 4099), (ring, 1 << 14)):
            step = 1 if balancer is table else (1 << 64) // slots
            found = Counter(balancer.pick(number * step, 0) for number in range(slots))
            for endpoint, share in expected.items():
                self.assertApproximates(found[endpoint] / slots, share, 0.04)
