"""Balancers are built one after the other, and only while somebody wants them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import Invalid, implementer

from meshproxy.interfaces import ILoadBalancer, ILoadBalancerBuilder
from meshproxy.model import Endpoint
from meshproxy.strategies.ring_hash import RingHash, RingHashBuilder
from meshproxy.upstream.building import SWITCH_SECONDS, Builds, share_processor

FIRST, SECOND = (Endpoint("10.0.0.1", 80),), (Endpoint("10.0.0.2", 80),)


class Thread:
    """A thread that does nothing before it is told to."""

    def __init__(self) -> None:
        self.begun: list[tuple[Deferred[Any], Callable[..., Any], Any]] = []

    def run(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.begun.append((done, function, args))
        return done

    def finish(self) -> None:
        done, function, args = self.begun.pop(0)
        try:
            done.callback(function(*args))
        except Exception:  # noqa: BLE001 - as a thread pool does
            done.errback(Failure())


@implementer(ILoadBalancerBuilder)
class Made:
    """Builds whatever it was given."""

    def __init__(self, result: object) -> None:
        self.result = result

    def build(self, endpoints: Sequence[Endpoint]) -> ILoadBalancer:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result  # type: ignore[return-value]


class BuildsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.thread = Thread()
        self.builds = Builds(self.thread.run)

    def test_one_after_the_other(self) -> None:
        """The second build begins when the first has ended, and each answers who asked for it."""
        first, second = (self.builds.run(RingHashBuilder().build, endpoints) for endpoints in (FIRST, SECOND))
        self.assertEqual(len(self.thread.begun), 1)
        self.thread.finish()
        self.assertEqual(self.successResultOf(first).pick(0, 0), FIRST[0])
        self.assertNoResult(second)
        self.thread.finish()
        self.assertEqual(self.successResultOf(second).pick(0, 0), SECOND[0])
        self.assertEqual(self.thread.begun, [])

    def test_failure(self) -> None:
        """What a builder raises comes to who asked; so does that it made no balancer. Others are built all the same."""
        raising, nothing = (
            self.builds.run(Made(RuntimeError("no")).build, FIRST),
            self.builds.run(Made(None).build, FIRST),
        )
        last = self.builds.run(RingHashBuilder().build, FIRST)
        for _ in range(3):
            self.thread.finish()
        self.failureResultOf(raising, RuntimeError)
        self.failureResultOf(nothing, Invalid)
        self.assertIsInstance(self.successResultOf(last), RingHash)

    def test_cancelled_while_waiting(self) -> None:
        """What is cancelled before it begins is never built."""
        first, second, third = (self.builds.run(RingHashBuilder().build, FIRST) for _ in range(3))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.thread.finish()
        self.assertIsInstance(self.successResultOf(first), RingHash)
        self.thread.finish()
        self.assertIsInstance(self.successResultOf(third), RingHash)
        self.assertEqual(self.thread.begun, [])

    def test_cancelled_under_way(self) -> None:
        """A thread cannot be stopped: the next build waits for its end, its result is dropped."""
        first, second = (self.builds.run(RingHashBuilder().build, FIRST) for _ in range(2))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(len(self.thread.begun), 1)
        self.thread.finish()
        self.assertNoResult(second)
        self.thread.finish()
        self.assertIsInstance(self.successResultOf(second), RingHash)


class ThreadTests(TestCase):
    async def test_thread(self) -> None:
        """In a real thread it comes to the same."""
        balancer = await Builds(deferToThread).run(RingHashBuilder().build, FIRST)
        self.assertEqual(balancer.pick(1, 0), FIRST[0])

    def test_switching(self) -> None:
        """Threads take turns as often as it is promised."""
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        share_processor()
        self.assertAlmostEqual(sys.getswitchinterval(), SWITCH_SECONDS)
