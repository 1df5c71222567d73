"""Header fields in the shapes in which they come.

A client sends the same field names in the same order with each of its requests, and an endpoint with its responses.
What depends on the names alone is worked out once for each such sequence, its *shape*: which names have a meaning for
the gateway, which are left out, and what the rest looks like on the wire. Then its fields cost a look-up and one
formatting, however many they are.

Shapes are remembered, but boundedly, for they come from strangers: when there are too many, all are forgotten and those
in use are soon known again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter

from meshproxy.headers import join_lines
from meshproxy.http.names import Meaning

Values = tuple[bytes, ...]

_MOST_REMEMBERED = 1024
_LONGEST_REMEMBERED = 2048
_LEFT_OUT = frozenset(
    {
        Meaning.DROP,
        Meaning.TRANSFER_ENCODING,
        Meaning.CONNECTION,
        Meaning.HOST,
        Meaning.FORWARDED_FOR,
        Meaning.FORWARDED_PROTO,
        Meaning.UPGRADE,
    }
)


def _picker(positions: Sequence[int]) -> Callable[[Sequence[bytes]], Values]:
    if len(positions) > 1:
        return itemgetter(*positions)
    if positions:
        (only,) = positions
        return lambda values: (values[only],)
    return lambda values: ()


class Shape:
    """What follows from a sequence of names.

    ``names`` are those of the fields that are passed on, in lower case and in order; ``pick`` takes the values of all
    fields and gives those of the fields that are passed on; ``template`` makes their lines of these. ``special`` has
    position (among all fields) and meaning of each field with a meaning of its own. ``repeats``: a name of which
    repeated lines are one value comes more than once. ``underscored``: one of ``names`` has an underscore.
    """

    __slots__ = ("count", "index", "names", "pick", "repeats", "special", "template", "underscored")

    def __init__(self, names: Sequence[bytes], meanings: Mapping[bytes, Meaning]) -> None:
        lower = [name.lower() for name in names]
        meant = [meanings.get(name, Meaning.PLAIN) for name in lower]
        kept = [at for at, meaning in enumerate(meant) if meaning not in _LEFT_OUT]
        self.count = len(names)
        self.names = tuple(lower[at] for at in kept)
        self.pick = _picker(kept)
        self.template = b"".join(name.replace(b"%", b"%%") + b": %b\r\n" for name in self.names)
        self.index: dict[bytes, tuple[int, ...]] = {}
        for at, name in enumerate(self.names):
            self.index[name] = (*self.index.get(name, ()), at)
        self.special = tuple(
            (at, int(meaning))
            for at, meaning in enumerate(meant)
            if meaning not in (Meaning.PLAIN, Meaning.JOINED, Meaning.DROP)
        )
        joined = [lower[at] for at in kept if meant[at] is Meaning.JOINED]
        self.repeats = len(joined) != len(set(joined))
        self.underscored = any(b"_" in name for name in self.names)


class Shapes:
    """The shapes of one kind of message, by the names as they came from the wire."""

    def __init__(self, meanings: Mapping[bytes, Meaning]) -> None:
        self._meanings = meanings
        self._known: dict[Values, Shape] = {}

    def of(self, names: Values) -> Shape:
        """The shape for a sequence of names in any spelling."""
        shape = self._known.get(names)
        if shape is None:
            shape = Shape(names, self._meanings)
            if sum(map(len, names)) <= _LONGEST_REMEMBERED:
                if len(self._known) >= _MOST_REMEMBERED:
                    self._known.clear()
                self._known[names] = shape
        return shape

    def fields(self, pairs: Iterable[tuple[bytes, bytes]]) -> tuple[Shape, Values]:
        """Shape and values of fields that are all passed on."""
        pairs = tuple(pairs)
        shape = self.of(tuple(name for name, _ in pairs))
        return shape, tuple(value for _, value in pairs)

    def joined(self, shape: Shape, values: Values) -> tuple[Shape, Values]:
        """The same fields with the repeated lines of those that are one value joined by ``,`` at the first place."""
        fields: dict[object, tuple[bytes, bytes]] = {}
        for at, (name, value) in enumerate(zip(shape.names, values, strict=True)):
            key: object = name if self._meanings.get(name) is Meaning.JOINED else at
            before = fields.get(key)
            fields[key] = (name, value if before is None else join_lines(before[1], value))
        return self.fields(fields.values())


def size_of_fields(names: Iterable[bytes], values: Iterable[bytes]) -> int:
    """Roughly the bytes that fields take on the wire: not less, for they have a colon and a line end each."""
    return sum(len(text) + 2 for texts in (names, values) for text in texts)


def collector(names: list[bytes], values: list[bytes]) -> Callable[[bytes, bytes], None]:
    """An ``on_header`` that is as cheap as can be, for it runs for each field of each message."""
    add_name, add_value = names.append, values.append

    def on_header(name: bytes, value: bytes) -> None:
        add_name(name)
        add_value(value)

    return on_header
