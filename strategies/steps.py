"""Work in steps: a generator that often gives way to whatever else there is to do, and returns a result."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from heapq import merge
from itertools import islice
from typing import TypeVar

from meshproxy.model import Endpoint

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

Steps = Generator[None, None, _Result]

_AT_ONCE = 256


def finished(steps: Steps[_Result]) -> _Result:
    """The result, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _Result = end.value
            return result


def gathered(items: Iterable[_Item]) -> Steps[list[_Item]]:
    """All items, some at a time."""
    left, found = iter(items), list[_Item]()
    while some := [*islice(left, _AT_ONCE)]:
        found += some
        yield
    return found


def in_order(keys: Sequence[bytes]) -> Steps[list[int]]:
    """The indexes of keys in the keys' order."""
    parts: list[list[int]] = []
    for start in range(0, len(keys), _AT_ONCE):
        parts.append(sorted(range(start, min(start + _AT_ONCE, len(keys))), key=keys.__getitem__))
        yield
    return (yield from gathered(merge(*parts, key=keys.__getitem__)))


def identified(hosts: Iterable[tuple[Endpoint, float]]) -> Steps[list[tuple[str, float]]]:
    """Endpoints by what they have their place in a table by, with whatever comes with each."""
    return gathered((endpoint.identity, share) for endpoint, share in hosts)
