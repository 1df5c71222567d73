"""Endpoints whose answers can be checked byte by byte, and that fail when told to."""

from __future__ import annotations

import math
from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tests.soak.peers import SoakEndpoint, State

_HEAD_END = b"\r\n\r\n"


def pattern(identity: str, size: int) -> bytes:
    """So many bytes that no other request has."""
    piece = f"{identity}|".encode()
    return (piece * (size // len(piece) + 1))[:size]


def fields_of(head: bytes) -> dict[bytes, bytes]:
    """The fields of a head, names in lower case."""
    return {name.lower(): value for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n")[1:])}


class ChaosEndpoint(SoakEndpoint):
    """An endpoint of which a request asks for ``x-size`` bytes of its ``pattern``, or its own body back, after
    ``x-wait`` seconds.

    ``seen`` are the requests that came, ``troubles`` the times from and to when it was not ``State.UP``.
    """

    def __init__(self, reactor: Any) -> None:
        self.seen: set[str] = set()
        self.troubles: list[tuple[float, float]] = []
        self.reactor = reactor
        super().__init__(reactor)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.name.rpartition(":")[2])

    def build(self) -> Protocol:
        return _Connection(self)

    def become(self, state: State) -> None:
        """See ``SoakEndpoint``."""
        now = self.reactor.seconds()
        if self.troubles and self.troubles[-1][1] == math.inf:
            self.troubles[-1] = (self.troubles[-1][0], now)
        if state is not State.UP:
            self.troubles.append((now, math.inf))
        super().become(state)

    def was_in_trouble(self, begin: float, end: float) -> bool:
        """Whether it was, at some time between these two."""
        return any(since <= end and until >= begin for since, until in self.troubles)


class _Connection(Protocol):
    transport: Any

    def __init__(self, endpoint: ChaosEndpoint) -> None:
        self._endpoint = endpoint
        self._buffer = b""

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._endpoint.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._endpoint.connections.discard(self)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, end, rest = self._buffer.partition(_HEAD_END)
            fields = fields_of(head)
            length = int(fields.get(b"content-length", b"0"))
            if not end or len(rest) < length:
                return
            self._buffer = rest[length:]
            identity = fields.get(b"x-id", b"").decode()
            self._endpoint.seen.add(identity)
            body = rest[:length] if length else pattern(identity, int(fields.get(b"x-size", b"0")))
            self._endpoint.reactor.callLater(
                float(fields.get(b"x-wait", b"0")), self._answer, fields.get(b"x-envoy-attempt-count", b"1"), body
            )

    def _answer(self, attempt: bytes, body: bytes) -> None:
        state = self._endpoint.state
        head = b"HTTP/1.1 200 OK\r\nx-served-by: %b\r\nx-attempt: %b\r\ncontent-length: %d\r\n\r\n"
        whole = head % (self._endpoint.name.encode(), attempt, len(body)) + body
        if state is State.UP:
            self.transport.write(whole)
        elif state is State.GARBAGE:
            self.transport.write(b"\x00 no HTTP at all\r\n\r\n")
        elif state is State.CUTTING:
            self.transport.write(whole[: len(whole) - len(body) // 2 - 1])
            self.transport.loseConnection()
