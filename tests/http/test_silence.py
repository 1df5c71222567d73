"""Limits on silence."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.silence import SilenceLimit


class Speaker:
    """Says something when ``moved`` grows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.moved = 0
        self.ended_at: list[float] = []

    def silent(self) -> None:
        self.ended_at.append(self._clock.seconds())


class SilenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.limit = SilenceLimit(self.clock, 8.0)
        self.speaker = Speaker(self.clock)

    def run_until(self, seconds: float) -> None:
        while self.clock.seconds() < seconds:
            self.clock.advance(0.25)

    def test_silent_from_the_start(self) -> None:
        """Who says nothing at all is told at the limit, once."""
        self.limit.watch(self.speaker)
        self.run_until(30)
        self.assertEqual(self.speaker.ended_at, [8.0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_after_a_word(self) -> None:
        """A silence is noticed when it has lasted for the limit, or up to a quarter longer."""
        for at in (0.25, 1.75, 2.25, 7.75):
            with self.subTest(at=at):
                clock = self.clock = Clock()
                speaker = Speaker(clock)
                SilenceLimit(clock, 8.0).watch(speaker)
                self.run_until(at)
                speaker.moved += 1
                self.run_until(30)
                (ended,) = speaker.ended_at
                self.assertGreaterEqual(ended - at, 8.0)
                self.assertLessEqual(ended - at, 10.0)

    def test_words_now_and_then(self) -> None:
        """Who speaks within the limit is never told."""
        self.limit.watch(self.speaker)
        for at in range(7, 100, 7):
            self.run_until(at)
            self.speaker.moved += 1
        self.assertEqual(self.speaker.ended_at, [])

    def test_forgotten(self) -> None:
        """Nor is who is forgotten, be it watched or not."""
        self.limit.forget(self.speaker)
        self.limit.watch(self.speaker)
        self.run_until(3)
        self.limit.forget(self.speaker)
        self.run_until(30)
        self.assertEqual(self.speaker.ended_at, [])

    def test_again(self) -> None:
        """Watching anew begins anew."""
        self.limit.watch(self.speaker)
        self.run_until(7)
        self.limit.watch(self.speaker)
        self.run_until(14.75)
        self.assertEqual(self.speaker.ended_at, [])
        self.run_until(15)
        self.assertEqual(self.speaker.ended_at, [15.0])
