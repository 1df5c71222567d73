"""Balancers are built one after the other, and only while somebody wants them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import Invalid, implementer

from meshproxy.availability import Arrangement, Priorities
from meshproxy.interfaces import IBuildsInSteps, IHasTable, ILoadBalancer, ILoadBalancerBuilder
from meshproxy.model import Endpoint
from meshproxy.priority import Loads
from meshproxy.strategies.ring_hash import RingHash, RingHashBuilder
from meshproxy.upstream.building import (
    BUSY_SECONDS,
    PATIENT_SECONDS,
    PAUSE_SECONDS,
    SLICE_SECONDS,
    SWITCH_SECONDS,
    Builds,
    share_processor,
)

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


@implementer(IBuildsInSteps)
class Stepwise:
    """A balancer with a table of so many steps, each of which takes a third of a slice on ``clock``."""

    uses_hash = True
    table_bytes = 0

    def __init__(self, clock: Clock, steps: int, error: Exception | None = None) -> None:
        self.left = steps
        self._clock = clock
        self._error = error

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        return None

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        return iter(())

    def build_table(self) -> None:
        raise AssertionError("it was to be built in steps")

    def table_steps(self) -> Iterator[None]:
        while self.left:
            self.left -= 1
            self._clock.rightNow += SLICE_SECONDS * 0.34
            if self._error is not None:
                raise self._error
            yield


@implementer(ILoadBalancer, IHasTable)
class AtOnce:
    """A balancer whose table has no steps."""

    uses_hash = True
    table_bytes = 0
    is_built = False

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        return None

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        return iter(())

    def build_table(self) -> None:
        self.is_built = True


class Turns(Clock):
    """As a reactor: what is asked for in a turn is done in the next one at the earliest."""

    def turn(self, seconds: float = 0.0) -> None:
        """What is due, after so much else."""
        due = [call for call in self.calls if call.getTime() <= self.seconds()]
        self.rightNow += seconds
        for call in due:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class SteppingTests(SynchronousTestCase):
    """Tables that are built in steps, in the reactor's thread."""

    def setUp(self) -> None:
        self.clock = Turns()
        self.builds = Builds(maybeDeferred, self.clock)

    def build(self, balancer: object) -> Deferred[ILoadBalancer]:
        return self.builds.run(Made(balancer).build, FIRST)

    def test_slices(self) -> None:
        """As many steps as fit a slice are made in a turn of the reactor."""
        balancer = Stepwise(self.clock, 8)
        built = self.build(balancer)
        self.assertEqual(balancer.left, 5)
        self.clock.turn()
        self.assertEqual(balancer.left, 2)
        self.assertNoResult(built)
        self.clock.turn()
        self.assertIs(self.successResultOf(built), balancer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_busy(self) -> None:
        """Where there is something else to do in a turn, the next slice waits after it."""
        balancer = Stepwise(self.clock, 8)
        self.build(balancer)
        self.clock.turn(2 * BUSY_SECONDS)
        self.assertEqual(balancer.left, 5)
        (pause,) = self.clock.getDelayedCalls()
        self.assertAlmostEqual(pause.getTime() - self.clock.seconds(), PAUSE_SECONDS)
        self.clock.rightNow += PAUSE_SECONDS
        self.clock.turn()
        self.assertEqual(balancer.left, 2)

    def test_others_wait(self) -> None:
        """There is no pause while other builds wait."""
        balancer = Stepwise(self.clock, 8)
        self.build(balancer)
        self.build(Stepwise(self.clock, 8))
        for left in (5, 2):
            self.assertEqual(balancer.left, left)
            self.clock.turn(2 * BUSY_SECONDS)

    def test_patience(self) -> None:
        """There is no pause any more when a build takes so long that what it is to replace is out of date."""
        balancer = Stepwise(self.clock, 11)
        self.build(balancer)
        self.clock.turn(PATIENT_SECONDS / 2)
        self.assertEqual(balancer.left, 8)
        self.clock.rightNow += PAUSE_SECONDS
        self.clock.turn()
        self.assertEqual(balancer.left, 5)
        self.clock.turn(PATIENT_SECONDS)
        self.assertEqual(balancer.left, 2)

    def test_hurry(self) -> None:
        """There is no pause where nothing can be served before the build is done."""
        balancer = Stepwise(self.clock, 8)
        self.builds.run(Made(balancer).build, FIRST, hurry=True)
        for left in (5, 2):
            self.assertEqual(balancer.left, left)
            self.clock.turn(2 * BUSY_SECONDS)

    def test_one_after_the_other(self) -> None:
        """The next build waits for the last step of the one before."""
        first, second = (self.build(Stepwise(self.clock, 4)) for _ in range(2))
        self.assertNoResult(first)
        self.clock.turn()
        self.successResultOf(first)
        self.assertNoResult(second)
        self.clock.turn()
        self.successResultOf(second)

    def test_cancelled(self) -> None:
        """Of a balancer that nobody wants any more no further step is made, and the next one is built."""
        unwanted = Stepwise(self.clock, 100)
        first, second = self.build(unwanted), self.build(Stepwise(self.clock, 1))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.clock.turn()
        self.successResultOf(second)
        self.assertEqual(unwanted.left, 97)

    def test_cancelled_before_its_table(self) -> None:
        """Of a balancer that nobody wants any more when it is made, no step is made at all."""
        thread = Thread()
        self.builds = Builds(thread.run, self.clock)
        balancer = Stepwise(self.clock, 3)
        unwanted = self.build(balancer)
        unwanted.cancel()
        self.failureResultOf(unwanted, CancelledError)
        thread.finish()
        self.assertEqual((balancer.left, self.clock.getDelayedCalls()), (3, []))

    def test_failure(self) -> None:
        """What a step raises comes to who asked, and the next one is built."""
        first, second = self.build(Stepwise(self.clock, 2, RuntimeError("no"))), self.build(Stepwise(self.clock, 1))
        self.failureResultOf(first, RuntimeError)
        self.successResultOf(second)

    def test_priorities(self) -> None:
        """Of the tables of one balancer, those without steps are built in the thread and the others in steps."""
        in_steps, at_once = Stepwise(self.clock, 5), AtOnce()
        arrangement = Arrangement((), Loads((50, 50), (0, 0), (False, False)))
        balancer = Priorities(arrangement, [in_steps, at_once], [in_steps, at_once], uses_hash=True)
        built = self.build(balancer)
        self.assertTrue(at_once.is_built)
        self.assertEqual(in_steps.left, 2)
        self.clock.turn()
        self.assertIs(self.successResultOf(built), balancer)
        self.assertEqual(in_steps.left, 0)

    def test_stop(self) -> None:
        """After a stop there is no timer, nothing more is built, and nobody hears of anything."""
        balancer = Stepwise(self.clock, 100)
        waiting = [self.build(balancer), self.build(balancer)]
        self.builds.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for built in (*waiting, self.build(balancer)):
            self.assertNoResult(built)
        self.assertEqual(balancer.left, 97)


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
