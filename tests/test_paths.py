"""Path normalization. Expected values were observed on Envoy 1.40, but for the last class."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.paths import PathNormalization, normalize_path, normalizer
from tests.properties import steady

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
    b"/%2%46a": b"/%252Fa",
    b"/%252Fa": b"/%252Fa",
    b"/%2%65%2%65/b": b"/%252e%252e/b",
    b"/%0%30": b"/%2500",
    b"/%4%31": b"/%2541",
    b"/%%34%31": b"/%2541",
    b"/%4%3%31": b"/%4%2531",
}
# Path, merged, decoded and merged.
MERGED = [
    (b"/a//b", b"/a/b", b"/a/b"),
    (b"//a", b"/a", b"/a"),
    (b"/a///", b"/a/", b"/a/"),
    (b"/a//../b", b"/a/b", b"/a/b"),
    (b"/..//..//a", b"/a", b"/a"),
    (b"/a\\\\b", b"/a/b", b"/a/b"),
    (b"/a/%2fb", b"/a/%2fb", b"/a/b"),
    (b"/a%2Fb", b"/a%2Fb", b"/a/b"),
    (b"/a%5cb", b"/a%5cb", b"/a/b"),
    (b"/a%5Cb", b"/a%5Cb", b"/a/b"),
    (b"/a/..%2fb", b"/a/..%2fb", b"/b"),
    (b"/a/..%5cb", b"/a/..%5cb", b"/b"),
    (b"/a/%2e%2e%2fb", b"/a/..%2fb", b"/b"),
    (b"/a%2f..", b"/a%2f..", b"/"),
    (b"/a%2f..;/b", b"/a%2f..;/b", b"/b"),
    (b"/a/.%2f%2fb", b"/a/.%2f%2fb", b"/a/b"),
    (b"/%2F%2F/a", b"/%2F%2F/a", b"/a"),
    (b"/%2%46a", b"/%252Fa", b"/%252Fa"),
    (b"/%252Fa", b"/%252Fa", b"/%252Fa"),
    (b"/a%3f//%23", b"/a%3f/%23", b"/a%3f/%23"),
    (b"/a%2f%00", None, None),
]


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


class OptionTests(SynchronousTestCase):
    def test_merged(self) -> None:
        """Slashes are merged last; escaped ones are decoded first, so that they separate dot segments."""
        merge = normalizer(PathNormalization.MERGE_SLASHES)
        decode = normalizer(PathNormalization.DECODE_AND_MERGE_SLASHES)
        self.assertEqual([(path, merge(path), decode(path)) for path, _, _ in MERGED], MERGED)

    def test_none(self) -> None:
        """Without normalization a path stays as it is, even one that has no normal form."""
        unchanged = normalizer(PathNormalization.NONE)
        paths = [*OBSERVED, *(path for path, _, _ in MERGED), b"/a|b", b"/%00"]
        self.assertEqual([unchanged(path) for path in paths], paths)

    def test_default(self) -> None:
        """Istio's DEFAULT is BASE."""
        self.assertIs(normalizer(PathNormalization["DEFAULT"]), normalize_path)


class StricterTests(SynchronousTestCase):
    def test_encoded_dots_with_parameters(self) -> None:
        """A dot segment that only shows after decoding is resolved too when it carries parameters."""
        self.assertEqual(normalize_path(b"/b/%2e%2e;/a"), b"/a")

    def test_slashes_only(self) -> None:
        """What has nothing but slashes is merged to one slash, not two."""
        for option in (PathNormalization.MERGE_SLASHES, PathNormalization.DECODE_AND_MERGE_SLASHES):
            self.assertEqual([normalizer(option)(path) for path in (b"/", b"//", b"/a/..//")], [b"/"] * 3)

    @settings(steady, max_examples=200)
    @given(st.text("/.;%2eEfF5cC\\a|031", max_size=24))
    def test_normalizing_twice_changes_nothing(self, text: str) -> None:
        """What is matched is what an endpoint that normalizes once more would see."""
        for option in PathNormalization:
            normalize = normalizer(option)
            once = normalize(b"/" + text.encode())
            if once is not None:
                self.assertEqual(normalize(once), once, option)

    @settings(steady, max_examples=200)
    @given(st.text("/.;%2eEfF5cC\\a|031", max_size=24))
    def test_what_is_left(self, text: str) -> None:
        """A normal path has no dot segment, and with merging no two slashes, and with decoding no escaped slash."""
        for option in set(PathNormalization) - {PathNormalization.NONE}:
            normal = normalizer(option)(b"/" + text.encode())
            if normal is None:
                continue
            segments = [segment.partition(b";")[0] for segment in normal.split(b"/")]
            self.assertNotIn(b".", segments)
            self.assertNotIn(b"..", segments)
            if option is not PathNormalization.BASE:
                self.assertNotIn(b"//", normal)
            if option is PathNormalization.DECODE_AND_MERGE_SLASHES:
                self.assertNotIn(b"%2F", normal.upper())
                self.assertNotIn(b"%5C", normal.upper())
