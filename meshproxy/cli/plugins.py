"""``meshproxy plugins``: the strategies that are installed, where each comes from, and what is wrong with the others.

Each strategy that is declared is loaded, so what a configuration would meet is found here first. The JSON is a promise
to scripts: keys may be added, none is renamed or removed while ``version`` is the same. ``docs/write-a-strategy.md``
describes it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from typing import BinaryIO, TextIO

from attrs import asdict, frozen

from meshproxy.cli.arguments import add_format_argument
from meshproxy.cli.distributions import Distribution, Distributions
from meshproxy.cli.helptext import Help
from meshproxy.interfaces import IHashKeyFactory
from meshproxy.plugin import Declaration, StrategyNotLoaded
from meshproxy.registry import Offer, Registry

EX_UNUSABLE = 1
HELP = Help(
    "list the installed strategies, and what is wrong with them",
    """\
Lists each hash key and load balancer that is installed, from which package
and file, and what is wrong with those that cannot be used. Each is loaded,
so whatever a configuration would meet is found here first.""",
    (
        ("meshproxy plugins", "after an installation"),
        ("meshproxy plugins --format json", "for a program"),
    ),
    {0: "all of them can be used", 1: "some cannot"},
)
VERSION = 1
_TITLES = ("NAME", "KIND", "API", "DISTRIBUTION", "FILE")


@frozen
class Listed:
    """One strategy. ``kind`` is ``hash key`` or ``load balancer``.

    ``function`` makes it from its settings, as ``package.module:function``; None where the plugin does that itself.
    ``distribution`` is None for a file that no installed distribution owns; ``problem`` tells why it cannot be used.
    """

    name: str
    kind: str
    api: int
    distribution: Distribution | None
    file: str
    function: str | None
    problem: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    add_format_argument(parser)


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """List, and return the exit status: 1 if anything that is installed cannot be used."""
    registry = Registry.discover()
    distributions = Distributions()
    strategies = [_listed(offer, distributions) for offer in registry.offers]
    folders = _folders()
    show = _as_json if arguments.format == "json" else _as_text
    stdout.write(show(strategies, registry.problems, folders))
    return EX_UNUSABLE if registry.problems or any(strategy.problem for strategy in strategies) else 0


def _listed(offer: Offer, distributions: Distributions) -> Listed:
    function = problem = None
    if isinstance(offer.factory, Declaration):
        function = offer.factory.function
        try:
            offer.factory.load()
        except StrategyNotLoaded as error:
            problem = str(error)
    kind = "hash key" if offer.kind is IHashKeyFactory else "load balancer"
    owner = distributions.owner(offer.file)
    return Listed(offer.name, kind, offer.factory.api, owner, offer.file, function, problem)


def _folders() -> Sequence[str]:
    """Where plugin files are looked for, as far as there is anything."""
    import twisted.plugins

    return [folder for folder in dict.fromkeys(twisted.plugins.__path__) if os.path.isdir(folder)]


def _as_json(strategies: Sequence[Listed], problems: Sequence[str], folders: Sequence[str]) -> str:
    report = {
        "version": VERSION,
        "strategies": [asdict(strategy) for strategy in strategies],
        "problems": list(problems),
        "folders": list(folders),
    }
    return json.dumps(report, indent=2) + "\n"


def _as_text(strategies: Sequence[Listed], problems: Sequence[str], folders: Sequence[str]) -> str:
    rows = [(it.name, it.kind, str(it.api), str(it.distribution or "-"), it.file or "-") for it in strategies]
    lines = _aligned([_TITLES, *rows])
    unusable = [*problems, *(it.problem for it in strategies if it.problem)]
    if unusable:
        lines += ["", "Not usable:", *(f"  {sentence}" for sentence in unusable)]
    lines += ["", "Looked in:", *(f"  {folder}" for folder in folders)]
    return "".join(f"{line}\n" for line in lines)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_line(row, widths) for row in rows]


def _line(row: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
