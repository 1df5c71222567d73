"""Destinations, combined hashes and endpoints of a retry are chosen as Envoy chooses them."""

from __future__ import annotations

from collections import Counter
from itertools import product

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from meshproxy.hashing import mix
from meshproxy.interfaces import HashKey, IHashKey, ILoadBalancer, IObservesLoad
from meshproxy.routes import WeightedDestination
from meshproxy.selection import choose, choose_destination, evaluate, looked_at
from meshproxy.testing import FakeRequest


@implementer(IHashKey)
@frozen
class FixedKey:
    """Finds the same in each request."""

    found: HashKey | None
    terminal: bool = False

    def evaluate(self, request: object) -> HashKey | None:
        return self.found


@implementer(ILoadBalancer)
class Script:
    """Gives each attempt the endpoint that a test wrote down, and notes what it was asked."""

    uses_hash = True

    def __init__(self, *endpoints: str) -> None:
        self.endpoints = endpoints
        self.asked: list[tuple[int, int]] = []

    def pick(self, hash: int, attempt: int) -> str | None:
        self.asked.append((hash, attempt))
        return self.endpoints[attempt] if self.endpoints else None

    def candidates(self, hash: int) -> None:
        raise NotImplementedError


@implementer(IObservesLoad)
class LoadScript(Script):
    """Gives the busiest endpoint."""

    def pick_with_load(self, hash: int, attempt: int, active: object) -> str:
        return sorted(self.endpoints, key=active)[-1 - attempt]


class DestinationTests(SynchronousTestCase):
    def test_shares(self) -> None:
        """A number modulo the sum of weights falls into the destinations' intervals, in order."""
        destinations = [WeightedDestination("a", 20), WeightedDestination("b", 0), WeightedDestination("c", 80)]
        chosen = [choose_destination(destinations, number).cluster for number in range(200)]
        self.assertEqual(chosen[:21], ["a"] * 20 + ["c"])
        self.assertEqual(Counter(chosen), {"a": 40, "c": 160})


class EvaluateTests(SynchronousTestCase):
    def evaluate(self, *keys: FixedKey) -> tuple[int | None, list[bytes]]:
        total, cookies = evaluate(keys, FakeRequest())
        return total, list(cookies)

    def test_nothing(self) -> None:
        """No key, or none with a hash, makes no hash."""
        self.assertEqual(self.evaluate(), (None, []))
        self.assertEqual(self.evaluate(FixedKey(None, True), FixedKey(None)), (None, []))

    def test_single(self) -> None:
        """One hash stays as it is, wherever in the order it comes."""
        self.assertEqual(self.evaluate(FixedKey(None), FixedKey(HashKey(2**63)), FixedKey(None)), (2**63, []))

    def test_combination(self) -> None:
        """Each further hash is mixed in; the same key twice is not the key's hash."""
        found = HashKey(2**63 + 5)
        self.assertEqual(self.evaluate(FixedKey(found), FixedKey(found)), (mix(found.hash, found.hash), []))
        self.assertEqual(self.evaluate(*[FixedKey(HashKey(number)) for number in (1, 2, 4)])[0], 4)

    def test_terminal(self) -> None:
        """A terminal key ends it once there is a hash, even one from before; without any hash it does not."""
        first, last = FixedKey(HashKey(1)), FixedKey(HashKey(7, b"cookie"))
        self.assertEqual(self.evaluate(first, FixedKey(None, True), last), (1, []))
        self.assertEqual(self.evaluate(FixedKey(HashKey(1), True), last), (1, []))
        self.assertEqual(self.evaluate(FixedKey(None, True), last), (7, [b"cookie"]))

    def test_cookies(self) -> None:
        """Every key's cookie is told, in order, and asking twice tells the same."""
        keys = [FixedKey(HashKey(1, b"a")), FixedKey(HashKey(2)), FixedKey(HashKey(3, b"b"))]
        self.assertEqual(self.evaluate(*keys)[1], [b"a", b"b"])
        self.assertEqual(self.evaluate(*keys)[1], [b"a", b"b"])

    def test_nonsense(self) -> None:
        """What is no unsigned 64-bit hash, or no bytes that fit into one header line, is refused, and the key named."""
        for found, error in (
            (HashKey(-1), ValueError),
            (HashKey(2**64), ValueError),
            (HashKey(1.5), TypeError),
            (HashKey("1"), TypeError),
            (HashKey(None), TypeError),
            (7, TypeError),
            ("12", TypeError),
            ((1, None, None), ValueError),
            (HashKey(1, "cookie"), TypeError),
            (HashKey(1, b"a=1\r\nx-injected: 1"), ValueError),
            (HashKey(1, b"a=1\n"), ValueError),
            (HashKey(1, b"a=\0"), ValueError),
        ):
            raised = self.assertRaises(error, self.evaluate, FixedKey(found))
            if isinstance(raised, ValueError) and isinstance(found, HashKey):
                self.assertIn("FixedKey", str(raised))
        self.assertEqual(self.evaluate(FixedKey(HashKey(2**64 - 1))), (2**64 - 1, []))


class LookedAtTests(SynchronousTestCase):
    def test_as_evaluated(self) -> None:
        """The keys that are looked at are those whose hashes are combined, whatever they find and whichever end it."""
        request = FakeRequest()
        for found in product((None, HashKey(5), HashKey(9)), repeat=3):
            for terminal in product((False, True), repeat=3):
                policy = [FixedKey(it, ends) for it, ends in zip(found, terminal, strict=True)]
                seen = looked_at(policy, request)
                total = None
                for it in seen:
                    if it is not None:
                        total = it.hash if total is None else mix(total, it.hash)
                self.assertEqual(total, evaluate(policy, request)[0])
                self.assertEqual(seen, list(found[: len(seen)]))


class ChooseTests(SynchronousTestCase):
    def choose(self, balancer: Script, *tried: str) -> str | None:
        return choose(balancer, 9, set(tried), {"a": 0, "b": 2, "c": 1}.__getitem__)

    def test_first_try(self) -> None:
        """The first try asks once, for attempt 0."""
        balancer = Script("a", "b")
        self.assertEqual(self.choose(balancer), "a")
        self.assertEqual(balancer.asked, [(9, 0)])

    def test_untried(self) -> None:
        """A retry takes the first endpoint that was not tried, and asks no further."""
        balancer = Script("a", "a", "b", "c")
        self.assertEqual(self.choose(balancer, "a"), "b")
        self.assertEqual([attempt for _, attempt in balancer.asked], [0, 1, 2])

    def test_all_tried(self) -> None:
        """When attempts 0 to 5 are all tried ones, the last of them it is."""
        balancer = Script("a", "a", "a", "a", "a", "b", "c")
        self.assertEqual(self.choose(balancer, "a", "b"), "b")
        self.assertEqual(len(balancer.asked), 6)

    def test_no_endpoint(self) -> None:
        """A balancer without endpoints has none for a retry either."""
        self.assertIsNone(self.choose(Script(), "a"))

    def test_load(self) -> None:
        """A balancer that goes by load is told the load, at the first try and at others."""
        self.assertEqual(self.choose(LoadScript("a", "b", "c")), "b")
        self.assertEqual(self.choose(LoadScript("a", "b", "c"), "b"), "c")
