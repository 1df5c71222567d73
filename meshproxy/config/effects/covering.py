"""Whether one condition takes all requests of another, and which of many does.

Rules: "covers" is only said where it is certain. A union of conditions that together cover another one is not looked
for, nor are regular expressions compared, but for equal ones, those that are a plain text or a plain text and ``.*``,
and those that match an exact text. Since every path begins with ``/``, the prefix ``/`` is as good as no condition.

The work is bounded: candidates are found by path, and of a very large configuration not all are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from attrs import define, frozen

from meshproxy.regex import full_match, literal_starts
from meshproxy.routes import Comparison, HeaderMatch, PathMatch, QueryMatch, RouteMatch, TextMatch

_T = TypeVar("_T")
_USUAL = 100  # characters of a prefix that cost next to nothing
_LONGEST = 4_096  # characters of a text that is tried against regular expressions
_EVERY_PATH = PathMatch()
_ANYTHING = (TextMatch(), TextMatch(Comparison.PREFIX, ""))


@frozen
class Scope:
    """What a match block asks of the gateway rather than of the request. None and empty: nothing."""

    port: int | None = None
    gateways: frozenset[str] | None = None
    source_labels: frozenset[tuple[str, str]] = frozenset()
    source_namespace: str = ""

    def covers(self, other: Scope) -> bool:
        """True if this holds wherever ``other`` holds."""
        return (
            self.port in (None, other.port)
            and (self.gateways is None or (other.gateways is not None and other.gateways <= self.gateways))
            and self.source_labels <= other.source_labels
            and self.source_namespace in ("", other.source_namespace)
        )


ANYWHERE = Scope()


@define
class Budget:
    """How many comparisons may still be made. Ordinary configurations need a few for each route at most."""

    left: int = 100_000

    def spend(self, steps: int = 1) -> bool:
        """False if nothing is left."""
        self.left -= steps
        return self.left > 0


@frozen(eq=False)
class _Earlier(Generic[_T]):
    order: int
    match: RouteMatch
    scope: Scope
    tag: _T


_PathKey = tuple[Comparison, str, bool]


class Coverage(Generic[_T]):
    """Conditions in order of precedence, each with a tag of the caller's."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._count = 0
        # Those with nothing but a path are nearly all, and need no comparison: the first of a path is enough.
        self._bare: dict[_PathKey, _Earlier[_T]] = {}
        self._others: dict[_PathKey, list[_Earlier[_T]]] = {}
        self._equal: dict[object, _Earlier[_T]] = {}
        self._prefix_lengths: set[int] = set()
        self._regexes: dict[str, None] = {}

    def add(self, match: RouteMatch, tag: _T, scope: Scope = ANYWHERE) -> None:
        """Put a condition behind all others."""
        if match.impossible:
            return
        path = _plain_path(match.path)
        key = _key(path)
        entry = _Earlier(self._count, match, scope, tag)
        self._count += 1
        if match.only_path and scope == ANYWHERE:
            self._bare.setdefault(key, entry)
        else:
            self._others.setdefault(key, []).append(entry)
            self._equal.setdefault((key, _rest(match), scope), entry)
        if path.comparison is Comparison.PREFIX:
            self._prefix_lengths.add(len(path.value))
        elif path.comparison is Comparison.REGEX:
            self._regexes[path.value] = None

    def find(self, match: RouteMatch, scope: Scope = ANYWHERE) -> _T | None:
        """The tag of the first condition that takes all requests of this one; None if there is none."""
        path = _plain_path(match.path)
        found: _Earlier[_T] | None = None
        # What has nothing but a path is covered by nothing else.
        bare = match.only_path and scope == ANYWHERE
        if not bare:
            found = self._equal.get((_key(path), _rest(match), scope))
        for key in self._candidates(path):
            found = _first(found, self._bare.get(key))
            if not bare:
                found = _first(found, self._among_others(key, match, scope))
        return None if found is None else found.tag

    def _among_others(self, key: _PathKey, match: RouteMatch, scope: Scope) -> _Earlier[_T] | None:
        for entry in self._others.get(key, ()):
            if not self._budget.spend():
                return None
            if entry.scope.covers(scope) and _rest_covers(entry.match, match):
                return entry
        return None

    def _candidates(self, path: PathMatch) -> Iterator[_PathKey]:
        """The keys of all path conditions that cover one."""
        yield _key(_EVERY_PATH)
        if path.comparison is Comparison.REGEX:
            yield _key(path)
            return
        if path.comparison is Comparison.PRESENT:
            return
        text = path.value
        # What ignores case covers both; what does not covers only texts without letters of which case is ignored.
        foldings = [True] if path.ignore_case and text.lower() != text.upper() else [True, False]
        if path.comparison is Comparison.EXACT:
            for ignore_case in foldings:
                yield _key(PathMatch(Comparison.EXACT, text, ignore_case))
        for length in self._prefix_lengths:
            if length <= len(text):
                for ignore_case in foldings:
                    yield _key(PathMatch(Comparison.PREFIX, text[:length], ignore_case))
                if length > _USUAL and not self._budget.spend():
                    return
        if path.comparison is Comparison.EXACT and not path.ignore_case:
            for regex in self._regexes:
                if not self._budget.spend(10):
                    return
                if _matches(regex, text):
                    yield _key(PathMatch(Comparison.REGEX, regex))


