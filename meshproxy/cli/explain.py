"""``meshproxy explain``: where a request goes, and why, by the decisions that the gateway itself would make."""

from __future__ import annotations

import argparse
import json
from http import HTTPStatus
from typing import BinaryIO, TextIO

from twisted.internet.task import Clock

from meshproxy.cli.admin import DEFAULT_ADDRESS, NOBODY, AdminServer, Unavailable, add_admin_argument
from meshproxy.cli.arguments import (
    EX_USAGE,
    add_config_argument,
    add_format_argument,
    add_identity_arguments,
    load,
    names_a_gateway,
    wants_color,
)
from meshproxy.cli.helptext import NOT_LOADED, Help
from meshproxy.explain import Asked, Explanation, explain, parse_asked
from meshproxy.explain.rendering import render
from meshproxy.http.gateway import Gateway
from meshproxy.registry import Registry

EX_NOT_SERVED = 1
HELP = Help(
    "tell where a request goes, and why",
    """\
Tells which listener, virtual host and route a request comes to, which rules
do not match and why, and which endpoint it gets by which hash key. The code
that serves is asked, so the answer is what happens. Nothing is sent.""",
    (
        ("meshproxy explain -c mesh.yaml 'GET http://test.com/x?a=1'", "by a configuration"),
        (
            "meshproxy explain -c mesh.yaml http://test.com/ -H 'Cookie: ISTIOID=abc' --from 10.0.0.7",
            "a session's request, from a client",
        ),
        (
            "meshproxy explain --live http://127.0.0.1:8080/ -H 'Host: test.com'",
            "by what a gateway serves now and knows of its endpoints",
        ),
    ),
    {
        0: "an endpoint, a redirect or a direct response answers",
        1: "nothing serves it: no route, endpoint or listener, or no valid request",
        **NOBODY,
        **NOT_LOADED,
    },
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    parser.add_argument(
        "request", metavar="REQUEST", help="[METHOD ]URL, such as http://test.com/x?a=1 or 'POST http://test.com/'"
    )
    add_config_argument(parser, required=False)
    parser.add_argument(
        "--live",
        action="store_true",
        help="ask the gateway that runs, which knows the state of its endpoints; without -c and --proxy-...",
    )
    add_admin_argument(parser)
    parser.add_argument(
        *("-H", "--header"),
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="a header of the request, such as 'Cookie: ISTIOID=abc'; repeatable",
    )
    parser.add_argument(
        "--from",
        dest="client",
        default="",
        metavar="IP[:PORT]",
        help="the client's address [default: 127.0.0.1]",
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="P",
        help="the gateway's port that the request comes to, where it is not that of the URL",
    )
    add_format_argument(parser)
    add_identity_arguments(parser)


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Explain, and return the exit status. Raises ``ConfigError`` and ``Unavailable``."""
    try:
        asked = parse_asked(arguments.request, arguments.header, arguments.client, arguments.port)
        server = AdminServer(arguments.admin)
    except ValueError as error:
        stderr.write(f"meshproxy explain: {error}\n")
        return EX_USAGE
    wrong = _misuse(arguments)
    if wrong:
        stderr.write(f"meshproxy explain: {wrong} (try meshproxy explain --help)\n")
        return EX_USAGE
    try:
        explanation = _asked_live(arguments, server) if arguments.live else _explained(arguments, asked, stdin)
    except ValueError as error:
        stderr.write(f"meshproxy explain: {error}\n")
        return EX_NOT_SERVED
    if arguments.format == "json":
        stdout.write(json.dumps(explanation.as_json(), indent=2) + "\n")
    else:
        stdout.write(render(explanation, wants_color(stdout)))
    return EX_NOT_SERVED if _is_lost(explanation) else 0


def _misuse(arguments: argparse.Namespace) -> str:
    """What is wrong about the options; empty if nothing is."""
    if arguments.live and names_a_gateway(arguments):
        return "--live asks the gateway for what it serves: leave out -c and --proxy-..."
    if not arguments.live and arguments.admin != DEFAULT_ADDRESS:
        return "--admin goes with --live"
    return "" if arguments.live or arguments.config else "either -c PATH or --live has to be there"


def _explained(arguments: argparse.Namespace, asked: Asked, stdin: BinaryIO) -> Explanation:
    gateway = Gateway(Clock())
    gateway.install(load(arguments.config, arguments, Registry.discover(), stdin))
    return explain(gateway, asked)


def _asked_live(arguments: argparse.Namespace, server: AdminServer) -> Explanation:
    """What the running gateway says. Raises ``Unavailable``, and ``ValueError`` with what it refuses."""
    query: dict[str, str | list[str]] = {"request": arguments.request, "header": arguments.header, "format": "json"}
    if arguments.client:
        query["from"] = arguments.client
    if arguments.port is not None:
        query["port"] = str(arguments.port)
    answer = server.get("/explain", query)
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        raise ValueError(answer.refusal)
    if answer.status != HTTPStatus.OK:
        raise Unavailable(answer.refusal)
    try:
        return Explanation.from_json(answer.told)
    except ValueError as error:
        raise Unavailable(f"the admin server {arguments.admin}: {error}") from None


def _is_lost(explanation: Explanation) -> bool:
    """Whether nobody answers the request but the gateway, and nobody told it to."""
    if explanation.forward is None:
        return explanation.answer is not None and explanation.answer.details not in ("direct_response", "cors_response")
    return all(it.endpoint is None and not it.drawn for it in explanation.forward.destinations)
