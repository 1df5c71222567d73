"""Syntax errors of YAML in plain words: libyaml's say what a parser wanted, these say what a writer can do."""

from __future__ import annotations

import re

import yaml

from meshproxy.config.sources import LINE_END
from meshproxy.errors import Diagnostic, Location, Origin

DEPTH = 50
TOO_DEEP = f"this is nested more than {DEPTH} levels deep"
# Values that aliases may add in all files, beside as many as each document spells out.
EXPANSION = 100_000
TOO_MANY = f"the aliases up to here expand to more than {EXPANSION} values"

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TABS = ("a tab is used for indentation; YAML takes only spaces there", "replace each tab with spaces")
_QUOTE = "put the value in quotes"
_OPEN_STRING = ("the quoted string that begins here is not closed", "")
_OPEN_BRACKET = ("the document ends here, but a '[' or '{' before is not closed", "")
_HEADER = ("nothing may follow | or > on its line", "")
_STAR = ("a value that starts with '*' has to be in quotes, or it is an alias", 'such as "*.example.com"')

_AMPERSAND = ("a value that starts with '&' has to be in quotes, or it is an anchor", _QUOTE)
_COLON = ("this stands where a key should, but no ':' follows", "check the indentation")
# Shown where the thing begins, not where the parser stopped.
_AT_BEGINNING = (_OPEN_STRING, _STAR, _AMPERSAND, _COLON)

# libyaml's problem, and where it takes that to tell, its context: message and hint.
# {line} is the line where the thing begins that could not be read to its end.
_WORDS: dict[str, tuple[str, str]] = {
    "found a tab character that violates indentation": _TABS,
    "found a tab character where an indentation space is expected": _TABS,
    "mapping values are not allowed in this context": (
        "a key and its ':' cannot stand here",
        "either the indentation is wrong, or this is a value with ': ' in it and has to be in quotes",
    ),
    "block sequence entries are not allowed in this context": (
        "a list item cannot begin here",
        "begin each '- ' on a line of its own, and indent it under its key",
    ),
    "found unexpected document indicator": _OPEN_STRING,
    "found unexpected end of stream": _OPEN_STRING,
    "did not find expected ',' or ']'": ("the list that begins with '[' in line {line} lacks a ',' or ']' here", ""),
    "did not find expected ',' or '}'": (
        "the mapping that begins with '{{' in line {line} lacks a ',' or '}}' here",
        "",
    ),
    "did not find expected '-' indicator": (
        "the list that begins in line {line} is interrupted here by something without '- '",
        "check the indentation",
    ),
    "did not find expected key": (
        "the mapping that begins in line {line} is interrupted here by something that is no key",
        "check the indentation, and the quotes and ':' of the line before",
    ),
    "did not find expected <document start>": (
        "the document has ended, but something follows",
        "separate documents with a line '---', and check the indentation",
    ),
    "could not find expected ':'": _COLON,
    "found unexpected ':'": ("a ':' cannot stand here", _QUOTE),
    "while scanning an alias: did not find expected alphabetic or numeric character": _STAR,
    "while scanning an anchor: did not find expected alphabetic or numeric character": _AMPERSAND,
    "found unknown escape character": (
        "this escape is unknown in a string in double quotes",
        "write \\\\ for a backslash, or use single quotes",
    ),
    "did not find expected node content": (
        "a value is missing here",
        "a value that starts like this has to be in quotes",
    ),
    "did not find expected comment or line break": _HEADER,
    "did not find expected digit or '-'": _HEADER,
    "found undefined tag handle": ("this tag is unknown", "a value that starts with '!' has to be in quotes"),
    "found incompatible YAML document": ("this version of YAML is unknown", "leave the %YAML line away"),
    "exceeded maximum nesting depth": (TOO_DEEP, ""),
    TOO_DEEP: (TOO_DEEP, ""),
    TOO_MANY: (TOO_MANY, ""),
}


def explain(error: yaml.YAMLError, origin: Origin, text: str, lines_before: int) -> tuple[Diagnostic, int]:
    """The finding for a syntax error in ``text``, and at which index of ``text`` the parser stopped.

    ``lines_before`` is how many lines there are between ``origin`` and the text.
    """
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return _unreadable(error, origin, text, lines_before)
    stopped = error.problem_mark
    first_line = origin.lines_before + lines_before + 1
    message, hint = _words(error, text[stopped.index : stopped.index + 3], first_line)
    shown = error.context_mark if (message, hint) in _AT_BEGINNING and error.context_mark else stopped
    place = Location(origin, lines_before + shown.line + 1, shown.column + 1)
    return Diagnostic(message, place, hint), stopped.index


def _words(error: yaml.MarkedYAMLError, found: str, first_line: int) -> tuple[str, str]:
    problem, context = error.problem or "", error.context or ""
    if problem == "found character that cannot start any token":
        return _TABS if found[:1] == "\t" else (f"a value cannot start with {found[:1]!r}", _QUOTE)
    if problem == "did not find expected node content" and found in ("", "---", "..."):
        return _OPEN_BRACKET
    words = _WORDS.get(problem) or _WORDS.get(f"{context}: {problem}")
    if words is None:
        return f"this is not YAML: {problem}" + (f" ({context})" if context else ""), ""
    line = error.context_mark.line if error.context_mark else 0
    return words[0].format(line=first_line + line), words[1]


def _unreadable(error: yaml.YAMLError, origin: Origin, text: str, lines_before: int) -> tuple[Diagnostic, int]:
    """libyaml gives no place, only an offset in bytes, for a character that YAML forbids."""
    forbidden = _FORBIDDEN.search(text)
    if forbidden is None:
        return Diagnostic(f"this is not YAML: {error}", Location(origin, lines_before + 1)), len(text)
    *ended, line = LINE_END.split(text[: forbidden.start()])
    message = f"the character U+{ord(forbidden[0]):04X} may not be in a YAML file"
    hint = 'in a string in double quotes write it as an escape, such as "\\x1b"'
    place = Location(origin, lines_before + len(ended) + 1, len(line) + 1)
    return Diagnostic(message, place, hint), forbidden.start()
