"""Bytes and places as texts for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def load_words(loads: Sequence[tuple[int, bool]]) -> str:
    """What each priority gets in percent, and whether it is in panic; empty where all is as one expects."""
    if len(loads) == 1 and not loads[0][1]:
        return ""
    return ", ".join(f"{at}: {load}%{' in panic' if panic else ''}" for at, (load, panic) in enumerate(loads))
