"""Heads that were read before.

The same bytes always come to the same head. A client sends the same fields with each request of its session, and an
endpoint with many a response of the same second, so what came of a head is remembered by its bytes: a look-up is much
cheaper than reading it again. Only what was read and found right is remembered, and of it only what ends with the head
or has a plain length, so nothing about framing depends on it.

Bounded, for heads come from strangers: there are two generations; when the younger one is full, the older one is
forgotten and the younger takes its place. What is in use stays.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from meshproxy.http.fields import Shape, Values

_GENERATION = 1024
_LONGEST = 2048

_Found = TypeVar("_Found")


class KnownRequest(NamedTuple):
    """The fields of a request without a body, behind its first line; as ``requestreader.RequestReader`` tells them."""

    host: bytes
    shape: Shape
    values: Values
    forwarded_for: bytes
    forwarded_proto: bytes
    keep_alive: bool


class KnownResponse(NamedTuple):
    """The head of a response with a body of ``length`` bytes, on a connection that stays."""

    status: int
    length: int
    shape: Shape
    values: Values
    has_date: bool


class KnownHeads(Generic[_Found]):
    """What came of heads, by their bytes."""

    __slots__ = ("_older", "_younger")

    def __init__(self) -> None:
        self._younger: dict[bytes, _Found] = {}
        self._older: dict[bytes, _Found] = {}

    def find(self, head: bytes) -> _Found | None:
        """What is remembered of a head."""
        found = self._younger.get(head)
        if found is None and head in self._older:
            found = self._older[head]
            self.remember(head, found)
        return found

    def remember(self, head: bytes, found: _Found) -> None:
        """Remember what came of a head, unless it is a long one."""
        if len(head) > _LONGEST:
            return
        if len(self._younger) >= _GENERATION:
            self._older, self._younger = self._younger, {}
        self._younger[head] = found
