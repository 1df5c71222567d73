"""The reference of command lines has all options and statuses that there are; the help of commands is right."""

from __future__ import annotations

import argparse
import re
import shlex

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

    def test_statuses(self) -> None:
        """Each command's help has its exit statuses, and the page has all of them."""
        written = set(map(int, re.findall(r"^\| (\d+) \|", sections()[1], re.MULTILINE)))
        told = {name: set(command.HELP.statuses) for name, command in main._COMMANDS.items()}
        self.assertEqual(set().union(*told.values()), written)
        for name in ("check", "explain"):
            page = (ROOT / "docs" / f"{name}.md").read_text()
            self.assertEqual(set(map(int, re.findall(r"^\| (\d+) \|", page, re.MULTILINE))), told[name])

    def test_examples(self) -> None:
        """The examples of the help are command lines that can be parsed; each option has a help of its own."""
        parser = main._parser()
        (commands,) = (it for it in parser._actions if isinstance(it, argparse._SubParsersAction))
        for name, command in main._COMMANDS.items():
            self.assertGreater(len(command.HELP.examples), 1)
            for example, _ in command.HELP.examples:
                line = shlex.split(example.rpartition("| ")[2])
                self.assertEqual(line[:2], ["meshproxy", name])
                parser.parse_args(line[1:])
            for action in commands.choices[name]._actions:
                self.assertTrue(action.help, f"{name} {action.dest}")
            self.assertLess(max(map(len, command.HELP.text.splitlines())), 80)
            self.assertLess(len(command.HELP.summary), 64)

    def test_examples_of_twistd(self) -> None:
        """So are those of twistd."""
        for line in re.findall(r"^  twistd -n meshproxy (.*)$", Options().getUsage(), re.MULTILINE):
            Options().parseOptions(shlex.split(line))
