"""Bytes and places as texts for people."""

from __future__ import annotations

from collections.abc import Iterable

from meshproxy.errors import Location


def place(location: Location | None) -> str:
    """A place as text; empty for none."""
    return "" if location is None or not location.file else str(location)


def text(wire: bytes) -> str:
    """Bytes from the wire; what is no UTF-8 is escaped."""
    return wire.decode("utf-8", "backslashreplace")


def texts(fields: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Header fields."""
    return tuple((text(name), text(value)) for name, value in fields)
