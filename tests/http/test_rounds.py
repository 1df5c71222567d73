"""Rounds of looks: everybody once in a round, nobody who left."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.rounds import LOOKS, Rounds, round_for


class RoundTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.seen: list[int] = []
        self.rounds: Rounds[int] = Rounds(self.clock, 2.0, self.seen.append)

    def advance(self, seconds: float) -> None:
        self.clock.pump([0.0625] * round(seconds * 16))

    def test_once_in_a_round(self) -> None:
        """Each is looked at once in every round, however they are spread over its steps."""
        items = range(0, 4096, 64)
        for item in items:
            self.rounds.watch(item)
        self.rounds.start()
        for number in range(1, 4):
            self.advance(2)
            self.assertEqual(sorted(self.seen), sorted([*items] * number))

    def test_steps(self) -> None:
        """A round is spread over its time: no step looks at all of them."""
        for item in range(0, 4096, 64):
            self.rounds.watch(item)
        self.rounds.start()
        self.advance(1)
        self.assertEqual(len(self.seen), 32)

    def test_forgotten(self) -> None:
        """Who has left is not looked at, be it in the middle of a step."""
        self.rounds = Rounds(self.clock, 2.0, lambda item: (self.seen.append(item), self.rounds.forget(3 - item))[0])
        self.rounds.watch(1)
        self.rounds.watch(2)
        self.rounds.start()
        self.advance(2)
        self.assertEqual(len(self.seen), 1)
        self.assertEqual(self.rounds.everybody(), self.seen)

    def test_stopped(self) -> None:
        """Nothing is left of a stop, and a second start changes nothing."""
        self.rounds.start()
        self.rounds.start()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.rounds.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failing_look(self) -> None:
        """An exception in a look does not end the rounds."""
        self.rounds = Rounds(self.clock, 2.0, lambda item: self.seen.append(1 // item))
        self.rounds.watch(0)
        self.rounds.start()
        for _ in range(2):
            with self.assertRaises(ZeroDivisionError):
                self.advance(3)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_length(self) -> None:
        """A round is short enough for the shortest limit; none at all is no limit."""
        self.assertEqual(round_for(3600, 60, 0.0), 60 / LOOKS)
        self.assertEqual(round_for(0.001), 0.1)
