"""Small pieces of HTML. Whatever comes from elsewhere passes ``text``, which escapes it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from meshproxy.config.diagnostics import visible
from meshproxy.duration import rough


def text(words: str) -> str:
    """Words from elsewhere as HTML, with escapes for what does not show."""
    return escape(visible(words))


def place(words: str) -> str:
    """A place in a file, which may be broken behind a folder."""
    return text(words).replace("/", "/<wbr>")


def number(value: float) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,.0f}"


def count(value: int, name: str, plural: str = "s") -> str:
    """Such as ``1 endpoint`` and ``1,200 endpoints``."""
    return f"{number(value)} {name if value == 1 else name + plural}"


def seconds(value: float | None) -> str:
    """A time to answer with two digits, for it is no more exact, and its unit."""
    if value is None:
        return '<span class="zero">-</span>'
    amount, unit = (value, "s") if value >= 0.9995 else (1000 * value, "ms")
    if amount < 9.95:
        return f"{amount:.1f} {unit}"
    digits = 10 ** (len(str(int(amount))) - 2)
    return f"{number(round(amount / digits) * digits)} {unit}"


def since(moment: float, now: float) -> str:
    """How long ago a Unix time was, and on asking the time itself."""
    if not 0 <= moment < 253_402_300_800:  # the year 10000
        return "-"
    at = datetime.fromtimestamp(moment, UTC)
    return f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}" title="{at:%Y-%m-%d %H:%M:%S} UTC">{rough(now - moment)}</time>'


def word(kind: str, words: str) -> str:
    """A state in a word; ``kind`` is ``ok``, ``warn`` or ``bad``, and gives it a colour and a sign."""
    return f'<span class="word {kind}">{text(words)}</span>'


def note(kind: str, inside: str) -> str:
    """A box that one should see."""
    return f'<div class="note {kind}">{inside}</div>'


def head_row(names: Iterable[tuple[str, bool]]) -> str:
    """The head of a table: names of columns, and whether they have numbers."""
    cells = "".join(f'<th scope="col"{" class=n" if numeric else ""}>{name}</th>' for name, numeric in names)
    return f"<thead><tr>{cells}</tr></thead>"


__all__ = ["count", "head_row", "note", "number", "place", "seconds", "since", "text", "word"]
