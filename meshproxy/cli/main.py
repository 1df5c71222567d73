"""The command line of ``meshproxy``.

Exit status: 0 when all is well, 64 for wrong usage (one line on standard error), 78 for a configuration that does not
load (with its findings), 69 when no gateway answers, else what the command says. No reactor is needed, and none is
imported.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from meshproxy import __version__
from meshproxy.cli import check, diff, distribution, drain, explain, plugins, reload, status
from meshproxy.cli.admin import EX_UNAVAILABLE, Unavailable, UsageError
from meshproxy.cli.arguments import EX_CONFIG, EX_USAGE, wants_color
from meshproxy.config.diagnostics import render, suggest
from meshproxy.errors import ConfigError

_EX_PIPE = 141
_NAME = "meshproxy"
_USAGE = f"{_NAME} [-h] [--version] COMMAND ..."
_FORMAT = argparse.RawDescriptionHelpFormatter
_TEXT = """\
Looks at configurations and plugins of meshproxy, and at a gateway that runs.
What serves is twistd: twistd -n meshproxy -c PATH (twistd meshproxy --help)."""
_COMMANDS = {
    it.__name__.rpartition(".")[2]: it for it in (check, explain, diff, distribution, status, drain, reload, plugins)
}
_EPILOG = f"""\
commands:
{"".join(f"  {name:<14}{command.HELP.summary}{chr(10)}" for name, command in _COMMANDS.items())}
meshproxy COMMAND --help has the options, examples and exit statuses of each."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EX_USAGE, f"{self.prog}: {message} (try {self.prog} --help)\n")

    def refuse(self, unknown: str) -> NoReturn:
        """End with what is said of an argument that the command does not have."""
        name = unknown.partition("=")[0]
        near = suggest(name, [option for action in self._actions for option in action.option_strings])
        self.error(f"there is no {name}{f', {near}' if near else ''}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (by default those of the process) ask for; its exit status."""
    given, unknown = _parser().parse_known_args(arguments)
    if unknown:
        given.parser.refuse(unknown[0])
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not have every character of a file
    try:
        status: int = given.run(given, sys.stdin.buffer, sys.stdout, sys.stderr)
        sys.stdout.flush()
    except ConfigError as error:
        sys.stderr.write(render(error.diagnostics, wants_color(sys.stderr)))
        return EX_CONFIG
    except (UsageError, Unavailable) as error:
        sys.stderr.write(f"meshproxy {given.command}: {error}\n")
        return EX_USAGE if isinstance(error, UsageError) else EX_UNAVAILABLE
    except BrokenPipeError:
        # Whoever reads has seen enough. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EX_PIPE
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=_NAME, description=_TEXT, epilog=_EPILOG, formatter_class=_FORMAT, usage=_USAGE)
    parser.add_argument("--version", action="version", version=f"meshproxy {__version__}", help="print the version")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS, prog=_NAME
    )
    for name, command in _COMMANDS.items():
        told = command.HELP
        added = commands.add_parser(name, description=told.text, epilog=told.epilog, formatter_class=_FORMAT)
        command.add_arguments(added)
        added.set_defaults(run=command.run, parser=added)
    return parser
