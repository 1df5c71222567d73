"""What a load may spend on things of which a small file can ask very much.

Outside a load there is no limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

SUGGESTIONS = "suggestions"
REGEXES = "regexes"
# Comparisons of a wrong name with another one; instructions of regular expressions that are large for their length.
# Each takes about half a second.
ALLOWED = {SUGGESTIONS: 20_000, REGEXES: 500_000}

_left: ContextVar[dict[str, int] | None] = ContextVar("left", default=None)


@contextmanager
def limited_effort() -> Iterator[None]:
    """Have ``spend`` allow no more than ``ALLOWED`` meanwhile."""
    token = _left.set(dict(ALLOWED))
    try:
        yield
    finally:
        _left.reset(token)


def begin_again() -> None:
    """Have nothing spent yet."""
    if _left.get() is not None:
        _left.set(dict(ALLOWED))


@contextmanager
def recorded_effort(spent: dict[str, int]) -> Iterator[None]:
    """Add to ``spent`` what is spent meanwhile, granted or not."""
    before = dict(_left.get() or {})
    try:
        yield
    finally:
        for what, left in (_left.get() or {}).items():
            spent[what] = spent.get(what, 0) + before[what] - left


def spend(what: str, steps: int) -> bool:
    """Whether so much more may be spent."""
    left = _left.get()
    if left is None:
        return True
    left[what] -= steps
    return left[what] >= 0


def spend_again(spent: Mapping[str, int]) -> None:
    """Spend what was recorded when the same was done before."""
    for what, steps in spent.items():
        spend(what, steps)


def is_exhausted() -> bool:
    """Whether something was not granted."""
    return any(left < 0 for left in (_left.get() or {}).values())
