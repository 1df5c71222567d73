"""Pieces of bodies on their way. Large ones go past the parser and are copied as little as can be."""

from __future__ import annotations

from collections.abc import Sequence

STREAMED_BODY = 256 * 1024
"""Of a body that is announced to be this long or longer, only the beginning goes through llhttp, which copies it."""

LONGEST_BODY = (1 << 63) - 1
"""The largest length that is passed on: beyond it, many readers count something else."""

Piece = bytes | memoryview


def without_zeros(length: bytes) -> bytes:
    """A decimal length without zeros in front: with them it is octal to some readers."""
    return length.lstrip(b"0") or b"0"


def framed(pieces: Sequence[Piece]) -> bytes:
    """Pieces of a body as chunks; an empty one is the last."""
    out: list[Piece] = []
    for piece in pieces:
        out += (b"%x\r\n" % len(piece), piece, b"\r\n")
    return b"".join(out)


def size_of(pieces: Sequence[Piece]) -> int:
    """How many bytes there are in all pieces."""
    return sum(map(len, pieces))
