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
from meshproxy.config.nodes import Entries, Items, Text, Value
from meshproxy.config.scalars import LETTERS, WORDS, key_text, resolve
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


class _Open:
    """A list or mapping whose end has not been seen.

    ``entries`` are those of a mapping, ``items`` those of a list. ``counted``: how many values there were up to the
    beginning of one with an anchor.
    """

    __slots__ = ("anchor", "counted", "entries", "height", "items", "key", "merges", "value")

    def __init__(self, value: Items | Entries) -> None:
        self.value = value
        self.entries = value.entries if isinstance(value, Entries) else None
        self.items = value.items if isinstance(value, Items) else []
        self.height = 1
        self.anchor: str | None = None
        self.counted = 0
        self.key: _Key | None = None
        self.merges: list[Value] | None = None


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
        self.spent = self._spelled = self._expanded = self._stand_ins = 0
        self._anchors: dict[str, _Anchored] = {}
        self._stack: list[_Open] = []
        self._root: Value | None = None

    def documents(self, text: str) -> Iterator[Value]:
        """The root of each document, empty documents (a null) included.

        Raises ``yaml.YAMLError`` at the first syntax error, and where a document is too deep or expands too much, after
        the documents before it.
        """
        if _STAND_IN not in text:
            text, self._stand_ins = _LAST_COLON.subn(_STAND_IN, text)
        loader = _Loader(text)
        next_event: Callable[[], Any] = loader.get_event  # an event of one of the kinds below
        first, stand_ins, stack = self._first, self._stand_ins, self._stack
        # This loop is a quarter of a load: what is usual is done at once, all else by the methods below. ``inner`` is
        # the innermost collection whose end has not been seen; its ``key`` waits for a value.
        try:
            while (event := next_event()) is not None:
                kind = type(event)
                value: Value
                if kind is ScalarEvent:
                    mark = event.start_mark
                    content = event.value.replace(_STAND_IN, ":") if stand_ins else event.value
                    self._spelled += 1 if len(content) < _LONG else _weight(content)
                    tag = ("" if event.implicit[0] else "str") if event.tag is None else self._scalar_tag(event)
                    line, column = first + mark.line, mark.column + 1
                    if event.anchor is not None or not stack:
                        self._add(Text(line, column, content, tag), event.anchor)
                        continue
                    inner = stack[-1]
                    if inner.key is None and inner.entries is not None:
                        plain = tag == "str" or (content[:1] in LETTERS and content not in WORDS)
                        text_key = (content, line, column, "str")
                        inner.key = text_key if plain else self._key(Text(line, column, content, tag))
                        continue
                    value = Text(line, column, content, tag)
                elif kind is MappingEndEvent or kind is SequenceEndEvent:
                    done = stack.pop()
                    value = done.value
                    if done.anchor is not None or done.merges or not stack:
                        self._close(done)
                        continue
                    inner = stack[-1]
                    if inner.height <= done.height:
                        inner.height = done.height + 1
                elif kind is MappingStartEvent or kind is SequenceStartEvent:
                    mark = event.start_mark
                    line, column = first + mark.line, mark.column + 1
                    opened = _Open(Entries(line, column, {}) if kind is MappingStartEvent else Items(line, column, []))
                    self._spelled += 1
                    if event.tag is not None or event.anchor is not None or len(stack) >= DEPTH:
                        self._check_start(opened, event)
                    stack.append(opened)
                    continue
                elif kind is AliasEvent:
                    self._add_alias(event)
                    continue
                else:
                    if kind is DocumentStartEvent:
                        self._anchors = {}
                        stack.clear()
                        self._root = None
                    elif kind is DocumentEndEvent and self._root is not None:
                        yield self._root
                    continue
                # A complete value in a collection.
                entries, key = inner.entries, inner.key
                if entries is None:
                    inner.items.append(value)
                elif key is not None and key[3] == "str" and key[0] not in entries:
                    entries[key[0]] = (key[1], key[2], value)
                    inner.key = None
                else:
                    self._add(value, None)
        finally:
            loader.dispose()

    def _check_start(self, opened: _Open, event: yaml.CollectionStartEvent) -> None:
        """What is unusual about the start of a collection: its tag, an anchor, how deep it is."""
        if len(self._stack) >= DEPTH:
            raise _stop(TOO_DEEP, event)
        tag = "map" if opened.entries is not None else "seq"
        if event.tag is not None and event.tag not in (_CORE + tag, "!"):
            self._refuse_tag(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(None)
            opened.anchor, opened.counted = event.anchor, self._spelled + self._expanded

    def _close(self, done: _Open) -> None:
        if done.merges and isinstance(done.value, Entries):
            self._merge(done.value, done.merges)
        self._add(done.value, None)
        self._reach(done.height)
        if done.anchor is not None:
            size = 1 + self._spelled + self._expanded - done.counted
            self._anchors[done.anchor] = _Anchored(done.value, size, done.height)

    def _add_alias(self, event: yaml.AliasEvent) -> None:
        self._spelled += 1
        name = event.anchor or ""
        known = self._anchors.get(name)
        if known is None or known.value is None:
            if known is not None:
                self._error(event, "this alias stands within its own anchor")
            else:
                hint = "if no alias is meant, put it in quotes"
                self._error(event, "this alias has no anchor of its name before it", hint)
            self._add(Text(*self._at(event), "", "str"), None)
            return
        self._expanded += known.size
        self.spent = max(self.spent, self._expanded - self._spelled)
        if self.spent > self._allowance:
            raise _stop(TOO_MANY, event)
        if len(self._stack) + known.height > DEPTH:
            raise _stop(TOO_DEEP, event)
        self._add(known.value, None)
        self._reach(known.height)

    def _reach(self, height: int) -> None:
        """Take note of how deep a value of the innermost collection nests."""
        if self._stack and self._stack[-1].height <= height:
            self._stack[-1].height = height + 1

    def _add(self, value: Value, anchor: str | None) -> None:
        """Put a complete value into what is inner."""
        if anchor is not None:
            self._anchors[anchor] = _Anchored(value, _weight(value.text) if isinstance(value, Text) else 1)
        if not self._stack:
            self._root = value
            return
        parent = self._stack[-1]
        container = parent.value
        if isinstance(container, Items):
            container.items.append(value)
        elif parent.key is None:
            parent.key = self._key(value)
        else:
            self._add_entry(container, parent, value)

    def _key(self, value: Value) -> _Key:
        if isinstance(value, Text):
            text = value.text if value.tag == "str" else key_text(value.text)
            if text is not None:
                return text, value.line, value.column, "" if text == "<<" and value.tag == "" else "str"
        kind = "null" if isinstance(value, Text) else "a list" if isinstance(value, Items) else "a mapping"
        hint = "put it in quotes" if kind == "null" else "a value that starts with '[' or '{' has to be in quotes"
        self._findings.error(self._place(value), f"a key must be a string, not {kind}", hint)
        return "", value.line, value.column, "null"

    def _add_entry(self, container: Entries, parent: _Open, value: Value) -> None:
        assert parent.key is not None
        (text, line, column, tag), parent.key = parent.key, None
        if tag == "null":
            return
        if tag == "":
            if parent.merges is None:
                parent.merges = []
            parent.merges.append(value)
            return
        if text not in container.entries:
            container.entries[text] = (line, column, value)
            return
        first, place, _ = container.entries[text]
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
