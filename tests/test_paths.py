"""Path normalization. Expected values were observed on Envoy 1.40 with ``normalize_path``, but for the last class."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.paths import normalize_path

UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
ENCODED = b'"<>^`{|}'

OBSERVED = {
    b"/": b"/",
    b"/a//b": b"/a//b",
    b"/a/../b": b"/b",
    b"/../..": b"/",
    b"/a/..": b"/",
    b"/a/.": b"/a/",
    b"/a/./": b"/a/",
    b"/a/../": b"/",
    b"//a/../b": b"//b",
    b"/a//../b": b"/a/b",
    b"/a///../b": b"/a//b",
    b"/a//..": b"/a/",
    b"//": b"//",
    b"//..": b"/",
    b"///../../b": b"/b",
    b"/a/%2e%2e/b": b"/b",
    b"/a/%2E./b": b"/b",
    b"/a/.%2e": b"/",
    b"/a/%2e": b"/a/",
    b"/a/...": b"/a/...",
    b"/a/..b": b"/a/..b",
    b"/a/.b/..": b"/a/",
    b"/a\\b\\..\\c": b"/a/c",
    b"/a/;/../b": b"/a/b",
    b"/a;b/../c": b"/c",
    b"/b;/a": b"/b;/a",
    b"/b/;a/..": b"/b/",
    b"/..;/a": b"/a",
    b"/b/..;x/a": b"/a",
    b"/b/.;/a": b"/b/a",
    b"/b/c/..;x=1/a": b"/b/a",
    b"/b/..;": b"/",
    b"/c/b/../..;/a": b"/a",
    b"/a/..%2fb": b"/a/..%2fb",
    b"/%2e%2e%2fa": b"/..%2fa",
    b"/a/..%5c..%5cb": b"/a/..%5c..%5cb",
    b"/b/..%3b/a": b"/b/..%3b/a",
    b"/%zz%4": b"/%zz%4",
    b"/a%": b"/a%",
    b"/%25%34%31": b"/%2541",
    b"/a%5cb": b"/a%5cb",
}


class ObservedTests(SynchronousTestCase):
    def test_paths(self) -> None:
        """Dot segments, slashes, escapes and path parameters come out as Envoy has them."""
        self.assertEqual({path: normalize_path(path) for path in OBSERVED}, OBSERVED)

    def test_every_escape(self) -> None:
        """Only escapes of unreserved characters are decoded, in either case of their digits; %00 has no normal form."""
        for code in range(256):
            for escape in (b"%%%02x" % code, b"%%%02X" % code):
                want = b"/a" + (bytes((code,)) if code in UNRESERVED else escape) + b"b"
                self.assertEqual(normalize_path(b"/a" + escape + b"b"), want if code else None)

    def test_every_character(self) -> None:
        """Printable characters stay but for eight that are percent-encoded and the backslash."""
        for code in range(0x21, 0x7F):
            character = bytes((code,))
            want = b"%%%02X" % code if character in ENCODED else b"/" if character == b"\\" else character
            self.assertEqual(normalize_path(b"/a" + character + b"b"), b"/a" + want + b"b")


class StricterTests(SynchronousTestCase):
    def test_encoded_dots_with_parameters(self) -> None:
        """A dot segment that only shows after decoding is resolved too when it carries parameters."""
        self.assertEqual(normalize_path(b"/b/%2e%2e;/a"), b"/a")

    @settings(derandomize=True, deadline=None, max_examples=500)
    @given(st.text("/.;%2eE5cC\\a|", max_size=24))
    def test_normalizing_twice_changes_nothing(self, text: str) -> None:
        """What is matched is what an endpoint that normalizes once more would see."""
        once = normalize_path(b"/" + text.encode())
        if once is not None and b"%" not in once:
            self.assertEqual(normalize_path(once), once)
