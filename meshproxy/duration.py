"""Durations as Go writes them: ``1h30m``, ``0.5s``, ``250ms``.

Source: the documentation of Go's ``time.ParseDuration`` and ``Duration.String``. A duration is a sequence of decimal
numbers, each with a unit; a lone ``0`` needs none. The range is that of a signed 64-bit count of nanoseconds.
"""

from __future__ import annotations

import re
from datetime import timedelta

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign
    "μs": 1_000,  # U+03BC, the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
UNITS = "h, m, s, ms, us, ns"
_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?(h|ms|m|s|us|µs|μs|ns)")
_MOST = 2**63 - 1


def parse(text: str) -> timedelta:
    """The duration that ``text`` says.

    ``timedelta`` counts in microseconds. What is finer is rounded away from zero, so that a duration that is not zero
    stays so and one that is no whole number of milliseconds does not become one. Raises ``ValueError`` with a sentence
    that says what is wrong.
    """
    nanoseconds = parse_nanoseconds(text)
    microseconds = -(-abs(nanoseconds) // 1_000)
    return timedelta(microseconds=microseconds if nanoseconds >= 0 else -microseconds)


def parse_nanoseconds(text: str) -> int:
    """As ``parse``, as an exact number of nanoseconds; what is finer is cut off, as Go does."""
    negative = text.startswith("-")
    rest = text[1:] if text.startswith(("-", "+")) else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError("a duration must not be empty")
    total = position = 0
    while position < len(rest):
        term = _TERM.match(rest, position)
        if term is None or not (term[1] or term[2]):
            raise ValueError(f"{_shown(text)} is not a duration")
        unit = _NANOSECONDS[term[3]]
        # Bounded before int(): more digits are out of range, or too fine to matter.
        whole, fraction = term[1].lstrip("0"), (term[2] or "")[:18]
        if len(whole) > 19:
            raise ValueError(f"{_shown(text)} is out of range")
        total += int(whole or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        if total > _MOST:
            raise ValueError(f"{_shown(text)} is out of range")
        position = term.end()
    return -total if negative else total


def format_duration(duration: timedelta) -> str:
    """The shortest text of whole numbers that ``parse`` reads as ``duration``, such as ``1h30m``; zero is ``0s``."""
    microseconds = duration // timedelta(microseconds=1)
    parts = ["-"] if microseconds < 0 else []
    rest = abs(microseconds)
    for unit in ("h", "m", "s", "ms", "us"):
        amount, rest = divmod(rest, _NANOSECONDS[unit] // 1_000)
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts) or "0s"


def rough(seconds: float) -> str:
    """About how long, such as ``42s``, ``3m``, ``5h`` or ``12d``; nothing is less than ``0s``."""
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 40 else repr(text[:40]) + "..."
