"""What commands ask of a gateway that runs: its admin server, over TCP or a UNIX socket."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from meshproxy.admin.token import TokenFile

EX_UNAVAILABLE = 69
NOBODY = {EX_UNAVAILABLE: "no gateway answers there"}
"""For the help of commands that ask one."""
DEFAULT_ADDRESS = "127.0.0.1:15000"
_TOKEN_VARIABLE = "MESHPROXY_ADMIN_TOKEN_FILE"
_UNIX = "unix:"
_SECONDS = 10.0
_LONGEST = 500
_LONGEST_PATH = 16_000  # Twisted closes the connection at lines of more than 16,384 bytes
_FORM = {"content-type": "application/x-www-form-urlencoded"}


class Answer(NamedTuple):
    """What the admin server answers."""

    status: int
    text: str

    @property
    def told(self) -> dict[str, Any]:
        """The JSON object that it is; empty for anything else."""
        try:
            found = json.loads(self.text)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {}

    @property
    def refusal(self) -> str:
        """What an answer that is not what was asked for says."""
        error = self.told.get("error")
        if isinstance(error, str):
            return error
        text = self.text[:_LONGEST].strip()
        return f"the admin server answers {self.status} {http.client.responses.get(self.status, '')}: {text}"


class UsageError(ValueError):
    """What was given is no address, or no token; the text says why."""


class Unavailable(Exception):
    """There is no answer; the text says why."""


def add_admin_argument(parser: argparse.ArgumentParser) -> None:
    """The option that says where the admin server is."""
    parser.add_argument(
        "--admin",
        default=DEFAULT_ADDRESS,
        metavar="ADDRESS",
        help="where the gateway's admin server is: HOST:PORT, or unix:PATH such as unix:/run/meshproxy.sock "
        "[default: %(default)s]",
    )


def add_token_argument(parser: argparse.ArgumentParser) -> None:
    """The option that says where the token for changes is."""
    parser.add_argument(
        "--token-file",
        default=os.environ.get(_TOKEN_VARIABLE, ""),
        metavar="PATH",
        help="the file with the token that the gateway was given as --admin-token-file; not needed with unix:PATH "
        f"[default: the environment's {_TOKEN_VARIABLE}]",
    )


class AdminServer:
    """The admin server at an address as ``--admin`` has it, and the file with the token for changes, if there is one.

    Raises ``UsageError`` for what is no address, and for a file that has no token.
    """

    def __init__(self, address: str, token_file: str = "") -> None:
        self._address = address
        self._connection(_SECONDS).close()
        needed = token_file and not address.startswith(_UNIX)
        try:
            self._token = TokenFile(token_file).read().decode("ascii") if needed else ""
        except ValueError as error:
            raise UsageError(error) from error

    def get(self, page: str, query: Mapping[str, str | Sequence[str]] | None = None) -> Answer:
        """Read a page; raises ``Unavailable``."""
        # Arguments of a command may be no UTF-8.
        path = page if query is None else f"{page}?{urlencode(query, doseq=True, errors='surrogateescape')}"
        if len(path) > _LONGEST_PATH:
            raise Unavailable(f"the question has {len(path)} bytes, and the admin server takes {_LONGEST_PATH}")
        return self._ask("GET", path, None, {}, _SECONDS)

    def post(self, page: str, form: Mapping[str, str], seconds: float = _SECONDS) -> Answer:
        """Ask for a change, and wait so long for the answer; raises ``Unavailable``."""
        headers = {**_FORM, "authorization": f"Bearer {self._token}"} if self._token else _FORM
        return self._ask("POST", page, urlencode(form), headers, seconds)

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        host = self._address.removeprefix("http://").rstrip("/")
        try:
            if self._address.startswith(_UNIX):
                return _UnixConnection(self._address.removeprefix(_UNIX), seconds)
            if "/" in host or not host:
                raise http.client.InvalidURL
            return http.client.HTTPConnection(host, timeout=seconds)
        except http.client.InvalidURL:
            hint = "not an address as in 127.0.0.1:15000 or unix:/run/meshproxy.sock"
            raise UsageError(f"--admin {self._address}: {hint}") from None

    def _ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str], seconds: float) -> Answer:
        connection = self._connection(seconds)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.read().decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # UnicodeError: of a name that is none
            why = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
            raise Unavailable(f"no answer from the admin server {self._address}: {why}") from error
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        if not path:
            raise http.client.InvalidURL
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