def text_covers(text: TextMatch, other: TextMatch) -> bool:
    """True if every text that meets ``other`` meets ``text``."""
    text, other = _plain_text(text), _plain_text(other)
    if text in _ANYTHING or text == other:
        return True
    if other.comparison is Comparison.PRESENT:
        return False
    if text.comparison is Comparison.PREFIX:
        return other.comparison in (Comparison.EXACT, Comparison.PREFIX) and other.value.startswith(text.value)
    if text.comparison is Comparison.REGEX and other.comparison is Comparison.EXACT:
        return _matches(text.value, other.value)
    return False


def _first(one: _Earlier[_T] | None, other: _Earlier[_T] | None) -> _Earlier[_T] | None:
    if one is None or (other is not None and other.order < one.order):
        return other
    return one


def _rest(match: RouteMatch) -> object:
    """All but the path, so that equal conditions are equal in whatever order they are written."""
    return (match.method, match.scheme, match.authority, frozenset(match.headers), frozenset(match.query))


def _rest_covers(match: RouteMatch, other: RouteMatch) -> bool:
    return (
        _optional_covers(match.method, other.method)
        and _optional_covers(match.scheme, other.scheme)
        and _optional_covers(match.authority, other.authority)
        and all(_is_implied(wanted, other.headers) for wanted in match.headers)
        and all(_is_asked(wanted, other.query) for wanted in match.query)
    )


def _optional_covers(text: TextMatch | None, other: TextMatch | None) -> bool:
    return text is None or (other is not None and text_covers(text, other))


def _is_implied(wanted: HeaderMatch, given: Iterable[HeaderMatch]) -> bool:
    """True if one of the header conditions holds only where ``wanted`` holds."""
    for condition in given:
        if condition.name != wanted.name or condition.inverted != wanted.inverted:
            continue
        covers = text_covers(wanted.text, condition.text)
        if condition == wanted or (not wanted.inverted and covers):
            return True
    return False


def _is_asked(wanted: QueryMatch, given: Iterable[QueryMatch]) -> bool:
    return any(it.name == wanted.name and text_covers(wanted.text, it.text) for it in given)


def _key(path: PathMatch) -> _PathKey:
    return (path.comparison, path.value.lower() if path.ignore_case else path.value, path.ignore_case)


def _plain_path(path: PathMatch) -> PathMatch:
    text = _plain_text(TextMatch(path.comparison, path.value))
    if text.comparison is Comparison.PREFIX and text.value in ("", "/"):
        return _EVERY_PATH
    if text.comparison is Comparison.PRESENT:
        return _EVERY_PATH
    ignore_case = path.ignore_case and path.comparison is not Comparison.REGEX
    return PathMatch(text.comparison, text.value, ignore_case)


def _plain_text(text: TextMatch) -> TextMatch:
    """The same condition without a regular expression where none is needed."""
    if text.comparison is not Comparison.REGEX:
        return text
    literals, rest = literal_starts(text.value)
    if len(literals) > 1 or rest not in ("", ".*"):
        return text
    return TextMatch(Comparison.PREFIX if rest else Comparison.EXACT, literals[0].decode())


def _matches(regex: str, text: str) -> bool:
    return len(text) <= _LONGEST and bool(full_match(regex)(text.encode()))
