"""Value templates: texts such as ``from %DOWNSTREAM_REMOTE_ADDRESS%``, filled in from an exchange.

Rules (Envoy's formatters as Istio uses them): ``meshproxy.operators`` has the grammar; of a value with a length, at
most so many bytes are taken. ``REQ`` and ``RESP`` take ``A?B``: the first value of header A, or of B where there is no
A. What is not known, an operator too, is left out. Templates are compiled once and remembered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from meshproxy.http.operators import Described, header_names, value_of
from meshproxy.operators import IN_HEADERS, Operator, parse

HeaderValues = Callable[[bytes], Sequence[bytes]]
"""From the lower-case name of a header to its values."""


class Subject(NamedTuple):
    """What a template is filled in from: an exchange, and the headers as they are at that moment."""

    exchange: Described
    request: HeaderValues
    response: HeaderValues


_Value = Callable[[Subject], bytes]

_MOST_REMEMBERED = 4096

# A variable has any text, and a pattern of a time may ask for a line end, with which a header would end.
_FROM_OUTSIDE = frozenset({"EMIT_TIME", "ENVIRONMENT", "START_TIME"})
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Template:
    """A compiled template."""

    __slots__ = ("_pieces", "constant")

    def __init__(self, text: str) -> None:
        try:
            pieces = parse(text)
        except ValueError:
            pieces = [text]
        self._pieces: list[bytes | _Value] = [
            piece.encode("utf-8") if isinstance(piece, str) else _value(piece) for piece in pieces
        ]
        self.constant: bytes | None = None
        if not any(map(callable, self._pieces)):
            self.constant = b"".join(piece for piece in self._pieces if isinstance(piece, bytes))

    def render(self, subject: Subject, missing: bytes = b"") -> bytes:
        """The text; ``missing`` stands where an operator has no value."""
        if self.constant is not None:
            return self.constant
        return b"".join(
            [piece if isinstance(piece, bytes) else piece(subject) or missing for piece in self._pieces],
        )


@lru_cache(_MOST_REMEMBERED)
def compile_template(text: str) -> Template:
    """The template of a text. It never fails: what does not follow the grammar stands for itself."""
    return Template(text)


def _value(operator: Operator) -> _Value:
    if operator.name in ("REQ", "RESP"):
        return _header(operator)
    if operator.name not in IN_HEADERS:
        return lambda subject: b""
    value = value_of(operator)
    if operator.name in _FROM_OUTSIDE:
        return lambda subject: _CONTROLS.sub(b"_", value(subject.exchange))
    return lambda subject: value(subject.exchange)


def _header(operator: Operator) -> _Value:
    names, length, of_request = header_names(operator.arguments or ""), operator.length, operator.name == "REQ"

    def value(subject: Subject) -> bytes:
        look_up = subject.request if of_request else subject.response
        for name in names:
            values = look_up(name)
            if values:
                return values[0][:length]
        return b""

    return value
