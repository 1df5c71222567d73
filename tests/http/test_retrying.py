"""Retry policies: which word stands for which failure, and how long is waited."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.retrying import NEVER, Cause, Retrying
from meshproxy.routes import RetryPolicy

EVERY_CAUSE = set(Cause)


def retrying(*words: str, **policy: Any) -> Retrying:
    """The policy with these words of ``retryOn``."""
    return Retrying(RetryPolicy(conditions=frozenset(words), **policy))


class ConditionTests(SynchronousTestCase):
    def check(self, word: str, statuses: set[int], causes: set[Cause]) -> None:
        policy = retrying(word)
        self.assertEqual({code for code in range(200, 600) if policy.on_response(code, None, False)}, statuses, word)
        self.assertEqual({cause for cause in Cause if policy.on_failure(cause)}, causes, word)
        self.assertEqual(policy.from_status, min(statuses, default=NEVER))

    def test_words(self) -> None:
        """Each word's statuses and failures; those that concern other protocols have none."""
        self.check("5xx", set(range(500, 600)), EVERY_CAUSE)
        self.check("gateway-error", {502, 503, 504}, EVERY_CAUSE)
        self.check("reset", set(), EVERY_CAUSE)
        self.check("reset-before-request", set(), {Cause.CONNECT})
        self.check("connect-failure", set(), {Cause.CONNECT})
        self.check("retriable-4xx", {409}, set())
        for word in ("refused-stream", "retriable-headers", "http3-post-connect-failure", "retriable-status-codes"):
            self.check(word, set(), set())

    def test_status_codes(self) -> None:
        """Codes that are named are retried, and no others."""
        policy = retrying("retriable-status-codes", statuses=frozenset({404, 503}))
        self.assertEqual([policy.on_response(code, None, False) for code in (404, 500, 503)], [True, False, True])
        self.assertEqual(policy.from_status, 404)

    def test_grpc_status(self) -> None:
        """A gRPC status in the response's head counts under its word, whatever the HTTP status."""
        for word, number in (
            ("cancelled", b"1"),
            ("deadline-exceeded", b"4"),
            ("resource-exhausted", b"8"),
            ("internal", b"13"),
            ("unavailable", b"14"),
        ):
            self.assertTrue(retrying(word).on_response(200, number, False), word)
            self.assertFalse(retrying(word).on_response(200, b"2", False), word)
        self.assertTrue(Retrying(RetryPolicy()).on_response(200, b"14", False))
        self.assertFalse(Retrying(RetryPolicy()).on_response(503, None, False))

    def test_rate_limited(self) -> None:
        """A response that says so is retried under its own word only, be it a 5xx or not."""
        self.assertTrue(retrying("envoy-ratelimited").on_response(429, None, True))
        self.assertFalse(retrying("envoy-ratelimited").on_response(429, None, False))
        self.assertFalse(retrying("5xx").on_response(503, None, True))

    def test_kept_bodies(self) -> None:
        """Up to 1 MiB of a body is kept where something can be retried that was sent."""
        self.assertEqual(retrying("5xx").most_kept, 1 << 20)
        self.assertEqual(retrying("connect-failure").most_kept, 1 << 16)


class BackoffTests(SynchronousTestCase):
    def test_longest(self) -> None:
        """The back-off doubles from its base up to ten times the base; it is less than that by chance."""
        policy = retrying(backoff=0.1)
        longest = [max(policy.backoff(retry, number) for number in range(1000)) for retry in range(1, 7)]
        self.assertEqual(longest, [0.099, 0.199, 0.399, 0.799, 0.999, 0.999])
        self.assertEqual(policy.backoff(1, 100), 0.0)

    def test_many_retries(self) -> None:
        """A large number of retries costs nothing."""
        self.assertLess(retrying().backoff(10**9, 0xFFFFFFFF), 0.25)
