"""What a route asks of a request: each condition of a match block as a test, with words for those who ask why.

Rules (Istio's gateway; observed on Envoy 1.40): texts are compared as bytes and with their letter case, unless the path
is to be compared without it. One value of a repeated header is enough. A query parameter is the text behind its first
``name=``, undecoded; ``name`` alone is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import NamedTuple

from attrs import frozen

from meshproxy.model import RoutedRequest
from meshproxy.regex import full_match
from meshproxy.routes import (
    Comparison,
    HeaderMatch,
    PathMatch,
    QueryMatch,
    Route,
    RouteMatch,
    TextMatch,
    VirtualHost,
)

Test = Callable[[RoutedRequest], object]
"""Whether a condition holds for a request: true or false, whatever the type."""

_TextTest = Callable[[bytes], object]
_VERBS = {
    Comparison.PRESENT: "is present",
    Comparison.EXACT: "is",
    Comparison.PREFIX: "starts with",
    Comparison.REGEX: "matches",
}
_MISSING = (b"",)


class Condition(NamedTuple):
    """One condition; as text it says what has to be so."""

    test: Test
    subject: str
    text: TextMatch | PathMatch | None = None
    inverted: bool = False

    @property
    def has_regex(self) -> bool:
        """True for a test that takes longer than others."""
        return self.text is not None and self.text.comparison is Comparison.REGEX

    def __str__(self) -> str:
        words = [self.subject]
        if self.text is not None:
            words.append(_VERBS[self.text.comparison])
            if self.text.comparison is not Comparison.PRESENT:
                words.append(f'"{self.text.value}"')
            if isinstance(self.text, PathMatch) and self.text.ignore_case:
                words.append("in any letter case")
        return " ".join(["not:", *words] if self.inverted else words)


@frozen
class Explanation:
    """Why a route does or does not match a request: its conditions in words, those that hold and those that do not."""

    route: Route
    held: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def matches(self) -> bool:
        """Whether all conditions hold. The first such route of a virtual host is the request's."""
        return not self.failed


def explain_routes(virtual_host: VirtualHost, request: RoutedRequest) -> Iterator[Explanation]:
    """The routes of a virtual host in order of precedence up to the one that matches, and why each does or does not."""
    for route in virtual_host.routes:
        outcomes = [(str(condition), bool(condition.test(request))) for condition in conditions(route.match)]
        held, failed = (tuple(words for words, holds in outcomes if holds is wanted) for wanted in (True, False))
        yield Explanation(route, held, failed)
        if not failed:
            return


def conditions(match: RouteMatch) -> list[Condition]:
    """All conditions of a match block; none if every request meets it."""
    if match.path.comparison is Comparison.PRESENT:
        return other_conditions(match)
    return [Condition(path_test(match.path), "path", match.path), *other_conditions(match)]


def other_conditions(match: RouteMatch) -> list[Condition]:
    """The conditions of a match block but for that on the path."""
    found = []
    if match.impossible:
        found.append(Condition(lambda request: False, "a claim that nobody verifies"))
    for name, text in (("method", match.method), ("scheme", match.scheme), ("authority", match.authority)):
        if text is not None and text.comparison is not Comparison.PRESENT:
            found.append(Condition(_attribute_test(name, text), name, text))
    for header in match.headers:
        subject = f"header {_shown(header.name)}"
        found.append(Condition(_header_test(header), subject, header.text, header.inverted))
    for parameter in match.query:
        found.append(Condition(_query_test(parameter), f"query parameter {_shown(parameter.name)}", parameter.text))
    return found


def path_test(path: PathMatch) -> Test:
    """The test of the path alone."""
    if not path.ignore_case or path.comparison is Comparison.REGEX:
        return _attribute_test("route_path", path)
    # As bytes, for only the letters of ASCII have two cases.
    matches = _text_test(path.comparison, path.value.encode("utf-8").lower().decode("utf-8"))
    return lambda request: matches(request.route_path.lower())


def _text_test(comparison: Comparison, value: str) -> _TextTest:
    """A test of a text that is there."""
    sought = value.encode("utf-8")
    if comparison is Comparison.EXACT:
        return sought.__eq__
    if comparison is Comparison.PREFIX:
        return lambda text: text.startswith(sought)
    if comparison is Comparison.REGEX:
        return full_match(value)
    return lambda text: True


def _attribute_test(name: str, text: TextMatch | PathMatch) -> Test:
    get: Callable[[RoutedRequest], bytes] = attrgetter(name)
    matches = _text_test(text.comparison, text.value)
    return lambda request: matches(get(request))


def _header_test(header: HeaderMatch) -> Test:
    name, inverted = header.name, header.inverted
    if header.text.comparison is Comparison.PRESENT:
        return lambda request: bool(request.header_values(name)) is not inverted
    matches = _text_test(header.text.comparison, header.text.value)
    if inverted:
        return lambda request: not any(map(matches, request.header_values(name) or _MISSING))
    return lambda request: any(map(matches, request.header_values(name)))


def _query_test(parameter: QueryMatch) -> Test:
    name = parameter.name
    matches = _text_test(parameter.text.comparison, parameter.text.value)

    def test(request: RoutedRequest) -> object:
        if name not in request.path:
            return False
        for pair in request.path.partition(b"?")[2].split(b"&"):
            key, _, value = pair.partition(b"=")
            if key == name:
                return matches(value)
        return False

    return test


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")
