"""``meshproxy drain``: let an endpoint of a running gateway take no new sessions, by its admin server."""

from __future__ import annotations

import argparse
import json
from http.client import HTTPConnection, HTTPException
from typing import Any, BinaryIO, TextIO
from urllib.parse import urlencode, urlsplit

EX_REFUSED = 1
EX_USAGE = 64
EX_UNAVAILABLE = 69
_SECONDS = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser the arguments of this command."""
    parser.add_argument("action", choices=("list", "start", "stop"))
    parser.add_argument("endpoint", nargs="?", metavar="IP[:PORT]", help="IPv6 with a port as [IP]:PORT")
    parser.add_argument("--for", dest="duration", metavar="D", help="how long sessions stay, such as 10m")
    parser.add_argument("--until", metavar="TIME", help="the same as a time, such as 2030-05-01T12:00:00Z")
    parser.add_argument(
        "--admin", default="http://127.0.0.1:15000", metavar="URL", help="of the admin server [default: %(default)s]"
    )


def run(arguments: argparse.Namespace, stdin: BinaryIO, stdout: TextIO, stderr: TextIO) -> int:
    """Ask the admin server, and return the exit status."""
    wants_endpoint = arguments.action != "list"
    if (arguments.endpoint is not None) is not wants_endpoint:
        stderr.write(f"meshproxy drain: {arguments.action} takes {'an' if wants_endpoint else 'no'} endpoint\n")
        return EX_USAGE
    asked = None if not wants_endpoint else _asked(arguments)
    try:
        status, answer = _ask(arguments.admin, asked)
    except ValueError as error:
        stderr.write(f"meshproxy drain: {error}\n")
        return EX_USAGE
    except (OSError, HTTPException) as error:
        stderr.write(f"meshproxy drain: no answer from the admin server {arguments.admin}: {error}\n")
        return EX_UNAVAILABLE
    if status != 200:
        stderr.write(f"meshproxy drain: {answer.get('error', f'the admin server answers {status}')}\n")
        return EX_REFUSED
    if "done" in answer:
        stdout.write(f"{answer['done']}\n")
    for drain in answer["draining"] if not wants_endpoint else ():
        end = f"until {drain['until']}" if drain["until"] else "without end"
        stdout.write(f"{drain['drain']}  {end}\n")
    return 0


def _asked(arguments: argparse.Namespace) -> dict[str, str]:
    host, colon, port = arguments.endpoint.rpartition(":")
    bare = not colon or (":" in host and not host.startswith("["))
    address = arguments.endpoint if bare else host.strip("[]")
    asked = {"address": address, **({} if bare else {"port": port})}
    if arguments.action == "stop":
        asked["stop"] = "true"
    if arguments.duration is not None:
        asked["for"] = arguments.duration
    if arguments.until is not None:
        asked["until"] = arguments.until
    return asked


def _ask(url: str, asked: dict[str, str] | None) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url!r} is no URL as in http://127.0.0.1:15000")
    connection = HTTPConnection(parts.hostname, parts.port, timeout=_SECONDS)
    try:
        if asked is None:
            connection.request("GET", "/drain")
        else:
            form = {"content-type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/drain", urlencode(asked), form)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    try:
        found = json.loads(text)
    except ValueError:
        found = {"error": text.decode("utf-8", "replace").strip()}
    return response.status, found if isinstance(found, dict) else {}
