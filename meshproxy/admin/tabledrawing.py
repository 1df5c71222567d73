"""Drawings of tables: which hash belongs to which endpoint, and how much each has.

A ring is drawn as one: from the hash 0 at the top, clockwise, a tick for each point. In other tables, where hashes next
to each other have nothing to do with each other, points are cells. What is seen is told in words, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import cos, pi, sin
from typing import Any

from meshproxy.admin.clusterstatus import MAGLEV
from meshproxy.admin.markup import count, text
from meshproxy.admin.pagestyle import COLORS

_MIDDLE = 100
_OUTER, _INNER = 96, 76
_SHARES = 56  # the radius of the middle of the band that shows shares
_COLUMNS, _CELL = 24, 8
_MOST_NAMED = 12

Value = Mapping[str, Any]


def drawing(cluster: Value) -> str:
    """The table of a cluster as a figure; empty for one without, and where all belongs to one endpoint."""
    points: Sequence[int | None] | None = cluster["table"]
    endpoints: Sequence[Value] = cluster["endpoints"]
    if not points or len(endpoints) < 2:
        return ""
    shares = sorted(((it["share"] or 0.0, place) for place, it in enumerate(endpoints)), reverse=True)
    is_ring = cluster["strategy"] != MAGLEV
    ticks: dict[int, list[str]] = {}
    for point, owner in enumerate(points):
        if owner is not None:
            ticks.setdefault(owner % COLORS, []).append(_tick(point, len(points)) if is_ring else _cell(point))
    kind = 'fill="none" stroke-width="1.6" stroke="currentColor"' if is_ring else 'fill="currentColor"'
    body = [f'<path class="c{color}" {kind} d="{"".join(paths)}"/>' for color, paths in sorted(ticks.items())]
    if is_ring:
        body += _band(shares)
    height = 2 * _MIDDLE if is_ring else -(-len(points) // _COLUMNS) * _CELL
    width = 2 * _MIDDLE if is_ring else _COLUMNS * _CELL
    name = "Hash ring" if is_ring else "Hash table"
    how = (
        f"{len(points)} hashes from 0 at the top, clockwise; inside, what part each endpoint has."
        if is_ring
        else f"its first {len(points)} entries, row by row."
    )
    few = [(share, place) for share, place in shares[:_MOST_NAMED] if share]
    words = ", ".join(f"{endpoints[place]['address']} {100 * share:.1f}%" for share, place in few)
    repeated = " Colours repeat." if len(endpoints) > COLORS else ""
    return (
        f'<figure class="drawing"><svg viewBox="0 0 {width} {height}" role="img">'
        f"<title>{name} of {text(cluster['name'])}</title><desc>{text(words)}</desc>{''.join(body)}</svg>"
        f"<figcaption><strong>{name}</strong>: {how}{repeated} {_evenness(cluster)}"
        f"{_key(endpoints, few, len(shares))}</figcaption></figure>"
    )


def _tick(point: int, points: int) -> str:
    angle = 2 * pi * point / points
    x, y = sin(angle), -cos(angle)
    ends = (_MIDDLE + _INNER * x, _MIDDLE + _INNER * y, _MIDDLE + _OUTER * x, _MIDDLE + _OUTER * y)
    return "M{:.1f} {:.1f}L{:.1f} {:.1f}".format(*ends)


def _cell(point: int) -> str:
    return f"M{_CELL * (point % _COLUMNS)} {_CELL * (point // _COLUMNS)}h7v7h-7z"


def _band(shares: Sequence[tuple[float, int]]) -> Iterator[str]:
    """What part each endpoint has, the largest first."""
    length, start = 2 * pi * _SHARES, 0.0
    for share, place in shares:
        if share * length < 0.5:
            break
        gap = min(1.0, share * length / 3)
        yield (
            f'<circle class="c{place % COLORS}" cx="{_MIDDLE}" cy="{_MIDDLE}" r="{_SHARES}" fill="none" '
            f'stroke="currentColor" stroke-width="16" transform="rotate(-90 {_MIDDLE} {_MIDDLE})" '
            f'stroke-dasharray="{share * length - gap:.2f} {length:.2f}" stroke-dashoffset="{-start * length:.2f}"/>'
        )
        start += share


def _evenness(cluster: Value) -> str:
    """How far the shares are from what weights ask for."""
    used = [it for it in cluster["endpoints"] if it["share"]]
    weights = sum(it["weight"] for it in used)
    if len(used) < 2 or not weights:
        return ""
    ratios = [it["share"] * weights / it["weight"] for it in used if it["weight"]]
    return f"The most loaded endpoint has {max(ratios):.2f} times its even share, the least loaded {min(ratios):.2f}."


def _key(endpoints: Sequence[Value], few: Sequence[tuple[float, int]], number: int) -> str:
    items = "".join(
        f'<li><span class="swatch c{place % COLORS}" aria-hidden="true"></span>'
        f"{text(endpoints[place]['address'])} {100 * share:.1f}%</li>"
        for share, place in few
    )
    more = "" if number <= _MOST_NAMED else f'<li class="quiet">and {count(number - _MOST_NAMED, "more endpoint")}</li>'
    return f'<ul class="key">{items}{more}</ul>'


__all__ = ["drawing"]
