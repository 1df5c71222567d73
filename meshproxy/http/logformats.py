"""Formats of access logs, compiled to one function for a line.

Theory of operation. A line is made as if no value had anything to escape, which nearly none has: one formatting. Then
its harmless characters are taken away. If what is left is not what the format itself has of quotes and the like, a
value brought it; the line is thrown away and made again with each value escaped. So whatever a client or an endpoint
says, a line stays one line, and a value ends where its quotes do.

Escapes: in a text, everything but printable ASCII, and quotes and backslashes, as ``\\xXX``. In JSON as JSON has it,
all in ASCII; of bytes that are not UTF-8 the value itself has ``\\xXX``.

Source of what JSON looks like: Envoy sorts keys; a text that is one operator and nothing else has the type of the
operator, and null where there is no value; in a text of several pieces that is a dash.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from meshproxy.http.operators import Expressions, Kind
from meshproxy.operators import Operator, parse

if TYPE_CHECKING:
    from meshproxy.http.exchange import Exchange

    Line = Callable[[Exchange], bytes]


_HARMLESS = bytes(character for character in range(0x20, 0x7F) if character not in b'"\\')


def quoted(value: bytes) -> bytes:
    """``value`` for a line of text; ``-`` for nothing."""
    if not value:
        return b"-"
    if not value.translate(None, _HARMLESS):
        return value
    return b"".join(bytes((c,)) if c in _HARMLESS else b"\\x%02x" % c for c in value)


def json_value(value: bytes) -> bytes:
    """``value`` as a string of JSON; null for nothing."""
    return _json(value.decode("utf-8", "backslashreplace")) if value else b"null"


def json_part(value: bytes) -> bytes:
    """``value`` as a part of a string of JSON; ``-`` for nothing."""
    return json_value(value)[1:-1] if value else b"-"


class LineFormat:
    """A compiled format. ``format`` is a text, or what a JSON object consists of, as ``MeshSettings`` has it.

    ``line`` is the function from a finished exchange to its line with its line end. ``reads_response``: the exchange
    has to keep the header fields of its response.
    """

    __slots__ = ("line", "reads_response")

    def __init__(self, format: str | Mapping[str, object]) -> None:
        lines = _TextLines(format) if isinstance(format, str) else _JsonLines(format)
        self.line = lines.function()
        self.reads_response = lines.expressions.reads_response


class _Lines:
    """A ``%`` template, and the sources of what is filled in: as it is, and with escapes."""

    def __init__(self, escape: Callable[[bytes], bytes]) -> None:
        self.expressions = Expressions()
        self.expressions.names.update(escape=escape, json_value=json_value)
        self.template = b""
        self._plain: list[str] = []
        self._escaped: list[str] = []

    def literal(self, text: bytes) -> None:
        self.template += text.replace(b"%", b"%%")

    def fill(self, conversion: bytes, plain: str, escaped: str = "") -> None:
        """A value; without ``escaped`` there is nothing in it to escape."""
        self.template += conversion
        self._plain.append(plain)
        self._escaped.append(escaped or plain)

    def text(self, pieces: Iterable[str | Operator]) -> None:
        """Literal pieces and values one behind the other."""
        for piece in pieces:
            if isinstance(piece, str):
                self.literal(self.encoded(piece))
                continue
            kind, source = self.expressions.of(piece)
            if kind is Kind.NUMBER:
                self.fill(b"%d", source)
            elif kind is Kind.MAYBE_NUMBER:
                self.fill(b"%b", f'(b"-" if (v := {source}) is None else b"%d" % v)')
            else:
                self.fill(b"%b", f'({source} or b"-")', f"escape({source})")

    def function(self) -> Line:
        """The function for a line."""
        name = self.expressions.constant(self.template)
        plain, escaped = (
            self.expressions.function(f"{name} % ({''.join(source + ', ' for source in sources)})")
            for sources in (self._plain, self._escaped)
        )
        return self.checked(plain, escaped)

    def encoded(self, literal: str) -> bytes:
        """A literal piece of text as it is in a line."""
        raise NotImplementedError

    def checked(self, plain: Line, escaped: Line) -> Line:
        """``plain``, or ``escaped`` where the former has more than the format brings."""
        raise NotImplementedError


class _TextLines(_Lines):
    def __init__(self, format: str) -> None:
        super().__init__(quoted)
        self.text(parse(format))
        if not format.endswith("\n"):
            self.literal(b"\n")

    def encoded(self, literal: str) -> bytes:
        return literal.encode("utf-8", "replace")

    def checked(self, plain: Line, escaped: Line) -> Line:
        own = self.template.translate(None, _HARMLESS)
        harmless = _HARMLESS  # a local name costs less

        def line(exchange: Exchange) -> bytes:
            found = plain(exchange)
            return found if found.translate(None, harmless) == own else escaped(exchange)

        return line


class _JsonLines(_Lines):
    def __init__(self, format: Mapping[str, object]) -> None:
        super().__init__(json_part)
        self._nullable = 0
        self._value(format)
        self.literal(b"\n")

    def encoded(self, literal: str) -> bytes:
        return _json(literal)[1:-1]

    def _value(self, value: object) -> None:
        if isinstance(value, Mapping):
            self.literal(b"{")
            for at, name in enumerate(sorted(value)):
                self.literal(b"%b%b:" % (b"," if at else b"", _json(name)))
                self._value(value[name])
            self.literal(b"}")
        elif isinstance(value, list):
            self.literal(b"[")
            for at, item in enumerate(value):
                self.literal(b"," if at else b"")
                self._value(item)
            self.literal(b"]")
        elif isinstance(value, str):
            self._string(value)
        else:
            self.literal(_json(value))

    def _string(self, text: str) -> None:
        pieces = parse(text)
        if len(pieces) != 1 or isinstance(pieces[0], str):
            self.literal(b'"')
            self.text(pieces)
            self.literal(b'"')
            return
        kind, source = self.expressions.of(pieces[0])
        if kind is Kind.NUMBER:
            self.fill(b"%d", source)
        elif kind is Kind.MAYBE_NUMBER:
            self.fill(b"%b", f'(b"null" if (v := {source}) is None else b"%d" % v)')
        else:
            self._nullable += 1
            self.fill(b"%b", f"""(b'"%b"' % v if (v := {source}) else b"null")""", f"json_value({source})")

    def checked(self, plain: Line, escaped: Line) -> Line:
        """See ``_Lines``.

        How many quotes there are depends on how many values are null. A value may have that word in it too, but then
        fewer quotes are expected than there are without any of its own, so it can hide none.
        """
        own = self.template.translate(None, _HARMLESS)
        quotes = own.count(b'"') + 2 * (self._nullable + self.template.count(b"null"))
        others = len(own) - own.count(b'"')
        harmless = _HARMLESS

        def line(exchange: Exchange) -> bytes:
            found = plain(exchange)
            left = found.translate(None, harmless)
            expected = quotes - 2 * found.count(b"null")
            return found if left.count(b'"') == expected == len(left) - others else escaped(exchange)

        return line


def _json(value: object) -> bytes:
    return json.dumps(value).encode("ascii")
