"""Work in steps: a generator that often gives way to whatever else there is to do, and returns a result."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import islice
from typing import TypeVar

from meshproxy.model import Endpoint

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


def identified(hosts: Sequence[tuple[Endpoint, float]]) -> Steps[list[tuple[str, float]]]:
    """Endpoints by what they have their place in a table by, with whatever comes with each."""
    left, found = iter(hosts), list[tuple[str, float]]()
    while some := [(endpoint.identity, share) for endpoint, share in islice(left, _AT_ONCE)]:
        found += some
        yield
    return found
