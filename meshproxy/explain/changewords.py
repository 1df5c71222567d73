"""What is another value in a configuration, in words: settings that differ, by name, and nothing about the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from enum import Enum
from typing import Any

import attrs

_TRANSPARENT = ("inner",)
"""Fields that hold what their object is about, and need no name of their own."""

_DEFAULTS = "with defaults"


def changes_of(what: str, old: Any, new: Any) -> Iterable[str]:
    """How one value differs from another; ``what`` names it. Of two values of one class only the fields that differ.

    What a class does not show of itself (``repr=False``) is not shown here, for it may be secret.
    """
    if attrs.has(type(old)) and type(old) is type(new):
        for field in attrs.fields(type(old)):
            before, after = getattr(old, field.name), getattr(new, field.name)
            if not field.eq or before == after:
                continue
            name = what if field.name in _TRANSPARENT else f"{what} {_spaced(field.name)}"
            if field.repr:
                yield from changes_of(name, before, after)
            else:
                yield f"{name} is another one"
    else:
        yield f"{what} {shown(old)} -> {shown(new)}"


def shown(value: Any) -> str:
    """A value in words; of an object those fields that are not at their defaults."""
    if value is None or value in ("", b"", ()):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float):
        return f"{value:g}"
    if attrs.has(type(value)):
        fields = [(field, getattr(value, field.name)) for field in attrs.fields(type(value)) if field.repr]
        parts = [_field(field.name, its) for field, its in fields if its != field.default]
        parts = [part for part in parts if part != _DEFAULTS]
        return f"({', '.join(parts)})" if parts else _DEFAULTS
    if isinstance(value, Mapping):
        return f"({', '.join(f'{shown(key)} {shown(it)}' for key, it in value.items())})"
    if isinstance(value, Set):
        return f"({', '.join(sorted(map(shown, value)))})"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"({', '.join(map(shown, value))})"
    return str(value)


def _field(name: str, value: object) -> str:
    return shown(value) if name in _TRANSPARENT else f"{_spaced(name)} {shown(value)}"


def _spaced(name: str) -> str:
    return name.replace("_", " ")
