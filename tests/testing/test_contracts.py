"""The contracts find what is wrong with a strategy: each breach fails the test that is about it."""

from __future__ import annotations

import unittest
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.interfaces import IHashKey
from meshproxy.testing import FakeRequest, HashKeyContract, LoadBalancerContract
from tests.testing import breaches
from tests.testing.breaches import ByRemainderTests, UserKey, UserKeyTests


class BreachTests(SynchronousTestCase):
    def failing(self, kind: type[Any], **replaced: Any) -> set[str]:
        """The tests of a contract that fail for a strategy."""
        broken = type(kind.__name__, (kind,), {"__module__": "__main__", **replaced})
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(broken).run(result)
        return {case.id().rpartition(".")[2] for case, _ in (*result.failures, *result.errors)}

    def with_key(self, key: IHashKey, **replaced: Any) -> set[str]:
        return self.failing(UserKeyTests, make_key=lambda case: key, **replaced)

    def with_balancer(self, kind: Any, **replaced: Any) -> set[str]:
        return self.failing(ByRemainderTests, make_builder=lambda case: breaches.Builder(kind), **replaced)

    def test_kept(self) -> None:
        """What keeps the contract passes."""
        self.assertEqual(self.with_key(UserKey()), set())
        self.assertEqual(self.with_balancer(breaches.ByRemainder), set())

    def test_hash_keys(self) -> None:
        """Each breach of a hash key is found."""
        for key, expected in (
            (object(), {"test_interface"}),
            (UserKey(terminal="no"), {"test_interface"}),
            (UserKey(breaches.negative), {"test_hashes"}),
            (UserKey(float), {"test_hashes"}),
            (UserKey(lambda value: 7), {"test_hashes"}),
            (UserKey(breaches.counting), {"test_pure"}),
            (UserKey(breaches.slow), {"test_cost"}),
            (breaches.InsistingKey(), {"test_no_key"}),
            (breaches.ShowingKey(), {"test_shown_key"}),
            (breaches.CookieKey(), {"test_cookies"}),
        ):
            self.assertLessEqual(expected, self.with_key(key), repr(key))
        self.assertEqual(self.failing(UserKeyTests, make_key=lambda case: breaches.UnequalKey()), {"test_equal"})

    def test_too_few_requests(self) -> None:
        """With one request alone nothing could be told."""
        one = self.failing(UserKeyTests, requests_with_key=lambda case: [FakeRequest([(b"x-user", b"ann")])])
        self.assertEqual(one, {"test_hashes"})

    def test_load_balancers(self) -> None:
        """Each breach of a load balancer is found."""
        for kind, expected in (
            (list, {"test_interfaces"}),
            (breaches.NotEmpty, {"test_no_endpoints"}),
            (breaches.Inventing, {"test_picks"}),
            (breaches.Twice, {"test_candidates"}),
            (breaches.Other, {"test_candidates"}),
            (breaches.Moving, {"test_asking_changes_nothing"}),
            (breaches.Turning, {"test_sticky"}),
            (breaches.Emptying, {"test_build"}),
            (breaches.Searching, {"test_cost"}),
            (breaches.Loaded, {"test_load"}),
            (breaches.Continuing, {"test_continues"}),
            (breaches.Describing, {"test_description"}),
        ):
            self.assertLessEqual(expected, self.with_balancer(kind), repr(kind))

    def test_unequal_builders(self) -> None:
        """Builders that differ although their settings do not are found."""
        found = self.failing(ByRemainderTests, make_builder=lambda case: breaches.UnequalBuilder())
        self.assertEqual(found, {"test_equal"})

    def test_claims(self) -> None:
        """What is claimed and not so is found; nothing is asked of what claims nothing."""
        for claim, expected in (
            ({"most_loaded": 1.1}, {"test_balance"}),
            ({"most_movement": 1.5}, {"test_movement"}),
            ({"order_matters": False}, {"test_order"}),
        ):
            self.assertEqual(self.with_balancer(breaches.ByRemainder, **claim), expected)

    def test_other_process(self) -> None:
        """A hash that is another one in each process is found."""
        result = unittest.TestResult()
        breaches.OfProcessTests("test_other_process").run(result)
        self.assertEqual(len(result.failures) + len(result.errors), 1)

    def test_undefined(self) -> None:
        """Who forgets to say what to test is told."""
        for contract, method in ((HashKeyContract, "make_key"), (LoadBalancerContract, "make_builder")):
            case = type("Forgetful", (contract, unittest.TestCase), {})("test_equal")
            error = self.assertRaises(NotImplementedError, getattr(case, method))
            self.assertIn(f"Forgetful has to define {method}", str(error))
