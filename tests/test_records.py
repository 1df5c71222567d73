"""Values of which there are very many."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.records import record
from meshproxy.routes import Comparison, PathMatch, RouteMatch, TextMatch


@record
class Pair:
    one: int
    other: int


@record(eq=False)
class Thing:
    one: int


@record
class Odd:
    one: int

    def __hash__(self) -> int:
        return 7


class RecordTests(SynchronousTestCase):
    def test_by_value(self) -> None:
        """Equal values are equal, and so are their hashes."""
        self.assertEqual({Pair(1, 2), Pair(1, 2), Pair(2, 1)}, {Pair(1, 2), Pair(2, 1)})

    def test_by_identity(self) -> None:
        """Things are equal only to themselves."""
        one, other = Thing(1), Thing(1)
        self.assertEqual([one == other, len({one, other, one})], [False, 2])

    def test_own_hash(self) -> None:
        """A class that says what its hash is keeps that."""
        self.assertEqual(hash(Odd(1)), 7)
        self.assertEqual(Odd(1), Odd(1))

    def test_nothing_left_out(self) -> None:
        """Conditions that differ in one thing have different hashes, whatever it is."""
        paths = [PathMatch(kind, "/a", folded) for kind, folded in product(Comparison, (False, True))]
        different = [
            *(RouteMatch(path, impossible=impossible) for path, impossible in product(paths, (False, True))),
            RouteMatch(method=TextMatch()),
            RouteMatch(scheme=TextMatch()),
            RouteMatch(authority=TextMatch()),
        ]
        self.assertEqual(len(set(map(hash, different))), len(different))
        self.assertEqual(hash(RouteMatch(PathMatch())), hash(RouteMatch(PathMatch())))
