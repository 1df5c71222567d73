"""``meshproxy reload``: have a running gateway read its configuration anew, and tell how that ended."""

from __future__ import annotations

import argparse
from http import HTTPStatus
from typing import BinaryIO, TextIO

from meshproxy.cli.admin import EX_UNAVAILABLE, AdminServer, Unavailable, add_admin_argument, add_token_argument
from meshproxy.cli.arguments import EX_CONFIG, EX_USAGE

EX_REFUSED = 1
_SECONDS = 600.0  # a large table of hashes takes half a minute, and there may be many


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    add_admin_argument(parser)
    add_token_argument(parser)


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Ask for it, wait, and return the exit status."""
    try:
        server = AdminServer(arguments.admin, arguments.token_file)
    except ValueError as error:
        stderr.write(f"meshproxy reload: {error}\n")
        return EX_USAGE
    try:
        answer = server.post("/reload", {}, _SECONDS)
    except Unavailable as error:
        stderr.write(f"meshproxy reload: {error}\n")
        return EX_UNAVAILABLE
    told = answer.told
    if answer.status == HTTPStatus.OK and "generation" in told:
        # The same one as before if nothing has changed, perhaps because the gateway has seen the change by itself.
        stdout.write(f"configuration {told['generation']} is served\n")
        return 0
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        stderr.write(f"{answer.refusal.rstrip()}\n")
        return EX_CONFIG
    stderr.write(f"meshproxy reload: {answer.refusal}\n")
    return EX_REFUSED
