"""What files are composed into: texts, lists and mappings with their places.

What can be told of such a value at a glance, here and by ``Node.raw_entries``, is what nearly all of a large file
consists of: entries of the usual kind, without fault. Everything else is for ``Node``, which also tells what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TypeGuard

from attrs import define

from meshproxy.config.scalars import NULLS, NUMBER_STARTS, WORDS

_FEW_DIGITS = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


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


@define(eq=False, weakref_slot=False)
class Items:
    """A list."""

    line: int
    column: int
    items: list[Value]


@define(eq=False, weakref_slot=False)
class Entries:
    """A mapping. For each key the line and column of the key, and the value."""

    line: int
    column: int
    entries: dict[str, tuple[int, int, Value]]


# An alias is the very same object as its anchor.
Value = Text | Items | Entries


def is_null(value: Value) -> bool:
    """Whether a value is a null."""
    return type(value) is Text and value.text in NULLS and value.tag != "str"


def is_string(value: Value) -> TypeGuard[Text]:
    """Whether a value is a string at a glance; others that start as numbers do may still be one."""
    if type(value) is not Text:
        return False
    text = value.text
    return value.tag == "str" or (text not in WORDS and text[0] not in NUMBER_STARTS and value.tag == "")


def sole_string(value: Value, names: Collection[str]) -> tuple[str, str] | None:
    """Key and text of a mapping with one entry, if the key is among ``names`` and it is a string at a glance."""
    if type(value) is Entries and len(value.entries) == 1:
        ((name, (_, _, inner)),) = value.entries.items()
        if name in names and is_string(inner):
            return name, inner.text
    return None


def sole_number(value: Value, name: str) -> int | None:
    """The number of a mapping with nothing but a whole number of few digits under ``name``."""
    if type(value) is Entries and len(value.entries) == 1 and name in value.entries:
        inner = value.entries[name][2]
        if type(inner) is Text and inner.tag == "" and _FEW_DIGITS.fullmatch(inner.text):
            return int(inner.text)
    return None
