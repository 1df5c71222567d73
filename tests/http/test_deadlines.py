"""Lines of deadlines: exact times, one timer."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.deadlines import Deadline


class DeadlineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.expired: list[tuple[float, str]] = []
        self.line: Deadline[str] = Deadline(
            self.clock, 1.0, lambda item: self.expired.append((self.clock.seconds(), item))
        )

    def test_exact(self) -> None:
        """Each is told when its time is up, not before, and not after."""
        for item in "abc":
            self.line.arm(item)
            self.clock.advance(0.25)
        for _ in range(8):
            self.clock.advance(0.125)
        self.assertEqual(self.expired, [(1.0, "a"), (1.25, "b"), (1.5, "c")])

    def test_left(self) -> None:
        """One that is armed has less and less, all others have it all."""
        self.line.arm("a")
        self.clock.advance(0.25)
        self.assertEqual((self.line.left("a"), self.line.left("b")), (0.75, 1.0))

    def test_disarmed(self) -> None:
        """Who left is not told, and those behind it are."""
        for item in "ab":
            self.line.arm(item)
        self.line.disarm("a")
        self.line.disarm("never there")
        self.clock.advance(1)
        self.assertEqual(self.expired, [(1.0, "b")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_from_the_start_again(self) -> None:
        """Arming once more begins anew, behind those that came in between."""
        self.line.arm("a")
        self.clock.advance(0.5)
        self.line.arm("b")
        self.line.arm("a")
        self.clock.advance(0.5)
        self.assertEqual(self.expired, [])
        self.clock.advance(0.5)
        self.assertEqual(self.expired, [(1.5, "b"), (1.5, "a")])

    def test_armed_by_who_is_told(self) -> None:
        """Who is told and arms another one delays nobody that was in the line before."""

        def told(item: str) -> None:
            self.expired.append((self.clock.seconds(), item))
            if item == "a":
                line.arm("c")

        line: Deadline[str] = Deadline(self.clock, 1.0, told)
        line.arm("a")
        self.clock.advance(0.25)
        line.arm("b")
        for _ in range(16):
            self.clock.advance(0.125)
        self.assertEqual(self.expired, [(1.0, "a"), (1.25, "b"), (2.0, "c")])

    def test_one_fails(self) -> None:
        """When telling one fails, the others are told all the same, and one that was disarmed by it is not."""

        def told(item: str) -> None:
            self.expired.append((self.clock.seconds(), item))
            if item == "a":
                line.disarm("b")
                raise ZeroDivisionError

        line: Deadline[str] = Deadline(self.clock, 1.0, told)
        for item in "abc":
            line.arm(item)
        self.assertRaises(ZeroDivisionError, self.clock.advance, 1)
        self.clock.advance(0)
        self.assertEqual(self.expired, [(1.0, "a"), (1.0, "c")])

    def test_stopped(self) -> None:
        """After a stop nobody is told and no timer is left, until somebody is armed again."""
        self.line.arm("a")
        self.line.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.line.arm("b")
        self.clock.advance(1)
        self.assertEqual(self.expired, [(1.0, "b")])

    def test_timers(self) -> None:
        """However many come and go, there is one timer, which fires about once in the time."""
        fired = 0
        self.line.arm("first")
        for number in range(1000):
            self.line.arm(str(number))
            (call,) = self.clock.getDelayedCalls()
            self.clock.advance(0.01)
            fired += call.called
            self.line.disarm(str(number))
            self.line.disarm("first")
        self.assertLess(fired, 25)
        self.assertEqual(self.expired, [])
