"""``meshproxy drain``: let an endpoint of a running gateway take no new sessions, by its admin server."""

from __future__ import annotations

import argparse
from typing import BinaryIO, TextIO

from meshproxy.cli.admin import NOBODY, AdminServer, add_admin_argument, add_token_argument
from meshproxy.cli.arguments import EX_USAGE
from meshproxy.cli.helptext import Help

EX_REFUSED = 1
HELP = Help(
    "let an endpoint of a running gateway take no new sessions",
    """\
Begins or ends a drain, or lists those that were begun. An endpoint that drains
gets only requests of the sessions that it has, which a persistence cookie
names; without persistence it gets none. A drain is for all clusters and worker
processes, outlives reloads, and ends with the gateway.""",
    (
        ("meshproxy drain start 10.0.0.2:8080 --for 10m --token-file /etc/meshproxy/token", "before it is stopped"),
        ("meshproxy drain list", "what drains, and until when"),
        ("meshproxy drain stop 10.0.0.2:8080 --admin unix:/run/meshproxy.sock", "let it take sessions again"),
    ),
    {0: "done", 1: "the gateway refuses it", **NOBODY},
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    parser.add_argument("action", choices=("list", "start", "stop"), help="list what drains, begin it, or end it")
    parser.add_argument(
        "endpoint",
        nargs="?",
        metavar="IP[:PORT]",
        help="an endpoint, or all at an address; IPv6 with a port is [IP]:PORT; not with list",
    )
    parser.add_argument(
        "--for",
        dest="duration",
        metavar="D",
        help="how long the sessions that it has stay, such as 90s or 1h30m [default: as long as it drains]",
    )
    parser.add_argument("--until", metavar="TIME", help="until when they stay, such as 2030-05-01T12:00:00Z")
    add_admin_argument(parser)
    add_token_argument(parser)


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Ask the admin server, and return the exit status. Raises ``UsageError`` and ``Unavailable``."""
    wants_endpoint = arguments.action != "list"
    if (arguments.endpoint is not None) is not wants_endpoint:
        stderr.write(f"meshproxy drain: {arguments.action} takes {'an' if wants_endpoint else 'no'} endpoint\n")
        return EX_USAGE
    server = AdminServer(arguments.admin, arguments.token_file if wants_endpoint else "")
    answer = server.post("/drain", _asked(arguments)) if wants_endpoint else server.get("/drain")
    told = answer.told
    if answer.status != 200 or ("done" if wants_endpoint else "draining") not in told:
        stderr.write(f"meshproxy drain: {answer.refusal}\n")
        return EX_REFUSED
    if wants_endpoint:
        stdout.write(f"{told['done']}\n")
        return 0
    for drain in told["draining"]:
        end = f"until {drain['until']}" if drain["until"] else "without end"
        stdout.write(f"{drain['drain']}  {end}\n")
    return 0


def _asked(arguments: argparse.Namespace) -> dict[str, str]:
    host, colon, port = arguments.endpoint.rpartition(":")
    bare = not colon or port.endswith("]") or (":" in host and not host.startswith("["))
    address = (arguments.endpoint if bare else host).strip("[]")
    asked = {"address": address, **({} if bare else {"port": port})}
    if arguments.action == "stop":
        asked["stop"] = "true"
    if arguments.duration is not None:
        asked["for"] = arguments.duration
    if arguments.until is not None:
        asked["until"] = arguments.until
    return asked
