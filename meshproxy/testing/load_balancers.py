"""The contract of load balancers, as a test case that anybody's load balancer can be put through."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from zope.interface.verify import verifyObject

from meshproxy.explain.keyspace import least_movement, movement, sample_hashes, shares
from meshproxy.hashing import MASK
from meshproxy.interfaces import (
    IBoundsLoad,
    IBuildsInSteps,
    IContinues,
    IDescribes,
    IForeseesShares,
    IHasTable,
    ILoadBalancer,
    ILoadBalancerBuilder,
    ILocatesHash,
    IObservesLoad,
    IWarmsUp,
    IWeighsLocalities,
)
from meshproxy.model import Endpoint
from meshproxy.testing.elsewhere import decided_elsewhere
from meshproxy.testing.operations import count_operations

if TYPE_CHECKING:
    from unittest import TestCase as _TestCase
else:
    _TestCase = object

_OPTIONAL = (IObservesLoad, IContinues, IDescribes, IForeseesShares, IHasTable, IBuildsInSteps, ILocatesHash)
_ATTEMPTS = 8
_SOME, _MANY = 10, 1_000
_WEIGHTS = (1, 2, 3, 4)


def sample_endpoints(count: int, weights: Sequence[int] = (1,)) -> tuple[Endpoint, ...]:
    """``10.0.0.0:8080`` and its successors, with these weights in turn."""
    return tuple(
        Endpoint(f"10.0.{number >> 8}.{number & 255}", 8080, weights[number % len(weights)]) for number in range(count)
    )


class LoadBalancerContract(_TestCase):
    """Mix this into a ``unittest.TestCase`` that says how to make the builder, and what the strategy claims::

    class RendezvousTests(LoadBalancerContract, TestCase):
        most_loaded = 1.1
        most_movement = 1.0
        order_matters = False

        def make_builder(self):
            return RendezvousBuilder()
    """

    most_loaded: float | None = None
    """How many times its share, by weight, an endpoint may get of all hashes, with 10 endpoints; None: no claim."""

    most_movement: float | None = None
    """How much may move when one of 10 endpoints leaves or comes, in multiples of what has to; None: no claim."""

    order_matters = True
    """False: it does not depend on the order of the endpoints which of them a hash belongs to."""

    most_operations = 1_000
    """How many instructions one pick among 1,000 endpoints may execute."""

    samples = 20_000
    """How many hashes are looked at for shares and movement."""

    def make_builder(self) -> ILoadBalancerBuilder:
        """The builder. It is asked for again and again, and is to have the same settings each time."""
        raise NotImplementedError(f"{type(self).__name__} has to define make_builder")

    def decisions(self) -> list[list[str]]:
        """What is compared between processes: the candidates of some hashes, of a balancer that goes by hashes."""
        balancer = self.make_builder().build(sample_endpoints(_SOME, _WEIGHTS))
        if not balancer.uses_hash:
            return []
        return [[endpoint.key for endpoint in balancer.candidates(number)] for number in self._hashes(10)]

    def _hashes(self, count: int = 50) -> list[int]:
        return [0, 1, MASK, *sample_hashes(count)]

    def _balancers(self) -> list[tuple[tuple[Endpoint, ...], ILoadBalancer]]:
        """Balancers for one, for a few and for some endpoints, and for some of different weights."""
        builder = self.make_builder()
        sets = [sample_endpoints(1), sample_endpoints(3), sample_endpoints(4, _WEIGHTS), sample_endpoints(_SOME)]
        return [(endpoints, builder.build(endpoints)) for endpoints in sets]

    def test_interfaces(self) -> None:
        """Builder and balancer have all that their interfaces ask for, optional ones included."""
        builder = self.make_builder()
        verifyObject(ILoadBalancerBuilder, builder)
        for extra in (IWeighsLocalities, IWarmsUp, IBoundsLoad):
            if extra.providedBy(builder):
                verifyObject(extra, builder)
        for _, balancer in self._balancers():
            verifyObject(ILoadBalancer, balancer)
            self.assertIsInstance(balancer.uses_hash, bool)
            for optional in _OPTIONAL:
                if optional.providedBy(balancer):
                    verifyObject(optional, balancer)

    def test_no_endpoints(self) -> None:
        """Without endpoints there is none to pick and there are no candidates; that is no error."""
        balancer = self.make_builder().build(())
        for attempt in range(_ATTEMPTS):
            self.assertIsNone(balancer.pick(7, attempt))
        self.assertEqual(list(balancer.candidates(7)), [])
        if IObservesLoad.providedBy(balancer):
            self.assertIsNone(IObservesLoad(balancer).pick_with_load(7, 0, lambda endpoint: 0))

    def test_picks(self) -> None:
        """Every pick, at each attempt, is one of the endpoints."""
        for endpoints, balancer in self._balancers():
            for number in self._hashes():
                for attempt in range(_ATTEMPTS):
                    self.assertIn(balancer.pick(number, attempt), endpoints, f"hash {number}, attempt {attempt}")

    def test_candidates(self) -> None:
        """Candidates are all endpoints, each once, and begin with what is picked next."""
        for endpoints, balancer in self._balancers():
            for number in self._hashes(20):
                found = list(balancer.candidates(number))
                self.assertEqual(sorted(found, key=_key), sorted(endpoints, key=_key), f"hash {number}")
                self.assertEqual(balancer.pick(number, 0), found[0], f"hash {number}: candidates and pick disagree")

    def test_asking_changes_nothing(self) -> None:
        """Candidates are the same when they are asked for again, and when somebody stops in the middle."""
        for _, balancer in self._balancers():
            for number in self._hashes(10):
                first = list(balancer.candidates(number))
                next(balancer.candidates(number))
                self.assertEqual(list(balancer.candidates(number)), first, f"hash {number}")

    def test_sticky(self) -> None:
        """A balancer that goes by hashes, but not by load, picks the same for a hash whatever was asked between."""
        for _, balancer in self._balancers():
            if balancer.uses_hash and not IObservesLoad.providedBy(balancer):
                numbers = self._hashes()
                first = [balancer.pick(number, attempt) for number in numbers for attempt in range(3)]
                again = [balancer.pick(number, attempt) for number in numbers[::-1] for attempt in (2, 1, 0)]
                self.assertEqual(again[::-1], first)

    def test_build(self) -> None:
        """What is built depends on the endpoints alone: it is the same again, from a list too, which is not changed."""
        endpoints = list(sample_endpoints(_SOME, _WEIGHTS))
        given = list(endpoints)
        first, second = self.make_builder().build(given), self.make_builder().build(tuple(endpoints))
        self.assertEqual(given, endpoints, "build changed the list of endpoints")
        if first.uses_hash:
            for number in self._hashes():
                self.assertEqual(list(first.candidates(number)), list(second.candidates(number)), f"hash {number}")

    def test_equal(self) -> None:
        """Builders with the same settings are equal, so that a reload sees that nothing changed."""
        self.assertEqual(self.make_builder(), self.make_builder())

    def test_other_process(self) -> None:
        """Another process, and so another worker or machine, picks the same endpoints."""
        found = decided_elsewhere(self)
        if found is not None:
            self.assertEqual(found, self.decisions())

    def test_order(self) -> None:
        """Where the order of endpoints is said not to matter, it does not."""
        if not self.order_matters:
            endpoints = sample_endpoints(_SOME, _WEIGHTS)
            first = self.make_builder().build(endpoints)
            for other in (endpoints[::-1], (*endpoints[3:], *endpoints[:3])):
                second = self.make_builder().build(other)
                for number in self._hashes():
                    self.assertEqual(first.pick(number, 0), second.pick(number, 0), f"hash {number}")

    def test_balance(self) -> None:
        """No endpoint gets more than ``most_loaded`` times its share, whether weights are equal or not."""
        if self.most_loaded is not None:
            for weights in ((1,), _WEIGHTS):
                endpoints = sample_endpoints(_SOME, weights)
                balancer = self.make_builder().build(endpoints)
                found = shares(balancer, endpoints, sample_hashes(self.samples)).most_loaded
                self.assertLessEqual(found, self.most_loaded, f"weights {weights}")

    def test_movement(self) -> None:
        """When an endpoint leaves or comes, no more than ``most_movement`` times what has to moves to another one."""
        if self.most_movement is not None:
            endpoints = sample_endpoints(_SOME)
            whole = self.make_builder().build(endpoints)
            for gone in (0, 4, _SOME - 1):
                left = (*endpoints[:gone], *endpoints[gone + 1 :])
                rest = self.make_builder().build(left)
                found = movement(whole, endpoints, rest, left, sample_hashes(self.samples))
                # What an endpoint really has, which may be more than its share, has to move.
                had = sum(share for (old, _), share in found.pairs.items() if old == endpoints[gone].key)
                needed = max(had, least_movement(endpoints, left))
                self.assertLessEqual(found.moved, self.most_movement * needed + 1e-9, f"without {endpoints[gone].key}")

    def test_cost(self) -> None:
        """A pick among 1,000 endpoints takes no more operations than ``most_operations``."""
        balancer = self.make_builder().build(sample_endpoints(_MANY))
        for attempt in range(3):

            def once(attempt: int = attempt) -> object:
                return balancer.pick(12345, attempt)

            once()
            counted = count_operations(once)
            told = f"{counted} operations for attempt {attempt}; a test case may have most_operations of its own"
            self.assertLessEqual(counted, self.most_operations, told)

    def test_load(self) -> None:
        """A balancer that goes by load picks endpoints of its own, whatever the load, and needs to know no other's."""
        for endpoints, balancer in self._balancers():
            observing = IObservesLoad(balancer, None)
            if observing is not None:
                for busy in (0, 1, 50):
                    load = {endpoint: busy * (index % 3) for index, endpoint in enumerate(endpoints)}
                    for number in self._hashes(10):
                        for attempt in range(_ATTEMPTS):
                            picked = observing.pick_with_load(number, attempt, load.__getitem__)
                            self.assertIn(picked, endpoints, f"hash {number}, attempt {attempt}, load {load}")

    def test_continues(self) -> None:
        """A balancer with a phase goes on from one of its kind, and does not mind one of another kind."""
        for endpoints, balancer in self._balancers():
            continuing = IContinues(balancer, None)
            if continuing is not None:
                continuing.continue_from(self.make_builder().build(endpoints[:1]))
                continuing.continue_from(cast(ILoadBalancer, object()))
                self.assertIn(balancer.pick(1, 0), endpoints)

    def test_localities(self) -> None:
        """A builder that weighs localities has the endpoints of all of them as candidates, and may have none."""
        builder = IWeighsLocalities(self.make_builder(), None)
        if builder is not None:
            endpoints = sample_endpoints(_SOME, _WEIGHTS)
            balancer = builder.build_by_locality([(3, endpoints[:4]), (1, endpoints[4:])])
            verifyObject(ILoadBalancer, balancer)
            found = sorted(balancer.candidates(7), key=_key)
            self.assertEqual(found, sorted(endpoints, key=_key))
            self.assertIsNone(builder.build_by_locality([]).pick(7, 0))

    def test_table(self) -> None:
        """A table is the same whether it is built before a pick or by it; without endpoints it can be built, too."""
        for endpoints in ((), sample_endpoints(_SOME)):
            before, lazy = self.make_builder().build(endpoints), self.make_builder().build(endpoints)
            having = IHasTable(before, None)
            if having is not None:
                self.assertGreaterEqual(having.table_bytes, 0)
                for _ in range(2):
                    having.build_table()
                for number in self._hashes():
                    self.assertEqual(before.pick(number, 0), lazy.pick(number, 0), f"hash {number}")

    def test_table_in_steps(self) -> None:
        """A table that is built in steps is the same; one that was left off can be picked from, and begun again."""
        for endpoints in ((), sample_endpoints(_SOME)):
            plain, stepwise, left_off = (self.make_builder().build(endpoints) for _ in range(3))
            if not IBuildsInSteps.providedBy(plain):
                return
            list(cast(IBuildsInSteps, stepwise).table_steps())
            next(iter(cast(IBuildsInSteps, left_off).table_steps()), None)
            for number in self._hashes():
                expected = plain.pick(number, 0)
                self.assertEqual(stepwise.pick(number, 0), expected, f"hash {number}")
                self.assertEqual(left_off.pick(number, 0), expected, f"hash {number}")
            list(cast(IBuildsInSteps, left_off).table_steps())
            for number in self._hashes():
                self.assertEqual(left_off.pick(number, 0), plain.pick(number, 0), f"hash {number}")

    def test_bounded(self) -> None:
        """A builder that bounds loads chooses as without a bound while all are idle; who has all is passed over."""
        builder = IBoundsLoad(self.make_builder(), None)
        if builder is not None:
            endpoints = sample_endpoints(_SOME, _WEIGHTS)
            plain, balancer = self.make_builder().build(endpoints), builder.bounded(120).build(endpoints)
            bounded = IObservesLoad(balancer)
            for number in self._hashes():
                first = plain.pick(number, 0)
                self.assertEqual(bounded.pick_with_load(number, 0, lambda endpoint: 0), first, f"hash {number}")
                busy = {endpoint: 100 * (endpoint == first) for endpoint in endpoints}
                self.assertNotEqual(bounded.pick_with_load(number, 0, busy.__getitem__), first, f"hash {number}")

    def test_shortage(self) -> None:
        """What a balancer says about a table that is too small are words for people."""
        for _, balancer in self._balancers():
            foreseeing = IForeseesShares(balancer, None)
            shortage = None if foreseeing is None else foreseeing.shortage(2.0)
            if shortage is not None:
                self.assertTrue(shortage.problem)
                self.assertIsInstance(shortage.remedy, str)

    def test_description(self) -> None:
        """What a balancer tells of itself, and of the place of a hash, is JSON with text for keys."""
        for _, balancer in self._balancers():
            describing, locating = IDescribes(balancer, None), ILocatesHash(balancer, None)
            told = [] if describing is None else [describing.describe()]
            told += [] if locating is None else [locating.locate(number) for number in self._hashes(3)]
            for facts in told:
                self.assertEqual(json.loads(json.dumps(dict(facts))), dict(facts))


def _key(endpoint: Endpoint) -> str:
    return endpoint.key
