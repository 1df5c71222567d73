"""The index over the match blocks of a virtual host."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.conditions import conditions
from meshproxy.routeindex import RouteIndex
from meshproxy.routes import Comparison, HeaderMatch, PathMatch, QueryMatch, RouteMatch, TextMatch
from tests.properties import steady
from tests.routed import PRESENT, Request, exact, header, path, prefix, regex

# Few letters, so that paths and conditions meet; both letter cases.
WORDS = st.text("/aAb.", max_size=4)
PATTERNS = st.sampled_from(
    [
        ".*",
        "/.*",
        "/a.*",
        "/a",
        "/a|/b",
        "/a.*|b",
        "/(a|A)b*",
        "/(a|b).*",
        "/a?b",
        r"/a\.b",
        "(?i)/A",
        "/[ab]+/.*",
        "^/a+$",
        "/a{2}",
    ]
)
TEXTS = st.one_of(
    st.builds(TextMatch, st.sampled_from([Comparison.EXACT, Comparison.PREFIX]), st.sampled_from(["", "a", "ab"])),
    st.sampled_from([PRESENT, regex("a.*"), regex("[ab]"), regex(".*")]),
)
PATHS = st.one_of(
    st.builds(PathMatch),
    st.builds(
        PathMatch,
        st.sampled_from([Comparison.EXACT, Comparison.PREFIX]),
        WORDS.map("/".__add__),
        st.booleans(),
    ),
    st.builds(PathMatch, st.just(Comparison.PREFIX), st.just("")),
    st.builds(PathMatch, st.just(Comparison.REGEX), PATTERNS),
)
HEADERS = st.builds(HeaderMatch, st.sampled_from([b"x", b"y", b":method"]), TEXTS, st.booleans())
QUERIES = st.builds(QueryMatch, st.sampled_from([b"p", b"q"]), TEXTS)
MATCHES = st.builds(
    RouteMatch,
    PATHS,
    method=st.none() | st.sampled_from([exact("GET"), regex("P.*")]),
    scheme=st.none() | st.none() | st.just(exact("https")),
    authority=st.none() | st.none() | st.just(prefix("a")),
    headers=st.lists(HEADERS, max_size=1).map(tuple),
    query=st.lists(QUERIES, max_size=1).map(tuple),
    impossible=st.sampled_from([False] * 9 + [True]),
)
LISTS = st.lists(st.one_of(MATCHES, st.builds(RouteMatch, PATHS)), max_size=12)
REQUESTS = st.builds(
    Request,
    st.builds(lambda path, query: f"/{path}{query}".encode(), WORDS, st.sampled_from(["", "?p=a", "?q&p", "?p=b&p=a"])),
    method=st.sampled_from([b"GET", b"PUT"]),
    scheme=st.sampled_from([b"http", b"https"]),
    fields=st.lists(
        st.tuples(st.sampled_from([b"x", b"y"]), st.sampled_from([b"", b"a", b"b", b"ab\xff"])), max_size=3
    ),
)


def walk(matches: Sequence[RouteMatch], request: Request) -> int | None:
    """The place by definition: the first whose conditions all hold."""
    for place, match in enumerate(matches):
        if all(condition.test(request) for condition in conditions(match)):
            return place
    return None


class SameAsWalkingTests(SynchronousTestCase):
    @settings(steady, max_examples=150)
    @given(LISTS, st.lists(REQUESTS, min_size=1, max_size=8))
    def test_first_match(self, matches: list[RouteMatch], requests: list[Request]) -> None:
        """Whatever the conditions and the request, the index finds what a walk through the list finds."""
        index = RouteIndex(matches)
        for request in requests:
            self.assertEqual(index.find(request), walk(matches, request), request)

    @settings(steady, max_examples=100)
    @given(LISTS, REQUESTS)
    def test_always(self, matches: list[RouteMatch], request: Request) -> None:
        """A place that is said to be that of every request is."""
        always = RouteIndex(matches).always
        if always is not None:
            self.assertEqual(walk(matches, request), always)


class OrderTests(SynchronousTestCase):
    def test_no_specificity(self) -> None:
        """What stands first wins, however short; only exact paths, prefixes and patterns that come before it count."""
        index = RouteIndex(
            [
                path(regex("/a/[0-9]+")),
                path(prefix("/a")),
                path(exact("/a/b")),
                path(prefix("/A/B"), ignore_case=True),
                path(prefix("/")),
            ]
        )
        cases = {b"/a/1": 0, b"/a/b": 1, b"/ab": 1, b"/A/B/c": 3, b"/b": 4, b"/": 4}
        self.assertEqual({path: index.find(Request(path)) for path in cases}, cases)

    def test_always(self) -> None:
        """The first possible place, if nothing is asked of the request by any of Istio's ways to say so."""
        for match in (RouteMatch(), path(prefix("/")), path(prefix("")), path(regex(".*")), path(prefix("/"), True)):
            self.assertEqual(RouteIndex([RouteMatch(impossible=True), match]).always, 1, match)
        self.assertIsNone(RouteIndex([path(prefix("/a")), RouteMatch()]).always)
        self.assertIsNone(RouteIndex([]).always)

    def test_looks_at_nothing_that_cannot_win(self) -> None:
        """Conditions for other paths, and of places behind one that is certain, are not evaluated."""

        class Headless(Request):
            def header_values(self, name: bytes) -> Sequence[bytes]:
                raise AssertionError(name)

        index = RouteIndex(
            [
                path(regex("/other/.*x"), headers=header(b"x", regex("a+")).headers),
                path(prefix("/b"), headers=header(b"x", PRESENT).headers),
                path(prefix("/a")),
                path(regex("/a/.*x"), headers=header(b"x", regex("a+")).headers),
                header(b"x", exact("1")),
            ]
        )
        self.assertEqual(index.find(Headless(b"/a/x")), 2)
        self.assertRaises(AssertionError, index.find, Headless(b"/c"))

    def test_quick_conditions_first(self) -> None:
        """A regular expression is not evaluated where a plain condition of the same block already fails."""

        class WithoutPath(Request):
            @property
            def route_path(self) -> bytes:
                asked.append("path")
                return b"/a1"

        asked: list[str] = []
        index = RouteIndex([path(regex("/a[0-9]"), method=exact("PUT"))])
        self.assertIsNone(index.find(WithoutPath()))
        self.assertEqual(asked, ["path"])
        self.assertEqual(index.find(WithoutPath(method=b"PUT")), 0)
        self.assertEqual(asked, ["path"] * 3)


class SizeTests(SynchronousTestCase):
    def test_deep_chain(self) -> None:
        """Prefixes of prefixes, in whatever order, lead to the first that matches."""
        depth = 300
        longest_first = [path(prefix("/" + "a" * size)) for size in range(depth, 0, -1)]
        index = RouteIndex(longest_first)
        self.assertEqual(index.find(Request(b"/" + b"a" * 1000)), 0)
        self.assertEqual(index.find(Request(b"/aaab")), depth - 3)
        shortest_first = RouteIndex(longest_first[::-1])
        self.assertEqual(shortest_first.find(Request(b"/" + b"a" * 1000)), 0)
        self.assertIsNone(shortest_first.find(Request(b"/b")))
