"""Finding a cookie in a request's ``Cookie`` lines as Envoy finds it.

The first piece with the cookie's name decides, even if it is empty. Spaces before a name go, all others stay, and one
pair of double quotes around a value goes; nothing is decoded. Source: ``utility.cc`` of Envoy.
"""

from __future__ import annotations

from collections.abc import Iterable

_SPACE = ord(" ")
_SEMICOLON = ord(";")
_QUOTE = b'"'


def find_cookie(lines: Iterable[bytes], found_by: bytes) -> bytes | None:
    """The value of the cookie whose name and equals sign are ``found_by``; None if no line has it."""
    for line in lines:
        at = line.find(found_by)
        while at >= 0:
            before = at - 1
            while before >= 0 and line[before] == _SPACE:
                before -= 1
            if before < 0 or line[before] == _SEMICOLON:
                value = line[at + len(found_by) :].partition(b";")[0]
                quoted = len(value) > 1 and value.startswith(_QUOTE) and value.endswith(_QUOTE)
                return value[1:-1] if quoted else value
            at = line.find(found_by, at + 1)
    return None
