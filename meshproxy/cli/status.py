"""``meshproxy status``: what a running gateway serves, and in which state, as its admin server tells it."""

from __future__ import annotations

import argparse
import json
from typing import BinaryIO, TextIO

from meshproxy.cli.admin import NOBODY, AdminServer, Unavailable, add_admin_argument
from meshproxy.cli.arguments import add_format_argument, wants_color
from meshproxy.cli.helptext import Help
from meshproxy.cli.statustable import lines

HELP = Help(
    "tell what a running gateway serves, and in which state",
    """\
Asks the gateway that runs, and shows its configuration, its listeners, and
each cluster with its endpoints: state, share of the sessions, requests,
errors, connections.""",
    (
        ("meshproxy status", "the gateway on this machine"),
        ("meshproxy status --cluster shop --format json", "some clusters, for a program"),
        ("meshproxy status --admin unix:/run/meshproxy.sock", "by a UNIX socket"),
    ),
    {0: "told", **NOBODY},
)
_VERSION = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    add_admin_argument(parser)
    parser.add_argument(
        "--cluster", default="", metavar="PART", help="only clusters whose name contains this [default: all]"
    )
    add_format_argument(parser)


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Ask and print, and return the exit status. Raises ``UsageError`` and ``Unavailable``."""
    answer = AdminServer(arguments.admin).get("/status", {"cluster": arguments.cluster})
    told = answer.told
    if told.get("version") != _VERSION:
        raise Unavailable(answer.refusal)
    if arguments.format == "json":
        stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        stdout.writelines(f"{line}\n" for line in lines(told, wants_color(stdout)))
    return 0
