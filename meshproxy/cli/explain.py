"""``meshproxy explain``: where a request goes, and why, by the decisions that the gateway itself would make."""

from __future__ import annotations

import argparse
import json
from typing import BinaryIO, TextIO

from twisted.internet.task import Clock

from meshproxy.cli.arguments import add_config_argument, add_identity_arguments, load, wants_color
from meshproxy.explain import Explanation, explain, parse_asked
from meshproxy.explain.rendering import render
from meshproxy.http.gateway import Gateway
from meshproxy.registry import Registry

EX_NOT_SERVED = 1
EX_USAGE = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    parser.add_argument("request", metavar="[METHOD ]URL", help="such as 'GET http://test.com/x?a=1'")
    add_config_argument(parser)
    parser.add_argument(
        "-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="a header; repeatable"
    )
    parser.add_argument(
        "--from",
        dest="client",
        default="",
        metavar="IP[:PORT]",
        help="the address that the request comes from [default: 127.0.0.1]",
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="P",
        help="the port of the configuration that the request comes to [default: that of the URL]",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="[default: text]")
    add_identity_arguments(parser)


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Explain, and return the exit status. Raises ``ConfigError``."""
    try:
        asked = parse_asked(arguments.request, arguments.header, arguments.client, arguments.port)
    except ValueError as error:
        stderr.write(f"meshproxy explain: {error}\n")
        return EX_USAGE
    gateway = Gateway(Clock())
    gateway.install(load(arguments.config, arguments, Registry.discover(), stdin))
    try:
        explanation = explain(gateway, asked)
    except ValueError as error:
        stderr.write(f"meshproxy explain: {error}\n")
        return EX_NOT_SERVED
    if arguments.format == "json":
        stdout.write(json.dumps(explanation.as_json(), indent=2) + "\n")
    else:
        stdout.write(render(explanation, wants_color(stdout)))
    return EX_NOT_SERVED if _is_lost(explanation) else 0


def _is_lost(explanation: Explanation) -> bool:
    """Whether nobody answers the request but the gateway, and nobody told it to."""
    if explanation.forward is None:
        return explanation.answer is not None and explanation.answer.details not in ("direct_response", "cors_response")
    return all(it.endpoint is None and not it.drawn for it in explanation.forward.destinations)
