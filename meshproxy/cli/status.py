"""``meshproxy status``: what a running gateway serves, and in which state, as its admin server tells it."""

from __future__ import annotations

import argparse
import http.client
import json
import socket
from typing import BinaryIO, TextIO
from urllib.parse import quote

from meshproxy.cli.arguments import wants_color
from meshproxy.cli.statustable import lines

EX_UNREACHABLE = 1
EX_USAGE = 64
DEFAULT_ADMIN = "127.0.0.1:15000"
_UNIX = "unix:"
_SECONDS = 10.0
_VERSION = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    parser.add_argument(
        "--admin",
        default=DEFAULT_ADMIN,
        metavar="ADDRESS",
        help="HOST:PORT of the admin server, or unix:PATH [default: %(default)s]",
    )
    parser.add_argument("--cluster", default="", metavar="PART", help="only clusters whose name contains this")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="[default: text]")


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Ask and print, and return the exit status."""
    try:
        connection = _connection(arguments.admin)
    except ValueError as error:
        stderr.write(f"meshproxy status: --admin {arguments.admin}: {error}\n")
        return EX_USAGE
    try:
        text = _ask(connection, f"/status?cluster={quote(arguments.cluster)}")
        told = json.loads(text)
        if not isinstance(told, dict) or told.get("version") != _VERSION:
            raise ValueError("it answers with something else")
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        stderr.write(f"meshproxy status: no status from {arguments.admin}: {why}\n")
        return EX_UNREACHABLE
    if arguments.format == "json":
        stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        stdout.writelines(f"{line}\n" for line in lines(told, wants_color(stdout)))
    return 0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(address: str) -> http.client.HTTPConnection:
    """Raises ``ValueError`` for what is no address."""
    if address.startswith(_UNIX):
        if address == _UNIX:
            raise ValueError("there is no path")
        return _UnixConnection(address.removeprefix(_UNIX))
    try:
        connection = http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"), timeout=_SECONDS)
    except http.client.InvalidURL:
        raise ValueError("not an address as in 127.0.0.1:15000 or unix:/run/meshproxy.sock") from None
    return connection


def _ask(connection: http.client.HTTPConnection, path: str) -> str:
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise ValueError(f"it answers {response.status} {response.reason}: {text[:200].strip()}")
    return text
