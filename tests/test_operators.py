"""The grammar of operators."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.operators import IN_LOGS, MAY_HAVE_ARGUMENTS, NEVER_KNOWN, Operator, parse
from tests.properties import steady


class GrammarTests(SynchronousTestCase):
    def test_pieces(self) -> None:
        """Operators begin and end with a percent sign; arguments are a text or a list of strings."""
        for text, expected in (
            ("", []),
            ("100%%", ["100%"]),
            ("%A%", [Operator("A")]),
            ("%% %REQ(x)% %B%", ["% ", Operator("REQ", "x"), " ", Operator("B")]),
            ('%M(["a", "b\\"]"])%', [Operator("M", '["a", "b\\"]"]')]),
            ("%START_TIME(%s.%3f)%", [Operator("START_TIME", "%s.%3f")]),
            ("%REQ(A?B):10%\n", [Operator("REQ", "A?B", 10), "\n"]),
        ):
            self.assertEqual(parse(text), expected, text)

    def test_refused(self) -> None:
        """What is no operator and no percent sign is refused."""
        for text in ("100%", "%A", "%REQ(x", "%REQ(x)", "%M([)%", "%A()%", "%REQ(x)y%", "%REQ(x):%"):
            self.assertRaises(ValueError, parse, text)

    @steady
    @given(st.lists(st.sampled_from(["%", "REQ", "(", ")", ":1", "x", "\\", "[", '"', " "])).map("".join))
    def test_any_text(self, text: str) -> None:
        """Nothing else is raised, and nothing is lost of a text without percent signs."""
        try:
            pieces = parse(text)
        except ValueError:
            return
        if "%" not in text:
            self.assertEqual("".join(map(str, pieces)), text)

    def test_names(self) -> None:
        """A name either has a value in logs or never one; whatever takes arguments is one of them."""
        self.assertEqual(IN_LOGS & NEVER_KNOWN, set())
        self.assertEqual(MAY_HAVE_ARGUMENTS - IN_LOGS - NEVER_KNOWN, set())
