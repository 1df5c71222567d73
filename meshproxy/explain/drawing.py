"""Shares and movements as SVG: one file without scripts, readable in the light and in the dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import accumulate

from meshproxy.explain.keyspace import Movement, Shares

_WIDTH, _ROW, _TOP, _LEFT, _RIGHT = 720, 24, 56, 240, 80
_NODE, _GAP, _MOST_ROWS = 14, 6, 200
_STYLE = """<style>
svg{font:13px system-ui,sans-serif;background:#fff}text{fill:#222}.title{font-weight:600;font-size:15px}
.quiet{fill:#666}.bar{fill:#3b6fb6}.even{stroke:#c2410c;stroke-width:2}.kept{fill:#3b6fb6;opacity:.25}
.moved{fill:#c2410c;opacity:.45}.node{fill:#3b6fb6}
@media(prefers-color-scheme:dark){svg{background:#161616}text{fill:#e8e8e8}.quiet{fill:#a0a0a0}.bar,.node{fill:#7aa7e6}
.kept{fill:#7aa7e6}.even{stroke:#fb923c}.moved{fill:#fb923c}}
</style>"""


def shares_svg(title: str, shares: Shares) -> str:
    """A bar for each endpoint, and a mark where its even share would end."""
    rows = list(shares.by_endpoint.items())[:_MOST_ROWS]
    largest = max([*shares.by_endpoint.values(), *shares.even.values()], default=1.0) or 1.0
    room = _WIDTH - _LEFT - _RIGHT
    body = []
    for number, (key, share) in enumerate(rows):
        y = _TOP + number * _ROW
        even = _LEFT + room * shares.even[key] / largest
        body += [
            f'<text x="{_LEFT - 10}" y="{y + 13}" text-anchor="end">{escape(key)}</text>',
            f'<rect class="bar" x="{_LEFT}" y="{y}" width="{room * share / largest:.1f}" height="{_ROW - 8}"/>',
            f'<line class="even" x1="{even:.1f}" y1="{y - 2}" x2="{even:.1f}" y2="{y + _ROW - 6}"/>',
            f'<text class="quiet" x="{_WIDTH - 8}" y="{y + 13}" text-anchor="end">{100 * share:.2f}%</text>',
        ]
    note = f"most loaded {shares.most_loaded:.3f} times its even share, least loaded {shares.least_loaded:.3f}"
    return _svg(title, note, body, _TOP + len(rows) * _ROW + 8)


def movement_svg(title: str, before: Shares, after: Shares, movement: Movement) -> str:
    """Endpoints before and after as two columns, and between them what stays and what moves."""
    old, new = _largest(before.by_endpoint), _largest(after.by_endpoint)
    height = max(220, min(1600, 26 * max(len(old), len(new))))
    starts, ends = _places(old, height), _places(new, height)
    left, right = _LEFT, _WIDTH - _LEFT
    flows = [((key, key), _kept(key, before, movement)) for key in old if key in new]
    flows += [(pair, share) for pair, share in movement.pairs.items() if pair[0] in starts and pair[1] in ends]
    body = []
    from_y, to_y = dict(starts), dict(ends)
    for (source, target), share in flows:
        thick = share * height
        y, z = from_y[source], to_y[target]
        from_y[source], to_y[target] = y + thick, z + thick
        middle = (left + right) / 2
        shape = (
            f"M{left + _NODE} {y:.1f}C{middle} {y:.1f} {middle} {z:.1f} {right - _NODE} {z:.1f}"
            f"v{thick:.1f}C{middle} {z + thick:.1f} {middle} {y + thick:.1f} {left + _NODE} {y + thick:.1f}Z"
        )
        words = escape(f"{source} to {target}: {100 * share:.2f}%")
        body.append(
            f'<path class="{"kept" if source == target else "moved"}" d="{shape}"><title>{words}</title></path>'
        )
    for places, x, anchor, side in ((starts, left, "end", old), (ends, right - _NODE, "start", new)):
        words_at = x - 8 if anchor == "end" else x + _NODE + 8
        for key, y in places.items():
            thick = side[key] * height
            words = f"{escape(key)} {100 * side[key]:.1f}%"
            body.append(f'<rect class="node" x="{x}" y="{y:.1f}" width="{_NODE}" height="{max(thick, 1):.1f}"/>')
            body.append(f'<text x="{words_at}" y="{y + thick / 2 + 4:.1f}" text-anchor="{anchor}">{words}</text>')
    note = f"{100 * movement.moved:.2f}% of the sessions move; {100 * movement.minimum:.2f}% have to"
    gaps = _GAP * max(len(old), len(new))
    return _svg(title, note, body, _TOP + height + gaps + 8)


def _kept(key: str, before: Shares, movement: Movement) -> float:
    return before.by_endpoint[key] - sum(share for (source, _), share in movement.pairs.items() if source == key)


def _largest(shares: Mapping[str, float]) -> dict[str, float]:
    """The endpoints with the largest shares, in their own order."""
    chosen = sorted(shares, key=lambda key: -shares[key])[:_MOST_ROWS]
    return {key: share for key, share in shares.items() if key in set(chosen)}


def _places(shares: Mapping[str, float], height: int) -> dict[str, float]:
    sizes: Sequence[float] = [0.0, *(share * height + _GAP for share in shares.values())]
    return dict(zip(shares, (_TOP + place for place in accumulate(sizes)), strict=False))


def _svg(title: str, note: str, body: Iterable[str], height: float) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img">',
            f"<title>{escape(title)}</title>",
            _STYLE,
            f'<text class="title" x="12" y="22">{escape(title)}</text>',
            f'<text class="quiet" x="12" y="42">{escape(note)}</text>',
            *body,
            "</svg>\n",
        ]
    )
