"""A sample replica: answers every GET with the same JSON, says in a header which one it is, and logs each request.

``python -m meshproxy.demo.replica NAME PORT`` runs one on loopback.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from meshproxy.demo.scenario import LOOPBACK
from meshproxy.net.addresses import reason, shown

BODY = b'{"service": "test2-bwce-srv", "message": "hello"}\n'

Say = Callable[[str], None]


class _Answer(Resource):
    isLeaf = True

    def __init__(self, name: str, say: Say) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._name = name
        self._say = say

    def render_GET(self, request: Request) -> bytes:
        cookie = (request.getHeader(b"cookie") or b"-").decode("latin-1")
        self._say(f"{self._name}: {request.method.decode()} {request.uri.decode('latin-1')!a} cookie={cookie!a}")
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"x-served-by", self._name.encode())
        return BODY


class _Quiet(Site):
    noisy = False
    displayTracebacks = False

    def log(self, request: object) -> None:
        """The resource does that."""


class Replica(Service):
    """Serves as ``name`` on a socket that listens already, and says each request in a line of text."""

    def __init__(self, reactor: Any, listening: socket.socket, name: str, say: Say) -> None:
        self._reactor = reactor
        self._socket = listening
        self._site = _Quiet(_Answer(name, say), reactor=reactor)  # type: ignore[no-untyped-call]
        self._port: IListeningPort | None = None

    def startService(self) -> None:
        """Begin to accept."""
        super().startService()  # type: ignore[no-untyped-call]
        self._socket.setblocking(False)
        self._port = self._reactor.adoptStreamPort(self._socket.fileno(), socket.AF_INET, self._site)
        # The port has a duplicate of its own.
        self._socket.close()

    def stopService(self) -> Deferred[None] | None:
        """Accept no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        return None if self._port is None else self._port.stopListening()


def _say(line: str) -> None:
    print(line, flush=True)


def run(listening: socket.socket, name: str) -> None:
    """Serve until the process is asked to end."""
    from twisted.internet import reactor

    Replica(reactor, listening, name, _say).startService()
    reactor.run()


def main(arguments: list[str]) -> int:
    """``NAME PORT``, or ``NAME --fd NUMBER`` for a socket that was inherited."""
    match arguments:
        case [name, "--fd", number] if number.isdecimal():
            run(socket.socket(fileno=int(number)), name)
            return 0
        case [name, port] if port.isdecimal() and int(port) < 65536:
            listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind((LOOPBACK, int(port)))
                listening.listen(128)
            except OSError as error:
                print(f"{name} cannot listen on {shown(LOOPBACK, int(port))}: {reason(error)}", file=sys.stderr)
                return 1
            _say(f"{name} listens on {shown(LOOPBACK, int(port))}")
            run(listening, name)
            return 0
    print("usage: python -m meshproxy.demo.replica NAME PORT", file=sys.stderr)
    return 64


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
