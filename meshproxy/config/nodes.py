"""Values of configuration files that know their place.

A file is first composed into ``Text``, ``Items`` and ``Entries``; ``Node`` is a view on one of them that adds the
dotted path and reads it as what the caller expects. Nodes are made when they are asked for, since most of a large file
(the endpoints) is read once and in one way.

Typing is that of protobuf JSON behind Go's YAML reader: nothing is converted, so a string that looks like a number or
a boolean has to be quoted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import ClassVar, Literal, NoReturn

from attrs import define
from zope.interface import implementer

from meshproxy import duration
from meshproxy.config.diagnostics import suggest
from meshproxy.config.scalars import LONE_LETTERS, Scalar, resolve
from meshproxy.errors import ConfigError, Diagnostic, Location
from meshproxy.interfaces import IConfig

_BOOLEAN_KEY = "unquoted yes, no, on and off are true and false in YAML: put the key in quotes"

Kind = Literal["mapping", "list", "scalar", "null"]


@define(eq=False, weakref_slot=False)
class Text:
    """A scalar.

    ``tag`` says how to read ``text``: "" as YAML guesses, "str" as a string, or "int", "float", "bool", "null" as an
    explicit tag asks for; the composer has seen to it that the text fits that tag.
    """

    line: int
    column: int
    text: str
    tag: str = ""
    size: ClassVar[int] = 1
    height: ClassVar[int] = 0


@define(eq=False, weakref_slot=False)
class Items:
    """A list. ``size`` counts the values in it and itself, ``height`` how deep they nest, aliases being expanded."""

    line: int
    column: int
    items: list[Value]
    size: int = 1
    height: int = 1


@define(eq=False, weakref_slot=False)
class Entries:
    """A mapping. For each key the line and column of the key, and the value; ``size``, ``height`` as in ``Items``."""

    line: int
    column: int
    entries: dict[str, tuple[int, int, Value]]
    size: int = 1
    height: int = 1


# An alias is the very same object as its anchor.
Value = Text | Items | Entries


@implementer(IConfig)
class Node:
    """One value of the configuration; see ``IConfig`` for what the reading methods promise."""

    __slots__ = ("_children", "_file", "_value", "path")

    def __init__(
        self, file: str, value: Value, path: str = "", children: Sequence[tuple[str, Node]] | None = None
    ) -> None:
        self.path = path
        self._file = file
        self._value = value
        self._children = children

    @classmethod
    def mapping(cls, location: Location, path: str, entries: Sequence[tuple[str, Node]]) -> Node:
        """A mapping that stands nowhere in the file; errors about itself and its keys point to ``location``."""
        children = list(entries)
        keys = {name: (location.line, location.column, node._value) for name, node in children}
        return cls(location.file, Entries(location.line, location.column, keys), path, children)

    def as_document(self) -> Node:
        """The same value as the root of a document of its own: paths in it begin here."""
        return Node(self._file, self._value)

    def __repr__(self) -> str:
        return f"<Node {self.kind} {self.path or '.'} at {self.location}>"

    @property
    def location(self) -> Location:
        """Where the value stands."""
        return Location(self._file, self._value.line, self._value.column)

    @property
    def kind(self) -> Kind:
        """What the value is, as far as YAML goes. Numbers, booleans and strings are all scalars."""
        if isinstance(self._value, Text):
            return "null" if self._is_null() else "scalar"
        return "list" if isinstance(self._value, Items) else "mapping"

    def key_location(self, name: str) -> Location:
        """Where the key ``name`` of this mapping stands; the place of the mapping itself if it has no such key."""
        if isinstance(self._value, Entries) and name in self._value.entries:
            line, column, _ = self._value.entries[name]
            return Location(self._file, line, column)
        return self.location

    def get(self, name: str) -> Node | None:
        """The value of a mapping's key, None if it is absent or null or if this is no mapping. Nothing is checked."""
        if not isinstance(self._value, Entries) or name not in self._value.entries:
            return None
        if self._children is not None:
            node = dict(self._children)[name]
        else:
            node = Node(self._file, self._value.entries[name][2], self._child_path(name))
        return None if node._is_null() else node

    def fields(self, *names: str) -> dict[str, Node]:
        """The fields of a mapping that has no others than ``names``, without those that are null.

        All unknown fields are reported at once, each at its key.
        """
        found = {}
        unknown = []
        for key, node in self._mapping():
            if key not in names:
                message = f"{self._name()} has no field {key!r}" if self.path else f"unknown field {key!r}"
                hint = _BOOLEAN_KEY if key in ("true", "false") else suggest(key, names)
                unknown.append(Diagnostic(message, self.key_location(key), hint))
            elif not node._is_null():
                found[key] = node
        if unknown:
            raise ConfigError(unknown)
        return found

    def entries(self) -> list[tuple[str, Node]]:
        """The entries of a mapping with free keys, in file order. A null value is an error."""
        entries = list(self._mapping())
        nulls = [
            Diagnostic(f"{node._name()} may not be null", self.key_location(key))
            for key, node in entries
            if node._is_null()
        ]
        if nulls:
            raise ConfigError(nulls)
        return entries

    def items(self) -> list[Node]:
        """The items of a list. A null item is an error."""
        if not isinstance(self._value, Items):
            self._refuse("a list", self._list_hint())
        nodes = [Node(self._file, item, f"{self.path}[{index}]") for index, item in enumerate(self._value.items)]
        nulls = [Diagnostic(f"{node._name()} may not be null", node.location) for node in nodes if node._is_null()]
        if nulls:
            raise ConfigError(nulls)
        return nodes

    def string(self) -> str:
        """A string. An unquoted number, boolean or null is an error, as it is for Istio."""
        value = self._scalar()
        if not isinstance(value, str):
            self._refuse("a string", self._quoting_hint())
        return value

    def boolean(self) -> bool:
        """``true`` or ``false`` in any of the spellings of YAML 1.1, unquoted."""
        value = self._scalar()
        if isinstance(value, str) and value in LONE_LETTERS and self._value.tag != "str":  # type: ignore[union-attr]
            return LONE_LETTERS[value]
        if not isinstance(value, bool):
            unquoted = isinstance(value, str) and isinstance(resolve(value), bool)
            self._refuse("true or false", "remove the quotes" if unquoted else "")
        return value

    def integer(self, minimum: int | None = None, maximum: int | None = None) -> int:
        """A whole number within the bounds, both inclusive. ``"80"`` and ``80.0`` are errors."""
        value = self._scalar()
        if isinstance(value, bool) or not isinstance(value, int):
            self._refuse("a whole number", self._unquoting_hint(value))
        self._check_bounds(value, minimum, maximum)
        return value

    def number(self, minimum: float | None = None, maximum: float | None = None) -> float:
        """A finite number within the bounds, both inclusive."""
        value = self._scalar()
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse("a number", self._unquoting_hint(value))
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self._refuse("a finite number")
        self._check_bounds(number, minimum, maximum)
        return number

    def duration(self, minimum: timedelta | None = None) -> timedelta:
        """A duration as Go writes it, not negative and at least ``minimum``."""
        value = self._scalar()
        if not isinstance(value, str):
            bare = isinstance(value, int | float) and not isinstance(value, bool)
            self._refuse("a duration such as 5s or 250ms", f"did you mean {self._text()}s?" if bare else "")
        try:
            found = duration.parse(value)
        except ValueError as error:
            hint = f"did you mean {value}s?" if isinstance(resolve(value), int | float) else ""
            self.fail(f"{self._name()}: {error}", hint or f"a duration is a number and a unit ({duration.UNITS})")
        if found < (minimum or timedelta(0)):
            bound = "negative" if minimum is None else f"less than {duration.format_duration(minimum)}"
            self.fail(f"{self._name()} may not be {bound}, it is {value}")
        return found

    def fail(self, message: str, hint: str = "") -> NoReturn:
        """Raise ``errors.ConfigError`` at this place."""
        raise ConfigError.at(self.location, message, hint)

    def _walk(self) -> Iterator[tuple[str, Node]]:
        """The children of a mapping, nulls included."""
        if self._children is not None:
            yield from self._children
        elif isinstance(self._value, Entries):
            for key, (_, _, value) in self._value.entries.items():
                yield key, Node(self._file, value, self._child_path(key))

    def _child_path(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _mapping(self) -> Iterator[tuple[str, Node]]:
        if not isinstance(self._value, Entries):
            self._refuse("a mapping")
        return self._walk()

    def _scalar(self) -> Scalar | list[Value]:
        """The typed value; for a mapping or a list something that is no scalar."""
        value = self._value
        if not isinstance(value, Text):
            return []
        if value.tag == "str":
            return value.text
        return resolve(value.text)

    def _is_null(self) -> bool:
        value = self._value
        return isinstance(value, Text) and value.tag != "str" and resolve(value.text) is None

    def _name(self) -> str:
        return self.path or "the document"

    def _text(self) -> str:
        return self._value.text if isinstance(self._value, Text) else ""

    def _refuse(self, expected: str, hint: str = "") -> NoReturn:
        self.fail(f"{self._name()} must be {expected}, not {self._described()}", hint)

    def _described(self) -> str:
        value = self._scalar()
        if isinstance(value, list):
            return "a mapping" if isinstance(self._value, Entries) else "a list"
        if value is None:
            return "null"
        if isinstance(value, bool):
            return f"the boolean {self._text()}"
        kind = "string" if isinstance(value, str) else "number"
        text = self._text()
        shown = text if len(text) <= 40 else text[:40] + "..."
        return f"the {kind} {shown if kind == 'number' else repr(shown)}"

    def _quoting_hint(self) -> str:
        """How to write an unquoted value as the string that was meant."""
        text = self._text()
        if not text or len(text) > 40:
            return ""
        return f'write it in quotes: "{text}"'

    def _unquoting_hint(self, value: object) -> str:
        if isinstance(value, str) and isinstance(resolve(value), int | float):
            return "remove the quotes"
        if isinstance(value, float) and value.is_integer():
            return f"did you mean {value:.0f}?"
        return ""

    def _list_hint(self) -> str:
        return "" if self._is_null() else "start each item of the list with '- '"

    def _check_bounds(self, value: float, minimum: float | None, maximum: float | None) -> None:
        if (minimum is None or value >= minimum) and (maximum is None or value <= maximum):
            return
        if minimum is not None and maximum is not None:
            bounds = f"between {minimum} and {maximum}"
        else:
            bounds = f"at least {minimum}" if maximum is None else f"at most {maximum}"
        self.fail(f"{self._name()} must be {bounds}, not {self._text()}")
