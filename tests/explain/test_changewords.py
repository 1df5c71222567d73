"""Settings in words: what differs, and nothing that is secret."""

from __future__ import annotations

from enum import Enum

from attrs import field, frozen
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.explain.changewords import changes_of, shown


class Kind(Enum):
    PLAIN = "plain"


@frozen
class Inner:
    some_size: int = 3
    share: float = 0.5


@frozen
class Outer:
    inner: Inner = field(factory=Inner)
    secret: bytes = field(default=b"", repr=False)
    names: tuple[str, ...] = ()
    kind: Kind | None = None
    seen: int = field(default=0, eq=False)


class WordsTests(SynchronousTestCase):
    def test_changes(self) -> None:
        """Only what differs is told, by the names of its fields; a secret is told to be another one."""
        new = Outer(Inner(4), b"hidden", ("a", "b"), Kind.PLAIN, 7)
        found = list(changes_of("ring", Outer(), new))
        self.assertEqual(found[:2], ["ring some size 3 -> 4", "ring secret is another one"])
        self.assertEqual(found[2:], ["ring names none -> (a, b)", "ring kind none -> plain"])
        self.assertEqual(list(changes_of("ring", None, new.inner)), ["ring none -> (some size 4)"])
        self.assertEqual(list(changes_of("ring", new.inner, 1.5)), ["ring (some size 4) -> 1.5"])

    def test_values(self) -> None:
        """Values of all kinds have words, objects without what is at its default."""
        for value, words in (
            (True, "yes"),
            (0, "0"),
            (b"a\xff", "a\\xff"),
            ({"b": 1}, "(b 1)"),
            (frozenset({"b", "a"}), "(a, b)"),
            ([], "()"),
            (Inner(), "with defaults"),
            (Outer(secret=b"hidden", names=("x",)), "(names (x))"),
        ):
            self.assertEqual(shown(value), words)
