"""What a load may spend on things of which a small file can ask very much.

Outside a load there is no limit.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def spend(what: str, steps: int) -> bool:
    """Whether so much more may be spent."""
    left = _left.get()
    if left is None:
        return True
    left[what] -= steps
    return left[what] >= 0
