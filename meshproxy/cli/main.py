"""The command line of ``meshproxy``.

Exit status: 0 when all is well, 64 for wrong usage (one line on standard error), 78 for a configuration that does not
load (with its findings), else what the command says. No reactor is needed, and none is imported.
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
from meshproxy.cli.arguments import EX_CONFIG, EX_USAGE, wants_color
from meshproxy.config.diagnostics import render
from meshproxy.errors import ConfigError

_EX_PIPE = 141
_EPILOG = "To serve a configuration: twistd -n meshproxy -c PATH"
_COMMANDS = {
    check: "print everything that is wrong with a configuration, and all that has no effect",
    explain: "tell where a request goes, and why",
    diff: "tell what a change of the configuration changes for requests, and how many sessions move",
    drain: "let an endpoint of a running gateway take no new sessions",
    distribution: "tell how evenly sessions are spread over endpoints",
    status: "tell what a running gateway serves, and in which state",
    reload: "have a running gateway read its configuration anew, and tell how that ended",
    plugins: "list the strategies that are installed, and what is wrong with those that cannot be used",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EX_USAGE, f"{self.prog}: {message} (try {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (by default those of the process) ask for; its exit status."""
    given = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not have every character of a file
    try:
        status: int = given.run(given, sys.stdin.buffer, sys.stdout, sys.stderr)
        sys.stdout.flush()
    except ConfigError as error:
        sys.stderr.write(render(error.diagnostics, wants_color(sys.stderr)))
        return EX_CONFIG
    except BrokenPipeError:
        # Whoever reads has seen enough. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EX_PIPE
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="meshproxy",
        description="Looks at configurations and plugins of meshproxy, and at a gateway that runs.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"meshproxy {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command, what in _COMMANDS.items():
        name = command.__name__.rpartition(".")[2]
        added = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        command.add_arguments(added)
        added.set_defaults(run=command.run)
    return parser
