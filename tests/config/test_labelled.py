"""Things with labels, found by some of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.labelled import Labelled
from tests.properties import steady

labels = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3)


class LabelledTests(SynchronousTestCase):
    @steady
    @given(st.lists(labels, max_size=20), st.lists(labels, min_size=1, max_size=4))
    def test_as_one_by_one(self, things: list[dict[str, str]], searches: list[dict[str, str]]) -> None:
        """Those that have all of the labels are found, in order, as by looking at each."""
        labelled = Labelled(things, dict.items)
        for wanted in searches:
            expected = tuple(thing for thing in things if wanted.items() <= thing.items())
            self.assertEqual(labelled.with_labels(wanted), expected)
            self.assertEqual(labelled.has_any(wanted), bool(expected))

    def test_same_choice(self) -> None:
        """Different labels that choose the same things give the same tuple, so that it is there once."""
        labelled = Labelled([{"a": "x", "b": "y"}, {"c": "z"}], dict.items)
        self.assertIs(labelled.with_labels({"a": "x"}), labelled.with_labels({"b": "y"}))
