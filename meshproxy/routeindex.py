"""A list of match blocks, compiled so that the one for a request is found without walking through all of them.

Rules: the first of the list whose conditions all hold wins. An exact path is one look-up in a table. Among the
prefixes, those that a path starts with form a chain, the longest of which is found by bisection: whatever sorts between
a prefix and the path starts with that prefix too. Each link of a chain knows the first place that is certain for its
paths (no other condition), so only the few in front of it have to be tried. A regular expression is filed under the
texts that its matches start with.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from sys import maxsize

from meshproxy.conditions import Test, other_conditions, path_test
from meshproxy.model import RoutedRequest
from meshproxy.regex import literal_starts
from meshproxy.routes import Comparison, RouteMatch

_Entry = tuple[int, tuple[Test, ...]]
"""A place in the list, and the conditions of that place but for what it is filed under."""

SharedTests = dict[object, Test]
"""Tests by what they test, so that equal conditions of many lists are one test."""

_has_regex = attrgetter("has_regex")
_PRESENT, _EXACT, _REGEX = Comparison.PRESENT, Comparison.EXACT, Comparison.REGEX


class _Link:
    """What is known of the paths that start with ``value``, or are it.

    ``place``: the first that is certain for them. ``contested``: entries with further conditions in front of that one,
    in lists that are in order of precedence each.
    """

    __slots__ = ("contested", "parent", "place", "value")

    def __init__(self, value: bytes, parent: _Link | None, entries: Sequence[_Entry]) -> None:
        self.value = value
        # The root's is never asked for, since all paths start with its empty value; itself would be a cycle.
        self.parent: _Link = parent  # type: ignore[assignment]
        self.place: int = maxsize if parent is None else parent.place
        contested = () if parent is None else parent.contested
        own = []
        for entry in entries:
            place, tests = entry
            if place >= self.place:
                break
            if not tests:
                self.place = place
                break
            own.append(entry)
        if own:
            contested = tuple(sorted((*contested, tuple(own)), key=_first_place))
        self.contested: tuple[tuple[_Entry, ...], ...] = contested
        if contested and contested[-1][0][0] >= self.place:
            self.contested = tuple(entries for entries in contested if entries[0][0] < self.place)


class _Filed:
    """Entries by whole paths and by prefixes of paths, in lists in order of precedence."""

    __slots__ = ("exact", "prefixes")

    def __init__(self) -> None:
        self.exact: dict[bytes, list[_Entry]] = {}
        self.prefixes: dict[bytes, list[_Entry]] = {b"": []}

    def add(self, value: bytes, is_exact: bool, entry: _Entry) -> None:
        """File an entry, whose place is behind those of all that are filed."""
        if is_exact:
            self.exact.setdefault(value, []).append(entry)
        else:
            # Every path starts with a slash.
            self.prefixes.setdefault(b"" if value == b"/" else value, []).append(entry)


class _Paths:
    """Links by path."""

    __slots__ = ("_exact", "_links", "_values")

    def __init__(self, filed: _Filed) -> None:
        prefixes = filed.prefixes
        self._values = tuple(sorted(prefixes))
        link = _Link(b"", None, prefixes[b""])
        links = [link]
        for value in self._values[1:]:
            while not value.startswith(link.value):
                link = link.parent
            link = _Link(value, link, prefixes[value])
            links.append(link)
        self._links = tuple(links)
        self._exact = {
            value: _Link(value, self._longest_prefix(value), entries) for value, entries in filed.exact.items()
        }

    def longest(self, path: bytes) -> _Link:
        """The link that says the most about a path."""
        return self._exact.get(path) or self._longest_prefix(path)

    def _longest_prefix(self, path: bytes) -> _Link:
        link = self._links[bisect_right(self._values, path) - 1]
        while not path.startswith(link.value):
            link = link.parent
        return link


class RouteIndex(_Paths):
    """The match blocks of a list of routes, in order of precedence. What is found is a place in that list.

    ``always``: the place that every request gets, if there is such a place. ``shared`` may be given to several indexes.
    """

    __slots__ = ("_first_in_lower_case", "_in_lower_case", "always")

    def __init__(self, matches: Sequence[RouteMatch], shared: SharedTests | None = None) -> None:
        shared = {} if shared is None else shared
        as_written, in_lower_case = _Filed(), _Filed()
        first: int | None = None
        self._first_in_lower_case = maxsize
        for place, match in enumerate(matches):
            if match.impossible:
                continue
            if first is None:
                first = place
            path = match.path
            tests = () if match.only_path else _other_tests(match, shared)
            comparison, value = path.comparison, path.value.encode("utf-8")
            if comparison is _REGEX:
                starts, rest = literal_starts(path.value)
                if rest not in ("", ".*"):
                    tests = (*tests, path_test(path))
                for start in starts:
                    as_written.add(start, not rest, (place, tests))
            elif comparison is _PRESENT:
                as_written.add(b"", False, (place, tests))
            elif path.ignore_case and value.lower() != value.upper():
                in_lower_case.add(value.lower(), comparison is _EXACT, (place, tests))
                self._first_in_lower_case = min(self._first_in_lower_case, place)
            else:
                as_written.add(value, comparison is _EXACT, (place, tests))
        super().__init__(as_written)
        self._in_lower_case = None if self._first_in_lower_case is maxsize else _Paths(in_lower_case)
        certain = self._links[0].place
        self.always: int | None = certain if certain == first else None

    def find(self, request: RoutedRequest) -> int | None:
        """The place of the first match block whose conditions all hold."""
        path = request.route_path
        link = self._exact.get(path)
        if link is None:
            link = self._longest_prefix(path)
        best, contested = link.place, link.contested
        # What no case counts for is looked at only where it could come before what is certain already.
        if best > self._first_in_lower_case and self._in_lower_case is not None:
            link = self._in_lower_case.longest(path.lower())
            contested = (*contested, *link.contested)
            best = min(best, link.place)
        for entries in contested:
            for place, tests in entries:
                if place >= best:
                    break
                for test in tests:
                    if not test(request):
                        break
                else:
                    best = place
                    break
        return None if best is maxsize else best


def _other_tests(match: RouteMatch, shared: SharedTests) -> tuple[Test, ...]:
    """All tests but that of the path, the quick ones first."""
    found = sorted(other_conditions(match), key=_has_regex)
    return tuple(shared.setdefault(condition[1:], condition.test) for condition in found)


def _first_place(entries: tuple[_Entry, ...]) -> int:
    return entries[0][0]
