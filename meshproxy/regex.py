"""Regular expressions as a gateway has them: RE2, over bytes.

Rules: an expression sees bytes, each of them a character, as on Envoy 1.40 (RE2's Latin-1): ``.`` takes any byte but a
line end, and ``é`` in a pattern is the two bytes of its UTF-8. So a value that is no UTF-8 is matched like any other.
Texts that are matched have no line ends, as nothing in the head of a request has.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from weakref import WeakValueDictionary

import re2

FullMatch = Callable[[bytes], object]
"""True for a text that an expression matches from its first to its last byte."""

# What stands for itself in a pattern.
_LITERALS = r"(?:[\w/~%!,;:=@&'\"<>` -]++|\\[!-/:-@\[-`{}~])*+"
# A caret at the start changes nothing.
_LITERAL_START = re.compile(rf"\^?({_LITERALS})", re.ASCII)
_LITERAL_NEXT = re.compile(_LITERALS, re.ASCII)
_ALTERNATIVES = re.compile(rf"\((?:\?:)?({_LITERALS}(?:\|{_LITERALS})+)\)", re.ASCII)
_PLAIN = re.compile(rf"\^?{_LITERALS}(?:{_ALTERNATIVES.pattern}{_LITERALS})?(?:\.\*)?\Z", re.ASCII)
_LITERAL_UNIT = re.compile(r"\\?(.)")
_REPETITION = ("*", "+", "?", "{")
_MOST_SPELLED_OUT = 20_000  # characters of all alternatives, each with what is around them
_MOST_ASKED = 100  # bytes of a literal that RE2 is asked about

# Equal patterns of all snapshots that are alive share one program.
_matchers: WeakValueDictionary[str, Any] = WeakValueDictionary()


def compile_regex(pattern: str) -> Any:
    """``pattern`` as an object of ``re2`` that takes bytes. Raises ``re2.error``; prints nothing."""
    return _compile(pattern, never_capture=False)


def full_match(pattern: str) -> FullMatch:
    """The test whether ``pattern`` matches a whole text. Raises ``re2.error``."""
    matcher: FullMatch | None = _matchers.get(pattern)
    if matcher is None:
        matcher = _matchers[pattern] = _full_match(pattern)
    return matcher


def is_plain(pattern: str) -> bool:
    """True for texts, alone or with ``.*`` behind them: such a pattern is valid, and no program is needed for it.

    It is what ``literal_starts`` has no other ``rest`` for.
    """
    return _PLAIN.match(pattern) is not None and _is_short_spelled_out(pattern)


def literal_starts(pattern: str) -> tuple[tuple[bytes, ...], str]:
    """``(literals, rest)``: every text that ``pattern`` matches starts with a literal; ``rest`` is what else it asks.

    With no ``rest``, the literals are all that is matched; with ``.*``, to start with one is enough. There are several
    where alternatives come next: ``/(a|b)/.*``. ``pattern`` has to be valid.
    """
    run = _LITERAL_START.match(pattern)
    assert run is not None  # it matches the empty text, too
    start, rest = run[1], pattern[run.end() :]
    group = _ALTERNATIVES.match(rest)
    if group is not None and _is_short_spelled_out(pattern):
        tail = rest[group.end() :]
        run = _LITERAL_NEXT.match(tail)
        if run is not None and "|" not in tail and not tail.startswith(_REPETITION):
            rest = tail[run.end() :]
            return tuple([_literal(start + text + run[0], rest) for text in group[1].split("|")]), rest
    literal = _literal(start, rest)
    if "|" in rest:
        # It may be an alternative to the literal: only RE2 knows.
        literal = literal[:_MOST_ASKED]
        try:
            bounds = _compile(pattern, never_capture=True).possiblematchrange(len(literal) + 1)
        except re2.error:
            return (b"",), rest
        while not all(bound.startswith(literal) for bound in bounds):
            literal = literal[:-1]
    return (literal,), rest


def _is_short_spelled_out(pattern: str) -> bool:
    """Whether it does no harm to write each alternative of a pattern with all that is around them."""
    return pattern.count("|") * len(pattern) <= _MOST_SPELLED_OUT


def _literal(text: str, rest: str) -> bytes:
    """What a text without metacharacters stands for, as far as it is certain if ``rest`` comes behind it."""
    if "\\" in text:
        units = _LITERAL_UNIT.findall(text)
        return "".join(units[:-1] if rest.startswith(_REPETITION) else units).encode("ascii")
    return (text[:-1] if rest.startswith(_REPETITION) else text).encode("ascii")


def _full_match(pattern: str) -> FullMatch:
    if is_plain(pattern):
        literals, rest = literal_starts(pattern)
        return (lambda text: text.startswith(literals)) if rest else (lambda text: text in literals)
    compiled = _compile(pattern, never_capture=True)
    try:
        # The public method makes an object for each match, which takes three times as long.
        match, both_ends = compiled._regexp.Match, re2._Anchor.ANCHOR_BOTH
    except AttributeError:
        return lambda text: compiled.fullmatch(text) is not None
    # The first span is that of the whole match, or (-1, -1).
    return lambda text: not match(both_ends, text, 0, len(text))[0][0]


def _options(never_capture: bool) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.never_capture = never_capture
    return options


_OPTIONS = {never_capture: _options(never_capture) for never_capture in (False, True)}
# The public function keeps what it has compiled and for that looks at each option, which takes longer than compiling.
_make: Callable[[bytes, Any], Any] = getattr(re2, "_Regexp", re2.compile)


@lru_cache(1)  # for alternatives, the first literal and the program are asked for one after the other
def _compile(pattern: str, never_capture: bool) -> Any:
    return _make(pattern.encode("utf-8"), _OPTIONS[never_capture])
