"""Regular expressions over bytes. The expected values of the first class were observed on Envoy 1.40."""

import re2
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.regex import compile_regex, full_match, is_plain, literal_starts
from tests.properties import steady

PIECES = st.sampled_from(["/", "a", "b", ".", ".*", "(a|b)", "(?:a|)", "(a|b|", ")", "|", "+", "?", "[a/]", r"\|", "^"])
PATTERNS = st.text(r"/ab.*+?|()[]{}\2^$i:QE-é", max_size=12) | st.lists(PIECES, max_size=6).map("".join)
TEXTS = st.text(r"/ab.|é{}2Q", max_size=6).map(str.encode)


def public_result(pattern: str, text: bytes) -> bool:
    """What RE2 says through its public door."""
    return compile_regex(pattern).fullmatch(text) is not None


class ObservedTests(SynchronousTestCase):
    def test_bytes_are_characters(self) -> None:
        """A value need not be UTF-8, a dot takes one byte of it, and a pattern's own characters are their UTF-8."""
        cases = {
            (".*", b"\xff"): True,
            (".*", b"a\xffb"): True,
            (".*", b""): True,
            ("caf.", b"caf\xe9"): True,
            ("caf.", "café".encode()): False,
            (r"caf\C", b"caf\xe9"): True,
            ("é", "é".encode()): True,
            (r"\xff", b"\xff"): True,
            (r"\xff", "ÿ".encode()): False,
            ("[^a]", b"\xff"): True,
            ("[^a]", "ÿ".encode()): False,
            (".*admin.*", b"\xffadmin"): True,
        }
        self.assertEqual({case: bool(full_match(case[0])(case[1])) for case in cases}, cases)


class FullMatchTests(SynchronousTestCase):
    @settings(steady, max_examples=200)
    @given(PATTERNS, TEXTS)
    def test_same_as_re2(self, pattern: str, text: bytes) -> None:
        """Whatever is done to be quick, the answer is RE2's."""
        try:
            wanted = public_result(pattern, text)
        except re2.error:
            assume(False)
        self.assertEqual(bool(full_match(pattern)(text)), wanted)

    def test_refused(self) -> None:
        """What RE2 does not know, and what has no place in bytes, is an error when it is compiled."""
        for pattern in ("(?=a)", "(", "*", r"(a)\1", r"\x{100}"):
            with self.assertRaises(re2.error):
                full_match(pattern)
            with self.assertRaises(re2.error):
                compile_regex(pattern)

    def test_equal_patterns_share_a_program(self) -> None:
        """A pattern that a thousand hosts use is compiled once."""
        pattern = "/v[0-9]+"
        self.assertIs(full_match(pattern), full_match("/v" + "[0-9]+"))

    def test_hostile_pattern(self) -> None:
        """A pattern that makes a backtracking matcher explode is linear here."""
        self.assertFalse(full_match("/(a+)+$")(b"/" + b"a" * 65536 + b"b"))


class LiteralStartTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """As much as is certain: up to the first metacharacter, without what it makes optional or repeats."""
        cases = {
            "": ((b"",), ""),
            "/a": ((b"/a",), ""),
            "/a.*": ((b"/a",), ".*"),
            "^/a/[0-9]+": ((b"/a/",), "[0-9]+"),
            r"/a\.b\/.*": ((b"/a.b/",), ".*"),
            r"/a\.?b": ((b"/a",), "?b"),
            "/ab*": ((b"/a",), "*"),
            "/ab{0,2}": ((b"/a",), "{0,2}"),
            "/a/(b|c)/d": ((b"/a/b/d", b"/a/c/d"), ""),
            "/(?:b|)c.*": ((b"/bc", b"/c"), ".*"),
            "/(b|c)?": ((b"/",), "(b|c)?"),
            "/(b|c)(d|e)": ((b"/",), "(b|c)(d|e)"),
            "/(b|c.)": ((b"/",), "(b|c.)"),
            "/a/b|/a/c": ((b"/a/",), "|/a/c"),
            "/a|.*": ((b"",), "|.*"),
            "/" + "a" * 200 + "|.b": ((b"",), "|.b"),
            "/" + "a" * 200 + "b|/" + "a" * 201: ((b"/" + b"a" * 99,), "|/" + "a" * 201),
            r"/a\|b": ((b"/a",), r"\|b"),
            r"/a\d": ((b"/a",), r"\d"),
            "(?i)/a": ((b"",), "(?i)/a"),
        }
        self.assertEqual({pattern: literal_starts(pattern) for pattern in cases}, cases)

    def test_very_many(self) -> None:
        """Alternatives are not spelled out where that would come to far more than the pattern itself."""
        few, many = (f"/({'|'.join('ab' * count)}){'z' * 500}" for count in (10, 100))
        self.assertEqual([is_plain(pattern) for pattern in (few, many)], [True, False])
        self.assertEqual(literal_starts(many), ((b"/",), many[1:]))
        self.assertTrue(full_match(many)(b"/b" + b"z" * 500))

    @settings(steady, max_examples=200)
    @given(PATTERNS)
    def test_plain(self, pattern: str) -> None:
        """A pattern that needs no program is valid, and asks for nothing else than how a text starts."""
        if is_plain(pattern):
            compile_regex(pattern)
        self.assertEqual(is_plain(pattern), literal_starts(pattern)[1] in ("", ".*"))

    @settings(steady, max_examples=200)
    @given(PATTERNS, TEXTS)
    def test_certain(self, pattern: str, text: bytes) -> None:
        """Every text that is matched starts with a literal."""
        try:
            matched = public_result(pattern, text)
        except re2.error:
            assume(False)
        if matched:
            self.assertTrue(text.startswith(literal_starts(pattern)[0]))
