"""Clients that check every byte of what they get."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from attrs import frozen
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.chaos.endpoints import fields_of, pattern

ANSWER_SECONDS = 60.0
"""How long a client waits: long enough for a busy machine to start workers anew."""

_HEAD_END = b"\r\n\r\n"
_SIZES = ((0, 12), (200, 20), (5000, 4), (300_000, 1))
_KEPT = 0.9
_UPLOADS = 0.2
_SLOW, _SLOW_SECONDS = 0.02, 0.7


@frozen
class Ending:
    """How a request ended.

    ``identity`` is the request's own, ``port`` the client's. ``status`` is 0 where no whole answer came, and ``why``
    tells the reason then. ``got``: some of an answer came. ``corrupted`` counts wrong bytes. ``least`` is the oldest
    generation that could be in force when the request began, ``generation`` the one that answered.
    """

    service: str
    session: str
    identity: str
    begun: float
    ended: float
    port: int
    is_first: bool
    least: int
    status: int = 0
    why: str = ""
    got: bool = False
    corrupted: int = 0
    endpoint: str = ""
    attempt: int = 1
    generation: int = 0


class Session(ClientFactory):
    """Asks one service again and again with the same cookie, sometimes over a new connection.

    ``least`` gives the oldest generation that may answer from now on; ``tell`` hears of each end. ``asks``: a request
    is under way.
    """

    noisy = False

    def __init__(
        self, reactor: Any, port: int, service: str, name: str, least: Callable[[], int], tell: Callable[[Ending], None]
    ) -> None:
        self.reactor, self.service, self.name = reactor, service, name
        self.least, self.tell = least, tell
        self.rng = Random(name)
        self.number = 0
        self.ended = False
        self.asks = False
        self._port = port

    def connect(self) -> None:
        """Begin, over a new connection."""
        if not self.ended:
            self.reactor.connectTCP("127.0.0.1", self._port, self, timeout=ANSWER_SECONDS)

    def rest(self, then: Callable[[], None]) -> None:
        """Go on a little later."""
        self.reactor.callLater(self.rng.uniform(0.01, 0.1), then)

    def buildProtocol(self, addr: object) -> Protocol:
        return _Asking(self)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        """The gateway does not accept."""
        now = self.reactor.seconds()
        self.tell(Ending(self.service, self.name, "", now, now, 0, True, 0, why="no connection"))
        self.rest(self.connect)


class _Asking(Protocol):
    transport: Any

    def __init__(self, session: Session) -> None:
        self._session = session
        self._buffer = b""
        self._is_first = True
        self._waiting: Any = None

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._port = self.transport.getHost().port
        self._ask()

    def _ask(self) -> None:
        session = self._session
        if session.ended:
            self.transport.loseConnection()
            return
        if not self.transport.connected:
            return  # it was closed while nothing was asked, and another one is made
        session.number += 1
        rng = session.rng
        self._identity = f"{session.name}-{session.number}"
        (size,) = rng.choices([size for size, _ in _SIZES], [weight for _, weight in _SIZES])
        self._expected = pattern(self._identity, size)
        is_upload = size > 0 and rng.random() < _UPLOADS
        head = [
            f"{'POST' if is_upload else 'GET'} /{session.service} HTTP/1.1",
            "host: chaos.test",
            f"cookie: ISTIOID={session.name}",
            f"x-id: {self._identity}",
            f"content-length: {size}" if is_upload else f"x-size: {size}",
            f"x-wait: {_SLOW_SECONDS if rng.random() < _SLOW else 0}",
        ]
        self._begun, self._least = session.reactor.seconds(), session.least()
        self._waiting = session.reactor.callLater(ANSWER_SECONDS, self._give_up)
        session.asks = True
        self.transport.write("\r\n".join(head).encode() + _HEAD_END + (self._expected if is_upload else b""))

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(_HEAD_END)
        fields = fields_of(head)
        if not end or len(body) < int(fields.get(b"content-length", b"0")):
            return
        self._buffer = b""
        status = int(head.split(b" ", 2)[1])
        found: dict[str, Any] = {"status": status}
        if status == 200:
            found["corrupted"] = wrong_bytes(self._expected, body)
            found["endpoint"] = fields.get(b"x-served-by", b"").decode()
            found["attempt"] = int(fields.get(b"x-attempt", b"1"))
            found["generation"] = int(fields.get(b"x-generation", b"0"))
        self._told(**found)
        self._is_first = False
        session = self._session
        if fields.get(b"connection") == b"close" or session.rng.random() > _KEPT:
            self.transport.loseConnection()
        else:
            session.rest(self._ask)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._told(why="broken connection", got=bool(self._buffer))
        self._session.rest(self._session.connect)

    def _give_up(self) -> None:
        self._waiting = None
        self._tell(why="no answer", got=bool(self._buffer))
        self.transport.abortConnection()

    def _told(self, **found: Any) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
            self._tell(**found)

    def _tell(self, **found: Any) -> None:
        session = self._session
        session.asks = False
        now = session.reactor.seconds()
        session.tell(
            Ending(
                *(session.service, session.name, self._identity, self._begun, now),
                *(self._port, self._is_first, self._least),
                **found,
            )
        )


def wrong_bytes(expected: bytes, got: bytes) -> int:
    """How many bytes are not what they should be, missing ones and those in excess included."""
    if expected == got:
        return 0
    return abs(len(expected) - len(got)) + sum(one != other for one, other in zip(expected, got, strict=False))
