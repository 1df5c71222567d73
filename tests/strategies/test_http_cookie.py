"""Cookies are found, made and written as Envoy does it."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from meshproxy.errors import ConfigError
from meshproxy.hashing import xxh64
from meshproxy.interfaces import IHashKey
from meshproxy.strategies.http_cookie import CookieKey, from_config
from meshproxy.testing import FakeRequest, setting
from tests.properties import steady
from tests.vectors import load


class LookupTests(SynchronousTestCase):
    def test_stated(self) -> None:
        """Every stated cookie has the stated value."""
        for case in load("unit-cookie")["lookup"]:
            lines = [line.encode() for line in case["cookie"]]
            for name, value in case["values"].items():
                self.assertEqual(CookieKey(name).lookup(lines), value.encode(), (lines, name))

    def test_absent(self) -> None:
        """What only looks like the cookie is not found: other case, a tab, no sign, a longer name, part of a value."""
        lines = [b"SID=1; a=1;\tsid=1; sid; xsid=1; sid =1; a=sid=1; b= sid=1", b"c=;d; "]
        self.assertIsNone(CookieKey("sid").lookup(lines))

    def test_spaces(self) -> None:
        """Spaces before a name go, those around a value stay."""
        self.assertEqual(CookieKey("sid").lookup([b"a=1;   sid= q1 ; b=2"]), b" q1 ")

    def test_unfindable_names(self) -> None:
        """A name that no piece can have is never found, not even where its text is."""
        for name in ("a=b", "a;b", " a"):
            self.assertIsNone(CookieKey(name).lookup([b"a=b=1; a;b=1; a=1"]), name)

    def test_stated_hash(self) -> None:
        """The hash is that of the value alone."""
        (case,) = [case for case in load("unit-cookie")["hash"] if case["policy"] == "cookie"]
        request = FakeRequest([(b"Cookie", case["header"].encode())])
        self.assertEqual(CookieKey(case["name"]).evaluate(request), (xxh64(case["hashed"].encode()), None))

    @steady
    @given(st.lists(st.text('sida=;" \t', max_size=12).map(str.encode), max_size=3))
    def test_rule(self, lines: list[bytes]) -> None:
        """For any lines the result is that of the rule as it is stated."""
        self.assertEqual(CookieKey("sid").lookup(lines), _lookup(lines, b"sid"))

    @steady
    @given(st.lists(st.text('sida=;" \t', max_size=12).map(str.encode), max_size=2), st.sampled_from((0, 600)))
    def test_key(self, lines: list[bytes], padding: int) -> None:
        """The key is that of the cookie, also when the same line comes again, for another cookie, or is a long one."""
        lines = [line + b"; " + b"x" * padding for line in lines]
        request = FakeRequest([(b"Cookie", line) for line in lines])
        for name in ("sid", "a", "sid"):
            value = _lookup(lines, name.encode())
            self.assertEqual(CookieKey(name).evaluate(request), (xxh64(value), None) if value else None)


def _lookup(lines: list[bytes], name: bytes) -> bytes | None:
    for line in lines:
        for piece in line.split(b";"):
            found, sign, value = piece.partition(b"=")
            if sign and found.lstrip(b" ") == name:
                quoted = len(value) >= 2 and value[:1] == value[-1:] == b'"'
                return value[1:-1] if quoted else value
    return None


class GenerationTests(SynchronousTestCase):
    def test_stated_set_cookie(self) -> None:
        """Every stated ``Set-Cookie`` text is written as stated."""
        for case in load("unit-cookie")["set_cookie"]:
            attributes = tuple((name, value) for name, value in case["attributes"])
            key = CookieKey(case["name"], timedelta(seconds=case["ttl"]), case["path"], attributes)
            self.assertEqual(key.set_cookie(case["value"].encode()), case["text"].encode())

    def test_whole_seconds(self) -> None:
        """Only whole seconds count, without rounding up."""
        for seconds, line in ((1.5, b's="v"; Max-Age=1; HttpOnly'), (0.4, b's="v"; HttpOnly')):
            self.assertEqual(CookieKey("s", timedelta(seconds=seconds)).set_cookie(b"v"), line)

    def test_returned_cookie(self) -> None:
        """A client that brings a generated cookie back has the hash that its first request had."""
        key = CookieKey("sid", timedelta(0))
        first = key.evaluate(FakeRequest(remote=b"[::1]:46712", local=b"[::1]:80"))
        pair = first.set_cookie.partition(b";")[0]
        self.assertEqual(key.evaluate(FakeRequest([(b"cookie", pair)])), (first.hash, None))

    def test_no_ttl(self) -> None:
        """Without a ttl a missing or empty cookie gives nothing."""
        self.assertIsNone(CookieKey("sid").evaluate(FakeRequest()))
        self.assertIsNone(CookieKey("sid").evaluate(FakeRequest([(b"cookie", b"sid=")])))


class SettingTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """The key provides what it says."""
        verifyObject(IHashKey, CookieKey("sid"))

    def test_all_fields(self) -> None:
        """All of Istio's fields arrive."""
        text = "{name: sid, path: /a, ttl: 1h30m, attributes: [{name: SameSite, value: Lax}, {name: Secure}]}"
        expected = CookieKey("sid", timedelta(minutes=90), "/a", (("SameSite", "Lax"), ("Secure", "")))
        self.assertEqual(from_config(setting(f"{text}")), expected)

    def test_zero_ttl(self) -> None:
        """``0s`` is a ttl, an absent one is none."""
        self.assertEqual(from_config(setting("{name: s, ttl: 0s}")).ttl, timedelta(0))
        self.assertIsNone(from_config(setting("{name: s}")).ttl)

    def test_impossible_names(self) -> None:
        """A name that no cookie is found by is warned of, at its place."""
        for text, places in (("sid", []), ("'a b '", []), ("a=b", [15]), ("'a;b'", [15]), ("' a'", [15])):
            made = setting(f"{{name: {text}}}")
            from_config(made)
            self.assertEqual([it.location.column for it in made.warnings], places, text)

    def test_refused(self) -> None:
        """What Istio refuses, and what no header could carry, is refused at its place."""
        for text, column in (
            ("{ttl: 60s}", 8),
            ('{name: ""}', 15),
            ("{name: s, ttl: 60}", 23),
            ("{name: s, ttl: -1s}", 23),
            ("{name: s, paht: /}", 18),
            ('{name: "a\\r\\nx"}', 15),
            ('{name: s, path: "/\\n"}', 24),
            ("{name: s, attributes: [{value: x}]}", 31),
            ('{name: s, attributes: [{name: ""}]}', 38),
            ("{name: s, attributes: [{name: x}, {name: x}]}", 49),
        ):
            error = self.assertRaises(ConfigError, from_config, setting(f"{text}"))
            self.assertEqual([found.location.column for found in error.diagnostics], [column], (text, str(error)))
