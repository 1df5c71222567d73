"""The reference of command lines has all options that there are, and no others."""

from __future__ import annotations

import argparse
import re

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.cli import main
from meshproxy.options import Options
from tests.packaging.checkout import ROOT

PAGE = ROOT / "docs" / "reference" / "command-line.md"
OPTION = re.compile(r"`(--?[a-z][\w-]*)`", re.IGNORECASE)
EVERYWHERE = {"-h", "--help", "--proxy-namespace", "--proxy-label", "--proxy-locality"}
"""Options of every command, which the page names once."""


def sections() -> tuple[str, str]:
    """What the page says about twistd and about meshproxy."""
    served, commands = PAGE.read_text().split("\n## meshproxy\n")
    return served, commands


class OptionTests(SynchronousTestCase):
    def test_twistd(self) -> None:
        """The options of ``twistd meshproxy``."""
        rows = [row for row in sections()[0].splitlines() if row.startswith("| `-")]
        written = {option for row in rows for option in OPTION.findall(row.split("|")[1])}
        known = {name.removeprefix("opt_").replace("_", "-") for name in dir(Options) if name.startswith("opt_")}
        # Comes with Twisted's own Options.
        known |= {name for name, *_ in Options.optFlags} | {"help"}
        self.assertEqual(written, {f"--{name}" if len(name) > 1 else f"-{name}" for name in known})

    def test_commands(self) -> None:
        """The options of each command of ``meshproxy``."""
        parser = main._parser()
        (commands,) = (it for it in parser._actions if isinstance(it, argparse._SubParsersAction))
        known = {
            name: {option for action in command._actions for option in action.option_strings} - EVERYWHERE
            for name, command in commands.choices.items()
        }
        rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", sections()[1], re.MULTILINE)
        self.assertEqual({name: set(OPTION.findall(options)) for name, options in rows}, known)
