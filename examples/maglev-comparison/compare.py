"""Rings and Maglev tables compared as the Maglev paper compares them: how even they are, and what failures disturb.

Usage: compare.py [--backends N] [--table SIZE] [--output FILE.svg]

Draws, for N backends (1,000) of equal weight, two figures. Left: the load of each backend in multiples of an even
share, from the busiest to the idlest. Right: when some backends fail at once, what part of the sessions moves although
their own backend is still there. Both are exact: all slots of the tables and all arcs of the rings are looked at.
Compare with figures 11 and 12 of Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI
2016, whose table has 65,537 slots too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from random import Random

from attrs import frozen

from meshproxy.strategies.maglev import TABLE_SIZE, build_table
from meshproxy.strategies.ring_hash import MINIMUM_SIZE, build_ring

FAILED_PERCENT = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Of the backends, how many fail at once; at least one does."""

_ALL = 1 << 64

Arcs = Sequence[tuple[int, int]]
"""Where the arc of an owner ends, exclusive, and the owner; ascending, the last one at the end of all hashes."""


def table_arcs(keys: Sequence[str], size: int) -> Arcs:
    """The slots of a Maglev table as arcs of equal length, in the order of the slots."""
    owners = build_table([(key, 1 / len(keys)) for key in keys], size)
    return [((slot + 1) * _ALL // size, owner) for slot, owner in enumerate(owners)]


def ring_arcs(keys: Sequence[str], size: int) -> Arcs:
    """The arcs of a ring. A hash belongs to the first entry that is at least as large, or else to the first one."""
    ring = build_ring([(key, 1 / len(keys)) for key in keys], size)
    arcs = [(number + 1, owner) for number, owner in zip(ring.hashes, ring.owners, strict=True)]
    return [*arcs, (_ALL, ring.owners[0])]


def loads(arcs: Arcs, backends: int) -> list[float]:
    """The load of each backend in multiples of an even share, the largest first."""
    found = [0] * backends
    start = 0
    for end, owner in arcs:
        found[owner] += end - start
        start = end
    return sorted((length * backends / _ALL for length in found), reverse=True)


def disturbed(before: Arcs, after: Arcs, survivors: Sequence[int]) -> float:
    """The part of all hashes that moved from one survivor to another. ``after`` counts survivors, in their order."""
    alive = set(survivors)
    moved = start = at = 0
    for end, owner in before:
        while start < end:
            stop, new = after[at]
            until = min(end, stop)
            if owner in alive and survivors[new] != owner:
                moved += until - start
            start = until
            at += stop == until
    return moved / _ALL


@frozen
class Method:
    """A way of sharing out hashes, and what came of it. ``disturbed`` has a share for each of ``FAILED_PERCENT``."""

    name: str
    loads: Sequence[float]
    disturbed: Sequence[float]


def measured(name: str, arcs: Callable[[Sequence[str]], Arcs], backends: int) -> Method:
    """Try a method out."""
    keys = [f"10.0.{number >> 8}.{number & 255}:80" for number in range(backends)]
    whole = arcs(keys)
    found = []
    for percent in FAILED_PERCENT:
        failed = set(Random(backends).sample(range(backends), max(1, round(backends * percent / 100))))
        survivors = [number for number in range(backends) if number not in failed]
        found.append(disturbed(whole, arcs([keys[number] for number in survivors]), survivors))
    return Method(name, loads(whole, backends), found)


def compared(backends: int, size: int) -> list[Method]:
    """The three methods: the ring that Istio makes by default, one about as large as the table, and the table."""
    return [
        measured(f"ring, {MINIMUM_SIZE:,} entries at least", lambda keys: ring_arcs(keys, MINIMUM_SIZE), backends),
        measured(f"ring, {size - 1:,} at least", lambda keys: ring_arcs(keys, size - 1), backends),
        measured(f"Maglev, {size:,} slots", lambda keys: table_arcs(keys, size), backends),
    ]


def told(methods: Iterable[Method]) -> str:
    """The figures in words."""
    lines = []
    for it in methods:
        shares = ", ".join(
            f"{100 * share:.2f}% at {percent:g}%" for percent, share in zip(FAILED_PERCENT, it.disturbed, strict=True)
        )
        lines += [f"{it.name}: busiest {it.loads[0]:.3f}, idlest {it.loads[-1]:.3f}", f"  disturbed: {shares}"]
    return "".join(f"{line}\n" for line in lines)


_WIDTH, _HEIGHT, _TOP, _LEFT, _GAP, _BOTTOM = 820, 380, 70, 52, 70, 60
_PLOT = (_WIDTH - 2 * _LEFT - _GAP) / 2
_POINTS = 150
_STYLE = """<style>
svg{font:12px system-ui,sans-serif;background:#fff}text{fill:#222}.title{font-weight:600;font-size:15px}
.quiet{fill:#666}
.axis{stroke:#bbb}.m0{stroke:#c2410c}.m1{stroke:#8a6d00}.m2{stroke:#3b6fb6}path{fill:none;stroke-width:2}
@media(prefers-color-scheme:dark){svg{background:#161616}text{fill:#e8e8e8}.quiet{fill:#a0a0a0}.axis{stroke:#555}
.m0{stroke:#fb923c}.m1{stroke:#d9b84a}.m2{stroke:#7aa7e6}}
</style>"""


@frozen
class Panel:
    """One figure: its place, and the largest values on its axes."""

    left: float
    most_x: float
    most_y: float

    def at(self, x: float, y: float) -> str:
        """A point of the figure, in the drawing."""
        height = _HEIGHT - _TOP - _BOTTOM
        down = _TOP + height * (1 - min(y, self.most_y) / self.most_y)
        return f"{self.left + _PLOT * x / self.most_x:.1f} {down:.1f}"

    def line(self, points: Iterable[tuple[float, float]], method: int) -> str:
        """A line through points."""
        return f'<path class="m{method}" d="M{"L".join(self.at(x, y) for x, y in points)}"/>'

    def frame(self, title: str, x_axis: str, y_ticks: Sequence[tuple[float, str]]) -> list[str]:
        """The axes and what they say."""
        low = _HEIGHT - _BOTTOM
        drawn = [
            f'<text x="{self.left}" y="{_TOP - 14}">{escape(title)}</text>',
            f'<text class="quiet" x="{self.left}" y="{low + 18}">0</text>',
            f'<text class="quiet" x="{self.left + _PLOT}" y="{low + 18}" text-anchor="end">{escape(x_axis)}</text>',
        ]
        for value, words in y_ticks:
            x, y = self.at(0, value).split()
            drawn.append(f'<line class="axis" x1="{x}" y1="{y}" x2="{self.left + _PLOT}" y2="{y}"/>')
            drawn.append(f'<text class="quiet" x="{self.left - 6}" y="{float(y) + 4}" text-anchor="end">{words}</text>')
        return drawn


def drawing(methods: Sequence[Method], backends: int) -> str:
    """Both figures as SVG, one file without scripts."""
    balance = Panel(_LEFT, backends - 1, 4.0)
    most = max(share for it in methods for share in it.disturbed)
    failures = Panel(_LEFT + _PLOT + _GAP, FAILED_PERCENT[-1], most)
    ticks = [(most * part / 4, f"{100 * most * part / 4:.1f}%") for part in range(5)]
    body = [
        *balance.frame(
            "Load of each backend, in even shares", f"{backends:,} backends", [(n, str(n)) for n in range(5)]
        ),
        *failures.frame("Sessions of live backends that move", f"{FAILED_PERCENT[-1]:g}% of backends fail", ticks),
    ]
    for number, it in enumerate(methods):
        ranks = sorted({round(part * (backends - 1) / _POINTS) for part in range(_POINTS + 1)})
        body.append(balance.line(((rank, it.loads[rank]) for rank in ranks), number))
        body.append(failures.line(zip((0.0, *FAILED_PERCENT), (0.0, *it.disturbed), strict=True), number))
        x = _LEFT + number * (_WIDTH - _LEFT) / len(methods)
        body.append(f'<path class="m{number}" d="M{x:.0f} {_HEIGHT - 16}h22"/>')
        body.append(f'<text x="{x + 28:.0f}" y="{_HEIGHT - 12}">{escape(it.name)}</text>')
    title = f"Rings and a Maglev table with {backends:,} backends"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
            f"<title>{title}</title>",
            _STYLE,
            f'<text class="title" x="12" y="24">{title}</text>',
            *body,
            "</svg>\n",
        ]
    )


def main() -> None:
    """Measure, tell, and draw if a file is named."""
    parser = argparse.ArgumentParser(description="Compares rings and Maglev tables as the Maglev paper does.")
    parser.add_argument("--backends", type=int, default=1000, metavar="N")
    parser.add_argument("--table", type=int, default=TABLE_SIZE, metavar="SIZE", help="a prime number")
    parser.add_argument("--output", metavar="FILE", help="draw the figures there, as SVG")
    given = parser.parse_args()
    methods = compared(given.backends, given.table)
    print(told(methods), end="")
    if given.output:
        Path(given.output).write_text(drawing(methods, given.backends), "utf-8")


if __name__ == "__main__":
    main()
