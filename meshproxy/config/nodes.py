"""Values of configuration files that know their place.

``Node`` is a view on a value that adds the dotted path and reads it as what the caller expects. Nodes are made when
they are asked for, since most of a large file (the endpoints) is read once and in one way.

Typing is that of protobuf JSON behind Go's YAML reader: nothing is converted, so a string that looks like a number or
a boolean has to be quoted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Literal, NoReturn

from zope.interface import implementer

from meshproxy import duration
from meshproxy.config.diagnostics import suggest
from meshproxy.config.scalars import LONE_LETTERS, Scalar, resolve
from meshproxy.config.values import Entries, Items, Text, Value, is_null, is_string
from meshproxy.errors import ConfigError, Diagnostic, Location, Origin, Severity
from meshproxy.interfaces import IConfig

_BOOLEAN_KEY = "unquoted yes, no, on and off are true and false in YAML: put the key in quotes"

Kind = Literal["mapping", "list", "scalar", "null"]


@implementer(IConfig)
class Node:
    """One value of the configuration; see ``IConfig`` for what the reading methods promise."""

    __slots__ = ("_origin", "_parent", "_step", "_value")

    def __init__(self, origin: Origin, value: Value, parent: Node | None = None, step: str | int = "") -> None:
        """``step``: which key or index of its parent it is; of a node without parent, the whole path."""
        self._origin = origin
        self._value = value
        self._parent = parent
        self._step = step

    @classmethod
    def mapping(cls, location: Location, path: str, entries: Sequence[tuple[str, Node]]) -> Node:
        """A mapping that stands nowhere, of values that do; errors about itself and its keys point to ``location``."""
        keys = {name: (location.offset, location.column, node._value) for name, node in entries}
        return cls(location.origin, Entries(location.offset, location.column, keys), None, path)

    def as_document(self) -> Node:
        """The same value as the root of a document of its own: paths in it begin here."""
        return Node(self._origin, self._value)

    @property
    def is_empty_list(self) -> bool:
        """True for a list without items."""
        return isinstance(self._value, Items) and not self._value.items

    @property
    def is_empty_text(self) -> bool:
        """True for an empty string, which has to stand in quotes."""
        return isinstance(self._value, Text) and not self._value.text and self._value.tag == "str"

    def __repr__(self) -> str:
        return f"<Node {self.kind} {self.path or '.'} at {self.location}>"

    @property
    def path(self) -> str:
        """The dotted path in the document; "" at its root."""
        if self._parent is None:
            return str(self._step)
        above = self._parent.path
        if isinstance(self._step, int):
            return f"{above}[{self._step}]"
        return f"{above}.{self._step}" if above else self._step

    @property
    def location(self) -> Location:
        """Where the value stands."""
        return Location(self._origin, self._value.line, self._value.column)

    @property
    def kind(self) -> Kind:
        """What the value is, as far as YAML goes. Numbers, booleans and strings are all scalars."""
        if isinstance(self._value, Text):
            return "null" if is_null(self._value) else "scalar"
        return "list" if isinstance(self._value, Items) else "mapping"

    def key_location(self, name: str) -> Location:
        """Where the key ``name`` of this mapping stands; the place of the mapping itself if it has no such key."""
        if isinstance(self._value, Entries) and name in self._value.entries:
            line, column, _ = self._value.entries[name]
            return Location(self._origin, line, column)
        return self.location

    @property
    def raw_entries(self) -> Mapping[str, tuple[int, int, Value]]:
        """The entries of a mapping, each with the line and column of its key; none if this is no mapping."""
        return self._value.entries if type(self._value) is Entries else {}

    def location_of_value(self, value: Value) -> Location:
        """Where another value of the same document stands."""
        return Location(self._origin, value.line, value.column)

    def location_of(self, name: str) -> Location:
        """Where the value of a mapping's key stands; the place of the mapping itself if it has none or a null."""
        value = self._value
        entry = value.entries.get(name) if type(value) is Entries else None
        found = value if entry is None or is_null(entry[2]) else entry[2]
        return Location(self._origin, found.line, found.column)

    def get(self, name: str) -> Node | None:
        """The value of a mapping's key, None if it is absent or null or if this is no mapping. Nothing is checked."""
        value = self._value
        entry = value.entries.get(name) if type(value) is Entries else None
        if entry is None:
            return None
        inner = entry[2]
        return None if type(inner) is Text and is_null(inner) else Node(self._origin, inner, self, name)

    def fields(self, *names: str) -> dict[str, Node]:
        """The fields of a mapping that has no others than ``names``, without those that are null.

        All unknown fields are reported at once, each at its key.
        """
        origin, found = self._origin, {}
        unknown = False
        for key, (_, _, value) in self._mapping().items():
            if key not in names:
                unknown = True
            elif type(value) is not Text or not is_null(value):
                found[key] = Node(origin, value, self, key)
        if unknown:
            raise ConfigError([self._unknown(key, names) for key in self.keys_beside(names)])
        return found

    def keys_beside(self, names: Collection[str]) -> list[str]:
        """The keys of a mapping that are not among ``names``; none if this is no mapping."""
        return [key for key in self._value.entries if key not in names] if isinstance(self._value, Entries) else []

    def _unknown(self, key: str, names: Sequence[str]) -> Diagnostic:
        message = f"{self._name()} has no field {key!r}" if self.path else f"unknown field {key!r}"
        hint = _BOOLEAN_KEY if key in ("true", "false") else suggest(key, names)
        return Diagnostic(message, self.key_location(key), hint)

    def entries(self) -> list[tuple[str, Node]]:
        """The entries of a mapping with free keys, in file order. A null value is an error."""
        origin = self._origin
        nodes = [(key, Node(origin, value, self, key)) for key, (_, _, value) in self._mapping().items()]
        nulls = [(key, node) for key, node in nodes if is_null(node._value)]
        if nulls:
            raise ConfigError(Diagnostic(f"{node.path} may not be null", self.key_location(key)) for key, node in nulls)
        return nodes

    def items(self) -> list[Node]:
        """The items of a list. A null item is an error."""
        if not isinstance(self._value, Items):
            self._refuse("a list", self._list_hint())
        origin, values = self._origin, self._value.items
        nodes = [Node(origin, item, self, index) for index, item in enumerate(values)]
        for item in values:
            if type(item) is Text and is_null(item):
                nulls = (node for node in nodes if is_null(node._value))
                raise ConfigError(Diagnostic(f"{node.path} may not be null", node.location) for node in nulls)
        return nodes

    def string(self) -> str:
        """A string. An unquoted number, boolean or null is an error, as it is for Istio."""
        if is_string(self._value):
            return self._value.text  # nearly every one
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

    def warn(self, message: str, hint: str = "") -> None:
        """Leave a warning for this place with the ``Setting`` that the value is part of."""
        node: Node | None = self
        while not isinstance(node, Setting):
            assert node is not None, "nobody would hear of this"
            node = node._parent
        node.warnings.append(Diagnostic(message, self.location, hint, Severity.WARNING))

    def as_setting(self) -> Setting:
        """The same value for a strategy, who may warn of it."""
        return Setting(self._origin, self._value, self._parent, self._step)

    def _mapping(self) -> dict[str, tuple[int, int, Value]]:
        if not isinstance(self._value, Entries):
            self._refuse("a mapping")
        return self._value.entries

    def _scalar(self) -> Scalar | list[Value]:
        """The typed value; for a mapping or a list something that is no scalar."""
        value = self._value
        if not isinstance(value, Text):
            return []
        if value.tag == "str":
            return value.text
        return resolve(value.text)

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
        return "" if is_null(self._value) else "start each item of the list with '- '"

    def _check_bounds(self, value: float, minimum: float | None, maximum: float | None) -> None:
        if (minimum is None or value >= minimum) and (maximum is None or value <= maximum):
            return
        if minimum is not None and maximum is not None:
            bounds = f"between {minimum} and {maximum}"
        else:
            bounds = f"at least {minimum}" if maximum is None else f"at most {maximum}"
        self.fail(f"{self._name()} must be {bounds}, not {self._text()}")


class Setting(Node):
    """The value of a strategy's setting. ``warnings`` has what the strategy warned of."""

    __slots__ = ("warnings",)

    def __init__(self, origin: Origin, value: Value, parent: Node | None = None, step: str | int = "") -> None:
        super().__init__(origin, value, parent, step)
        self.warnings: list[Diagnostic] = []
