"""Finding a cookie in a request's ``Cookie`` lines as Envoy finds it.

The first piece with the cookie's name decides, even if it is empty. Spaces before a name go, all others stay, and one
pair of double quotes around a value goes; nothing is decoded. Source: ``utility.cc`` of Envoy.
"""

from __future__ import annotations

from collections.abc import Iterable

_SPACE = ord(" ")
_SEMICOLON = ord(";")
_QUOTE = b'"'
_USUAL = b"; "


def find_cookie(lines: Iterable[bytes], found_by: bytes) -> bytes | None:
    """The value of the cookie whose name and equals sign are ``found_by``; None if no line has it."""
    for line in lines:
        at = line.find(found_by)
        while at >= 0:
            if at == 0 or line[at - 2 : at] == _USUAL or _begins_piece(line, at):
                value = line[at + len(found_by) :].partition(b";")[0]
                return value[1:-1] if value[-1:] == _QUOTE == value[:1] and len(value) > 1 else value
            at = line.find(found_by, at + 1)
    return None


def _begins_piece(line: bytes, at: int) -> bool:
    """Whether there are but spaces before this place, up to a semicolon or the beginning of the line."""
    before = at - 1
    while before >= 0 and line[before] == _SPACE:
        before -= 1
    return before < 0 or line[before] == _SEMICOLON
