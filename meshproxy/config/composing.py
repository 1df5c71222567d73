"""From YAML events to values with their places, without recursion and without PyYAML's guesses.

Rules, where they are not YAML's own:

- Nesting and what aliases expand to are bounded. An alias is the same object as its anchor, so a small file can stand
  for a tree that nobody can walk; what a file spells out is never limited. A long text counts as several values.
- Keys are strings. An unquoted number or boolean is the key that it becomes in JSON; null, lists and mappings are
  errors.
- Duplicate keys are errors. Merge keys (``<<``) are expanded: a mapping's own keys win, then those of earlier merges.
- ``[1.2.3.4, 2001:db8::]`` is a list of two strings, as in Go, though libyaml refuses it.
- Tags are those of YAML's core schema; others are errors.

Errors that do not make the rest of a document meaningless are noted and the reading goes on, so that a user sees all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from meshproxy.config.findings import Findings
from meshproxy.config.scalars import LETTERS, WORDS, key_text, resolve
from meshproxy.config.values import Entries, Items, Text, Value
from meshproxy.config.yamlerrors import DEPTH, EXPANSION, TOO_DEEP, TOO_MANY
from meshproxy.errors import Location, Origin

_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS = {
    "!": "str",
    _CORE + "str": "str",
    _CORE + "timestamp": "str",  # Go hands on the text
    _CORE + "int": "int",
    _CORE + "float": "float",
    _CORE + "bool": "bool",
    _CORE + "null": "null",
}
_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}
# The last colon of an IPv6 address in a flow collection, and the character that libyaml gets to see in its place. Both
# are one character, so that columns are right.
_LAST_COLON = re.compile(r"(?<=[0-9A-Fa-f]:):(?=[,\]}])")
_STAND_IN = "\ue000"
_LONG = 256
_Loader: type[yaml.CSafeLoader] | type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_Key = tuple[str, int, int, str]
"""Text, line, column and tag of a key. The tag is "" only for the key of a merge, and "null" for what can be no key."""


class _Unusual:
    """What few collections have, as long as their end has not been seen.

    ``anchor``: the name of one, with how many values there were up to it (``counted``) and how deep the nesting was
    elsewhere (``deepest``). ``merges``: the values of its merge keys.
    """

    __slots__ = ("anchor", "counted", "deepest", "merges")

    def __init__(self) -> None:
        self.anchor: str | None = None
        self.counted = self.deepest = 0
        self.merges: list[Value] = []


class _Anchored(NamedTuple):
    """What an alias stands for: a value, how many there are in it, itself included, and how deep they nest.

    ``value`` is None as long as its end has not been seen.
    """

    value: Value | None
    size: int = 1
    height: int = 0


class Composer:
    """Composes the documents of one text.

    ``allowance``: how many values aliases may add beside as many as the text spells out. ``spent`` is afterwards how
    many of them were needed.
    """

    def __init__(self, origin: Origin, findings: Findings, allowance: int = EXPANSION, lines_before: int = 0) -> None:
        """``lines_before``: how many lines there are between ``origin`` and the text."""
        self._origin = origin
        self._findings = findings
        self._allowance = allowance
        self._first = lines_before + 1
        self.spent = self._expanded = self._stand_ins = 0
        self._anchors: dict[str, _Anchored] = {}
        self._unusual: dict[int, _Unusual] = {}  # by depth

    def documents(self, text: str) -> Iterator[Value]:
        """The root of each document, empty documents (a null) included.

        Raises ``yaml.YAMLError`` at the first syntax error, and where a document is too deep or expands too much, after
        the documents before it.
        """
        if _STAND_IN not in text:
            text, self._stand_ins = _LAST_COLON.subn(_STAND_IN, text)
        loader = _Loader(text)
        next_event: Callable[[], Any] = loader.get_event  # an event of one of the kinds below
        first, stand_ins, unusual = self._first, self._stand_ins, self._unusual
        # This loop is a third of a load: what is usual is done at once, all else by the methods below. ``inner`` is the
        # innermost collection whose end has not been seen, and a list of the roots is around all. Of a mapping there
        # are its ``entries``, and the key that waits for a value, or None; of a list there is what appends to it.
        roots: list[Value] = []
        inner: Items | Entries = Items(first, 1, roots)
        entries: dict[str, tuple[int, int, Value]] | None = None
        append = roots.append
        key: str | None = None
        key_line = key_column = depth = deepest = spelled = 0
        key_tag = ""
        stack: list[Any] = []  # of the collections around the innermost, what is kept of it here
        try:
            while (event := next_event()) is not None:
                kind = type(event)
                value: Value
                if kind is ScalarEvent:
                    mark = event.start_mark
                    content = event.value.replace(_STAND_IN, ":") if stand_ins else event.value
                    spelled += 1 if len(content) < _LONG else _weight(content)
                    tag = ("" if event.implicit[0] else "str") if event.tag is None else self._scalar_tag(event)
                    if (
                        entries is not None
                        and key is None
                        and event.anchor is None
                        and (tag == "str" or (content[:1] in LETTERS and content not in WORDS))
                    ):
                        key, key_line, key_column, key_tag = content, first + mark.line, mark.column + 1, "str"
                        continue
                    value = Text(first + mark.line, mark.column + 1, content, tag)
                    if event.anchor is not None:
                        self._anchors[event.anchor] = _Anchored(value, _weight(content))
                elif kind is MappingEndEvent or kind is SequenceEndEvent:
                    value = inner
                    if unusual and (found := unusual.pop(depth, None)) is not None:
                        deepest = self._end_unusual(inner, found, spelled, depth, deepest)
                    inner, entries, append, key, key_line, key_column, key_tag = stack.pop()
                    depth -= 1
                elif kind is MappingStartEvent or kind is SequenceStartEvent:
                    stack.append((inner, entries, append, key, key_line, key_column, key_tag))
                    mark = event.start_mark
                    spelled += 1
                    depth += 1
                    if kind is MappingStartEvent:
                        entries = {}
                        inner = Entries(first + mark.line, mark.column + 1, entries)
                        key = None
                    else:
                        entries = None
                        items: list[Value] = []
                        inner = Items(first + mark.line, mark.column + 1, items)
                        append = items.append
                    if depth > deepest:
                        deepest = depth
                        if depth > DEPTH:
                            raise _stop(TOO_DEEP, event)
                    if event.tag is not None or event.anchor is not None:
                        deepest = self._start_unusual(event, spelled, depth, deepest)
                    continue
                elif kind is AliasEvent:
                    spelled += 1
                    value, height = self._alias(event, spelled, depth)
                    deepest = max(deepest, depth + height)
                else:
                    if kind is DocumentStartEvent:
                        self._anchors = {}
                        deepest = 0
                    elif kind is DocumentEndEvent:
                        yield roots.pop()
                    continue
                # A complete value.
                if entries is None:
                    append(value)
                elif key is None:
                    key, key_line, key_column, key_tag = self._key(value)
                else:
                    if key_tag == "str" and key not in entries:
                        entries[key] = (key_line, key_column, value)
                    else:
                        self._add_entry(entries, (key, key_line, key_column, key_tag), value, depth)
                    key = None
        finally:
            loader.dispose()

    def _start_unusual(self, event: yaml.CollectionStartEvent, spelled: int, depth: int, deepest: int) -> int:
        """Take note of the tag or the anchor of a collection; the depth to go on with."""
        tag = "map" if type(event) is MappingStartEvent else "seq"
        if event.tag is not None and event.tag not in (_CORE + tag, "!"):
            self._refuse_tag(event)
        if event.anchor is None:
            return deepest
        self._anchors[event.anchor] = _Anchored(None)
        noted = self._unusual[depth] = _Unusual()
        noted.anchor, noted.counted, noted.deepest = event.anchor, spelled + self._expanded, deepest
        return depth

    def _end_unusual(self, value: Items | Entries, noted: _Unusual, spelled: int, depth: int, deepest: int) -> int:
        """Finish a collection with merge keys or an anchor; the depth to go on with."""
        if isinstance(value, Entries):
            self._merge(value, noted.merges)
        if noted.anchor is not None:
            size = 1 + spelled + self._expanded - noted.counted
            self._anchors[noted.anchor] = _Anchored(value, size, deepest - depth + 1)
        return max(deepest, noted.deepest)

    def _alias(self, event: yaml.AliasEvent, spelled: int, depth: int) -> tuple[Value, int]:
        """What an alias stands for, and how deep that nests."""
        name = event.anchor or ""
        known = self._anchors.get(name)
        if known is None or known.value is None:
            if known is not None:
                self._error(event, "this alias stands within its own anchor")
            else:
                hint = "if no alias is meant, put it in quotes"
                self._error(event, "this alias has no anchor of its name before it", hint)
            return Text(*self._at(event), "", "str"), 0
        self._expanded += known.size
        self.spent = max(self.spent, self._expanded - spelled)
        if self.spent > self._allowance:
            raise _stop(TOO_MANY, event)
        if depth + known.height > DEPTH:
            raise _stop(TOO_DEEP, event)
        return known.value, known.height

    def _key(self, value: Value) -> _Key:
        if isinstance(value, Text):
            text = value.text if value.tag == "str" else key_text(value.text)
            if text is not None:
                return text, value.line, value.column, "" if text == "<<" and value.tag == "" else "str"
        kind = "null" if isinstance(value, Text) else "a list" if isinstance(value, Items) else "a mapping"
        hint = "put it in quotes" if kind == "null" else "a value that starts with '[' or '{' has to be in quotes"
        self._findings.error(self._place(value), f"a key must be a string, not {kind}", hint)
        return "", value.line, value.column, "null"

    def _add_entry(self, entries: dict[str, tuple[int, int, Value]], key: _Key, value: Value, depth: int) -> None:
        """Add an entry whose key is a merge, no key, or may be there already."""
        text, line, column, tag = key
        if tag == "null":
            return
        if tag == "":
            self._unusual.setdefault(depth, _Unusual()).merges.append(value)
            return
        if text not in entries:
            entries[text] = (line, column, value)
            return
        first, place, _ = entries[text]
        where = f"line {self._origin.lines_before + first}" if first != line else f"column {place} of the same line"
        self._findings.error(Location(self._origin, line, column), f"duplicate key {text!r}: it is already in {where}")

    def _merge(self, container: Entries, merges: list[Value]) -> None:
        for merged in merges:
            for source in merged.items if isinstance(merged, Items) else [merged]:
                if not isinstance(source, Entries):
                    message = "the value of << must be an alias of a mapping, or a list of such aliases"
                    self._findings.error(self._place(source), message)
                    continue
                for key, entry in source.entries.items():
                    container.entries.setdefault(key, entry)

    def _scalar_tag(self, event: yaml.ScalarEvent) -> str:
        tag = _SCALAR_TAGS.get(event.tag or "")
        if tag is None:
            self._refuse_tag(event)
            return "str"
        if tag in _TYPES:
            value = resolve(event.value)
            if not isinstance(value, _TYPES[tag]) or (tag != "bool" and isinstance(value, bool)):
                self._error(event, f"this value does not fit its tag !!{tag}")
                return "str"
        return tag

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        self._error(event, "this tag has no meaning here", "a value that starts with '!' has to be in quotes")

    def _error(self, event: yaml.Event, message: str, hint: str = "") -> None:
        # Messages quote no value, for the document may turn out to be a Secret.
        self._findings.error(Location(self._origin, *self._at(event)), message, hint)

    def _at(self, event: yaml.Event) -> tuple[int, int]:
        mark = event.start_mark
        assert mark is not None
        return self._first + mark.line, mark.column + 1

    def _place(self, value: Value) -> Location:
        return Location(self._origin, value.line, value.column)


def _weight(text: str) -> int:
    """As how many values a text counts, which messages and the like may repeat as a whole."""
    return 1 + len(text) // _LONG


def _stop(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    # The stubs know only one of the two kinds of mark.
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]
