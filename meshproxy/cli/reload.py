"""``meshproxy reload``: have a running gateway read its configuration anew, and tell how that ended."""

from __future__ import annotations

import argparse
from http import HTTPStatus
from typing import BinaryIO, TextIO

from meshproxy.cli.admin import NOBODY, AdminServer, add_admin_argument, add_token_argument
from meshproxy.cli.arguments import EX_CONFIG
from meshproxy.cli.helptext import Help

EX_REFUSED = 1
HELP = Help(
    "have a running gateway read its configuration anew",
    """\
Has the gateway read its files now, and waits until all of its processes serve
them, or until it is plain that they cannot. What is wrong with them is
printed, and then nothing has changed. SIGHUP does the same without a word.""",
    (
        ("meshproxy reload --token-file /etc/meshproxy/token", "the gateway on this machine"),
        ("meshproxy reload --admin unix:/run/meshproxy.sock", "by a UNIX socket, which needs no token"),
    ),
    {
        0: "what the files say is served",
        1: "the gateway refuses to reload",
        **NOBODY,
        EX_CONFIG: "the files do not load; all is served on as before",
    },
)
_SECONDS = 600.0  # a large table of hashes takes half a minute, and there may be many


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    add_admin_argument(parser)
    add_token_argument(parser)


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Ask for it, wait, and return the exit status. Raises ``UsageError`` and ``Unavailable``."""
    answer = AdminServer(arguments.admin, arguments.token_file).post("/reload", {}, _SECONDS)
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
