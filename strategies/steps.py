"""Work in steps: a generator that often gives way to whatever else there is to do, and returns a result."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

_Result = TypeVar("_Result")

Steps = Generator[None, None, _Result]


def finished(steps: Steps[_Result]) -> _Result:
    """The result, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _Result = end.value
            return result
