"""Paths, authorities and locations as they become."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.rewriting import CompiledRewrite, location, substitution
from meshproxy.routes import Redirect, Rewrite


class PathTests(SynchronousTestCase):
    def path(self, path: bytes, /, **rewrite: Any) -> bytes:
        change = CompiledRewrite(Rewrite(**rewrite)).path
        assert change is not None
        return change(path)

    def test_prefix_and_whole(self) -> None:
        """The prefix text or the whole path is replaced."""
        self.assertEqual(self.path(b"/w1x", path="/new", prefix_length=3), b"/newx")
        self.assertEqual(self.path(b"/w/abc", path="/", prefix_length=2), b"//abc")
        self.assertEqual(self.path(b"/w/abc", path="/one", whole=True), b"/one")

    def test_regex(self) -> None:
        """All matches are replaced, with groups; what does not match stays."""
        self.assertEqual(self.path(b"/a/b/a", regex="a", substitution="<\\0>"), b"/<a>/b/<a>")
        self.assertEqual(self.path(b"/x/12/y", regex="/([0-9]+)/(.)", substitution="/\\2/\\1"), b"/x/y/12")
        self.assertEqual(self.path(b"/none", regex="z+", substitution="q"), b"/none")

    def test_still_a_target(self) -> None:
        """Whatever is configured, the path begins with a slash and has no blank."""
        self.assertEqual(self.path(b"/a", regex=".*", substitution=""), b"/")
        self.assertEqual(self.path(b"/a/b", path="x y", prefix_length=2), b"/x%20y/b")

    def test_only_authority(self) -> None:
        """A rewrite of the authority leaves the path alone."""
        rewrite = CompiledRewrite(Rewrite(authority="new.example"))
        self.assertEqual((rewrite.path, rewrite.authority), (None, b"new.example"))


class SubstitutionTests(SynchronousTestCase):
    def test_as_re2(self) -> None:
        """Empty matches count as in RE2's GlobalReplace: not directly behind another match."""
        for pattern, template, text, result in (
            ("x*", "-", b"abc", b"-a-b-c-"),
            ("b*", "-", b"abc", b"-a-c-"),
            ("^", "(START)", b"foo", b"(START)foo"),
            ("$", "!", b"foo", b"foo!"),
            ("(foo)|(bar)", "[\\1\\2]", b"foobar", b"[foo][bar]"),
            ("a", "\\\\", b"a", b"\\"),
            ("a", "\\7", b"bab", b"bb"),
        ):
            self.assertEqual(substitution(pattern, template)(text), result, pattern)


class LocationTests(SynchronousTestCase):
    def check(self, expected: bytes, authority: bytes = b"h.test", query: bytes = b"?z=1", **redirect: Any) -> None:
        found = location(Redirect(**redirect), b"http", authority, b"/foo/bar", query)
        self.assertEqual(found, expected)

    def test_path(self) -> None:
        """The path, or its prefix, is replaced; the query stays unless the new path has its own."""
        self.check(b"http://h.test/new?z=1", path="/new")
        self.check(b"http://h.test/new?own", path="/new?own")
        self.check(b"http://h.test/new/bar?z=1", path="/new/", prefix_length=5)
        self.check(b"http://h.test/foo/bar", query=b"", authority=b"h.test")

    def test_port_of_the_request(self) -> None:
        """The request's port stays, unless it is the default of the scheme that is left."""
        self.check(b"https://h/foo/bar?z=1", authority=b"h:80", scheme="https")
        self.check(b"https://h:80/foo/bar?z=1", authority=b"h:80", scheme="https", keep_port=True)
        self.check(b"https://H:8085/foo/bar?z=1", authority=b"H:8085", scheme="https")
        self.check(b"http://h:80/x?z=1", authority=b"h:80", path="/x")
        self.check(b"https://[::1]/foo/bar?z=1", authority=b"[::1]:80", scheme="https")
        self.check(b"https://[::1]/foo/bar?z=1", authority=b"[::1]", scheme="https")

    def test_port_of_the_redirect(self) -> None:
        """A port replaces the request's, and is appended to a configured authority."""
        self.check(b"http://h:77/foo/bar?z=1", authority=b"h:80", port=77)
        self.check(b"http://h:77/foo/bar?z=1", authority=b"h", port=77)

    def test_authority(self) -> None:
        """A configured authority is taken as it is."""
        redirect = Redirect(authority="o:99", port=77)
        self.assertEqual(location(redirect, b"http", b"h:80", b"/", b""), b"http://o:99:77/")
        redirect = Redirect(authority="o:99", scheme="https")
        self.assertEqual(location(redirect, b"http", b"h:80", b"/", b""), b"https://o:99/")
