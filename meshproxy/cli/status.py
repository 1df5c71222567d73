"""``meshproxy status``: what a running gateway serves, and in which state, as its admin server tells it."""

from __future__ import annotations

import argparse
import json
from typing import BinaryIO, TextIO

from meshproxy.cli.admin import EX_UNAVAILABLE, AdminServer, Unavailable, add_admin_argument
from meshproxy.cli.arguments import EX_USAGE, wants_color
from meshproxy.cli.statustable import lines

_VERSION = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    add_admin_argument(parser)
    parser.add_argument("--cluster", default="", metavar="PART", help="only clusters whose name contains this")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="[default: text]")


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Ask and print, and return the exit status."""
    try:
        server = AdminServer(arguments.admin)
    except ValueError as error:
        stderr.write(f"meshproxy status: {error}\n")
        return EX_USAGE
    try:
        answer = server.get("/status", {"cluster": arguments.cluster})
    except Unavailable as error:
        stderr.write(f"meshproxy status: {error}\n")
        return EX_UNAVAILABLE
    told = answer.told
    if told.get("version") != _VERSION:
        stderr.write(f"meshproxy status: {answer.refusal}\n")
        return EX_UNAVAILABLE
    if arguments.format == "json":
        stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        stdout.writelines(f"{line}\n" for line in lines(told, wants_color(stdout)))
    return 0
