"""Heads that were read before.

The same bytes always come to the same head. A client sends the same fields with each request of its session, many
clients ask for the same, and an endpoint answers many a request of the same second with the same head. So what came of
a head is remembered by its bytes, with what it looks like when it is written anew: a look-up is much cheaper than
reading and writing it again. Only what was read and found right is remembered, and of it only what ends with the head
or has a plain length, so nothing about framing depends on it.

A request's first line and its fields are known apart from each other, for they change apart from each other.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from meshproxy.http.fields import Shape, Values

_GENERATION = 1024
_LONGEST = 2048

_Found = TypeVar("_Found")


class KnownLine(NamedTuple):
    """The first line of a request without a body, in HTTP/1.1; as ``requestreader.RequestReader`` tells it."""

    method: bytes
    path: bytes
    query: bytes


class KnownRequest(NamedTuple):
    """The fields of a request without a body, behind its first line; as ``requestreader.RequestReader`` tells them."""

    host: bytes
    shape: Shape
    values: Values
    lines: bytes
    forwarded_for: bytes
    forwarded_proto: bytes
    keep_alive: bool


class KnownResponse(NamedTuple):
    """A response with a body of ``length`` bytes, on a connection that stays. ``head`` is what a client gets of it."""

    status: int
    length: int
    head: bytes
    has_date: bool


class KnownHeads(dict[bytes, _Found | None]):
    """What came of heads: ``known[head]``, None for one that is not remembered.

    A look-up costs no more than one in a dictionary, which this is for that reason; ask in no other way.

    Bounded, for heads come from strangers: there are two generations; when the younger one is full, the older one is
    forgotten and the younger takes its place. What is in use stays.
    """

    __slots__ = ("_older",)

    def __init__(self) -> None:
        super().__init__()
        self._older: dict[bytes, _Found | None] = {}

    def __missing__(self, head: bytes) -> _Found | None:
        found = self._older.get(head)
        if found is not None:
            self.remember(head, found)
        return found

    def remember(self, head: bytes, found: _Found) -> None:
        """Remember what came of a head, unless it is a long one."""
        if len(head) > _LONGEST:
            return
        if len(self) >= _GENERATION:
            self._older = dict(self)
            self.clear()
        self[head] = found
