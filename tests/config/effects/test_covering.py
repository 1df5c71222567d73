"""Whether one condition takes all requests of another: what is said has to be true, and must not be too little."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.effects import covering
from meshproxy.config.effects.covering import Budget, Coverage, Scope
from meshproxy.routes import Comparison, HeaderMatch, PathMatch, QueryMatch, RouteMatch, TextMatch
from tests.properties import steady

EXACT, PREFIX, REGEX, PRESENT = Comparison.EXACT, Comparison.PREFIX, Comparison.REGEX, Comparison.PRESENT
WORDS = ["", "a", "ab", "aB", "b", ".*", "a.*", "a|b"]
PATHS = ["/", "/a", "/A", "/ab", "/a/b", ".*", "/a.*", "/.*", "/[ab]", ""]


def texts(words: list[str]) -> st.SearchStrategy[TextMatch]:
    return st.builds(TextMatch, st.sampled_from(list(Comparison)), st.sampled_from(words))


conditions = st.builds(
    RouteMatch,
    path=st.builds(PathMatch, st.sampled_from(list(Comparison)), st.sampled_from(PATHS), st.booleans()),
    method=st.none() | texts(WORDS),
    headers=st.lists(
        st.builds(HeaderMatch, st.sampled_from([b"x", b"y"]), texts(WORDS), st.booleans()), max_size=2
    ).map(tuple),
    query=st.lists(st.builds(QueryMatch, st.just(b"q"), texts(WORDS)), max_size=1).map(tuple),
)
requests = st.fixed_dictionaries(
    {
        "path": st.sampled_from(["/", "/a", "/A", "/ab", "/a/b", "/b", "/ab/c"]),
        "method": st.sampled_from(WORDS[:5]),
        "x": st.lists(st.sampled_from(WORDS[:5]), max_size=2),
        "y": st.lists(st.sampled_from(WORDS[:5]), max_size=1),
        "q": st.none() | st.sampled_from(WORDS[:5]),
    }
)


def text_holds(condition: TextMatch | PathMatch, text: str) -> bool:
    if condition.comparison is REGEX:
        return re.fullmatch(condition.value, text) is not None
    value = condition.value
    if getattr(condition, "ignore_case", False):
        value, text = value.lower(), text.lower()
    checks: dict[Comparison, Callable[[], bool]] = {
        PRESENT: lambda: True,
        EXACT: lambda: text == value,
        PREFIX: lambda: text.startswith(value),
    }
    return checks[condition.comparison]()


def header_holds(condition: HeaderMatch, values: list[str]) -> bool:
    if condition.text.comparison is PRESENT:
        return bool(values) is not condition.inverted
    if condition.inverted:
        return not any(text_holds(condition.text, value) for value in values or [""])
    return any(text_holds(condition.text, value) for value in values)


def holds(match: RouteMatch, request: dict[str, object]) -> bool:
    """The rules of matching, said once more and as simply as possible."""
    query = request["q"]
    return (
        text_holds(match.path, str(request["path"]))
        and (match.method is None or text_holds(match.method, str(request["method"])))
        and all(header_holds(it, request[it.name.decode()]) for it in match.headers)  # type: ignore[arg-type]
        and all(query is not None and text_holds(it.text, str(query)) for it in match.query)
    )


def covered(earlier: RouteMatch, later: RouteMatch) -> bool:
    coverage: Coverage[str] = Coverage(Budget())
    coverage.add(earlier, "tag")
    return coverage.find(later) == "tag"


def path(comparison: Comparison, value: str, ignore_case: bool = False) -> RouteMatch:
    return RouteMatch(PathMatch(comparison, value, ignore_case))


class CoveringTests(SynchronousTestCase):
    @steady
    @given(st.lists(conditions, min_size=1, max_size=4), conditions, st.lists(requests, min_size=5, max_size=5))
    def test_true(self, earlier: list[RouteMatch], later: RouteMatch, asked: list[dict[str, object]]) -> None:
        """Each request that meets a covered condition meets the earlier one that is named."""
        coverage: Coverage[RouteMatch] = Coverage(Budget())
        for match in earlier:
            coverage.add(match, match)
        found = coverage.find(later)
        if found is not None:
            for request in asked:
                self.assertTrue(not holds(later, request) or holds(found, request), (found, later, request))

    @steady
    @given(conditions)
    def test_equal(self, match: RouteMatch) -> None:
        """A condition covers itself, in whatever order its parts are written."""
        turned = RouteMatch(match.path, match.method, headers=match.headers[::-1], query=match.query)
        self.assertTrue(covered(match, turned))

    def test_paths(self) -> None:
        """Which paths lie within which others."""
        whole = RouteMatch()
        for earlier, later in (
            (whole, path(REGEX, "/[a-z]+")),
            (path(PREFIX, "/"), whole),
            (path(REGEX, "/.*"), path(PREFIX, "/a")),
            (path(PREFIX, ""), path(EXACT, "/a")),
            (path(PREFIX, "/a"), path(PREFIX, "/a/b")),
            (path(PREFIX, "/a"), path(EXACT, "/ab")),
            (path(PREFIX, "/a"), path(REGEX, "/ab.*")),
            (path(REGEX, "/api/.*"), path(PREFIX, "/api/v1")),
            (path(REGEX, "/v[0-9]"), path(EXACT, "/v1")),
            (path(PREFIX, "/A", ignore_case=True), path(EXACT, "/aB")),
            (path(EXACT, "/a", ignore_case=True), path(EXACT, "/A", ignore_case=True)),
            (path(PREFIX, "/1"), path(PREFIX, "/12", ignore_case=True)),
        ):
            self.assertTrue(covered(earlier, later), (earlier, later))
        for earlier, later in (
            (path(EXACT, "/"), whole),
            (path(PREFIX, "/a/"), path(EXACT, "/a")),
            (path(EXACT, "/a"), path(PREFIX, "/a")),
            (path(PREFIX, "/a"), path(PREFIX, "/a", ignore_case=True)),
            (path(REGEX, "/v[0-9]"), path(EXACT, "/vx")),
            (path(REGEX, "/a.b.*"), path(PREFIX, "/a.b")),
        ):
            self.assertFalse(covered(earlier, later), (earlier, later))

    def test_more_conditions(self) -> None:
        """Every condition of the earlier one has to be asked for by the later one as well."""
        get = TextMatch(EXACT, "GET")
        header = HeaderMatch(b"x", TextMatch(PREFIX, "v"))
        narrow = HeaderMatch(b"x", TextMatch(EXACT, "v1"))
        missing = HeaderMatch(b"x", TextMatch(), inverted=True)
        query = QueryMatch(b"q", TextMatch())
        for earlier, later in (
            (RouteMatch(method=get), RouteMatch(PathMatch(EXACT, "/a"), method=get)),
            (RouteMatch(headers=(header,)), RouteMatch(headers=(missing, narrow))),
            (RouteMatch(headers=(missing,)), RouteMatch(method=get, headers=(missing,))),
            (RouteMatch(query=(query,)), RouteMatch(query=(QueryMatch(b"q", TextMatch(EXACT, "1")),))),
        ):
            self.assertTrue(covered(earlier, later), (earlier, later))
        for earlier, later in (
            (RouteMatch(method=get), RouteMatch()),
            (RouteMatch(headers=(narrow,)), RouteMatch(headers=(header,))),
            (RouteMatch(headers=(missing,)), RouteMatch(headers=(narrow,))),
            (RouteMatch(scheme=TextMatch(EXACT, "https")), RouteMatch(scheme=TextMatch(EXACT, "http"))),
            (RouteMatch(impossible=True), RouteMatch(impossible=True)),
        ):
            self.assertFalse(covered(earlier, later), (earlier, later))

    def test_scope(self) -> None:
        """A block for one port or gateway takes nothing of the others."""
        coverage: Coverage[int] = Coverage(Budget())
        coverage.add(RouteMatch(), 1, Scope(port=80))
        self.assertIsNone(coverage.find(RouteMatch()))
        self.assertIsNone(coverage.find(RouteMatch(), Scope(port=81)))
        self.assertEqual(coverage.find(path(EXACT, "/a"), Scope(port=80, gateways=frozenset({"a/b"}))), 1)
        coverage.add(RouteMatch(), 2, Scope(gateways=frozenset({"a/b", "a/c"})))
        self.assertEqual(coverage.find(RouteMatch(), Scope(gateways=frozenset({"a/c"}))), 2)
        self.assertIsNone(coverage.find(RouteMatch(), Scope(gateways=frozenset({"a/d"}))))

    def test_first(self) -> None:
        """Of several that cover, the first is named."""
        coverage: Coverage[str] = Coverage(Budget())
        coverage.add(path(EXACT, "/other"), "other")
        coverage.add(path(PREFIX, "/a"), "first")
        coverage.add(RouteMatch(), "second")
        self.assertEqual(coverage.find(path(EXACT, "/a/b")), "first")

    def test_bounded(self) -> None:
        """However many conditions there are, the work has a bound; equal ones are still found."""
        compared = 0

        def counting(match: RouteMatch, other: RouteMatch) -> bool:
            nonlocal compared
            compared += 1
            return False

        self.patch(covering, "_rest_covers", counting)
        coverage: Coverage[int] = Coverage(Budget(1_000))
        many = [RouteMatch(headers=(HeaderMatch(b"x", TextMatch(EXACT, str(it))),)) for it in range(2_000)]
        for number, match in enumerate(many):
            self.assertIsNone(coverage.add(match, number))
        self.assertLess(compared, 1_000)
        self.assertEqual(coverage.find(many[-1]), len(many) - 1)
