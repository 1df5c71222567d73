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

from meshproxy.regex import full_match, is_plain, literal_starts
from meshproxy.routes import Comparison, HeaderMatch, PathMatch, QueryMatch, RouteMatch, TextMatch

_T = TypeVar("_T")
_USUAL = 100  # characters of a prefix that cost next to nothing
_LONGEST = 4_096  # characters of a text that is tried against regular expressions
_AT_ONCE = 16  # pairs of conditions on headers or parameters that are looked at in one comparison
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


@define(eq=False)
class _Earlier(Generic[_T]):
    order: int
    match: RouteMatch
    scope: Scope
    tag: _T


_PathKey = tuple[str, str]
"""A kind of condition on a path, and its text."""

_EVERY_PATH: _PathKey = ("", "")
_EXACT, _PREFIX, _REGEX = "exact", "prefix", "regex"
_EXACT_FOLDED, _PREFIX_FOLDED = "exact in any case", "prefix in any case"
_KINDS = {
    Comparison.PRESENT: "",
    Comparison.EXACT: _EXACT,
    Comparison.PREFIX: _PREFIX,
    Comparison.REGEX: _REGEX,
}
_FOLDED = {_EXACT: _EXACT_FOLDED, _PREFIX: _PREFIX_FOLDED}


class Coverage(Generic[_T]):
    """Conditions in order of precedence, each with a tag of the caller's."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._count = 0
        # Those with nothing but a path are nearly all, and need no comparison: the first of a path is enough.
        self._bare: dict[_PathKey, _Earlier[_T]] = {}
        self._others: dict[_PathKey, list[_Earlier[_T]]] = {}
        self._equal: dict[object, _Earlier[_T]] = {}
        self._texts: dict[str, dict[str, None]] = {kind: {} for kind in (*_KINDS.values(), *_FOLDED.values())}
        self._prefix_lengths: set[int] = set()
        self._any_ignores_case = False

    def add(self, match: RouteMatch, tag: _T, scope: Scope = ANYWHERE) -> _T | None:
        """Put a condition behind all others; the tag of the first one that takes all its requests, None if none does.

        One that is covered needs no place: what it covers is covered by the other one as well.
        """
        key, bare = _path_key(match.path), _is_bare(match, scope)
        found = self._find(key, bare, match, scope)
        if found is None and not match.impossible:
            self._put(key, bare, _Earlier(self._count, match, scope, tag))
            self._count += 1
        return None if found is None else found.tag

    def find(self, match: RouteMatch, scope: Scope = ANYWHERE) -> _T | None:
        """The same without putting it anywhere."""
        found = self._find(_path_key(match.path), _is_bare(match, scope), match, scope)
        return None if found is None else found.tag

    def _put(self, key: _PathKey, bare: bool, entry: _Earlier[_T]) -> None:
        if bare:
            self._bare[key] = entry
        else:
            self._others.setdefault(key, []).append(entry)
            self._equal[key, _rest(entry.match), entry.scope] = entry
        kind, text = key
        self._texts[kind][text] = None
        if kind in (_PREFIX, _PREFIX_FOLDED):
            self._prefix_lengths.add(len(text))
        if kind in (_EXACT_FOLDED, _PREFIX_FOLDED):
            self._any_ignores_case = True

    def _find(self, key: _PathKey, bare: bool, match: RouteMatch, scope: Scope) -> _Earlier[_T] | None:
        found: _Earlier[_T] | None = None
        # What has nothing but a path is covered by nothing else.
        if not bare:
            found = self._equal.get((key, _rest(match), scope))
        for candidate in self._candidates(*key):
            found = _first(found, self._bare.get(candidate))
            if not bare:
                found = _first(found, self._among_others(candidate, match, scope))
        return found

    def _among_others(self, key: _PathKey, match: RouteMatch, scope: Scope) -> _Earlier[_T] | None:
        for entry in self._others.get(key, ()):
            pairs = len(entry.match.headers) * len(match.headers) + len(entry.match.query) * len(match.query)
            if not self._budget.spend(1 + pairs // _AT_ONCE):
                return None
            if entry.scope.covers(scope) and _rest_covers(entry.match, match):
                return entry
        return None

    def _candidates(self, kind: str, text: str) -> Iterator[_PathKey]:
        """The keys of all path conditions so far that cover one."""
        texts = self._texts
        if texts[""]:
            yield _EVERY_PATH
        if kind == _REGEX and text in texts[_REGEX]:
            yield kind, text
        if not kind or kind == _REGEX:
            return
        is_exact, is_folded = kind in (_EXACT, _EXACT_FOLDED), kind in (_EXACT_FOLDED, _PREFIX_FOLDED)
        # What ignores case covers both; what does not covers only texts without letters of which case is ignored.
        searches = [] if is_folded and text != text.upper() else [(_EXACT, _PREFIX, text)]
        if self._any_ignores_case:
            searches.append((_EXACT_FOLDED, _PREFIX_FOLDED, text.lower()))
        for exact, prefix, searched in searches:
            if is_exact and searched in texts[exact]:
                yield exact, searched
            prefixes = texts[prefix]
            for length in self._prefix_lengths:
                if length <= len(searched):
                    if searched[:length] in prefixes:
                        yield prefix, searched[:length]
                    if length > _USUAL and not self._budget.spend():
                        return
        if kind == _EXACT:
            for regex in texts[_REGEX]:
                if not self._budget.spend(10):
                    return
                if _matches(regex, text):
                    yield _REGEX, regex


def text_covers(wider: TextMatch, narrower: TextMatch) -> bool:
    """True if every text that meets ``narrower`` meets ``wider``."""
    text, other = _plain_text(wider), _plain_text(narrower)
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


def _is_bare(match: RouteMatch, scope: Scope) -> bool:
    return match.only_path and (scope is ANYWHERE or scope == ANYWHERE)


def _path_key(path: PathMatch) -> _PathKey:
    """Equal for conditions that hold for the same paths, as far as that is easily said."""
    text = _plain_text(path)
    kind, value = _KINDS[text.comparison], text.value
    if not kind or (kind == _PREFIX and value in ("", "/")):
        return _EVERY_PATH
    if path.ignore_case and path.comparison is not Comparison.REGEX:
        return _FOLDED[kind], value.lower()
    return kind, value


def _plain_text(text: TextMatch | PathMatch) -> TextMatch | PathMatch:
    """The same condition without a regular expression where none is needed."""
    if text.comparison is not Comparison.REGEX or not is_plain(text.value):
        return text
    literals, rest = literal_starts(text.value)
    if len(literals) > 1:
        return text
    return TextMatch(Comparison.PREFIX if rest else Comparison.EXACT, literals[0].decode())


def _matches(regex: str, text: str) -> bool:
    return len(text) <= _LONGEST and bool(full_match(regex)(text.encode()))
