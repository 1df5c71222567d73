"""The gateway's peers in a soak: endpoints that can be killed, made to hang and revived, and clients that check."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from attrs import frozen
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

_HEAD_END = b"\r\n\r\n"
CLIENT_SECONDS = 15.0
"""How long a client waits for an answer."""


class State(Enum):
    """What an endpoint does."""

    UP = "up"
    DOWN = "down"
    """It refuses connections; those that it had are reset."""
    HANGING = "hanging"
    """It accepts whatever comes and says nothing."""
    GARBAGE = "garbage"
    """It answers something that is not HTTP."""
    CUTTING = "cutting"
    """It closes the connection in the middle of each answer."""


class Serving(Protocol):
    """One connection of an endpoint; answers each request with the endpoint's ``name`` while its ``state`` is UP."""

    transport: Any
    name = ""
    state = State.UP

    def __init__(self) -> None:
        self._buffer = b""

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while _HEAD_END in self._buffer:
            _, _, self._buffer = self._buffer.partition(_HEAD_END)
            if self.state is State.UP:
                name = self.name.encode()
                self.transport.write(b"HTTP/1.1 200 OK\r\nx-served-by: %b\r\ncontent-length: 2\r\n\r\nok" % name)


class _OfEndpoint(Serving):
    def __init__(self, endpoint: SoakEndpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self.name = endpoint.name

    @property
    def state(self) -> State:  # type: ignore[override]
        return self._endpoint.state

    def connectionMade(self) -> None:
        super().connectionMade()
        self._endpoint.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._endpoint.connections.discard(self)


class SoakEndpoint:
    """An endpoint on loopback. ``name`` is its ``ip:port``."""

    def __init__(self, reactor: Any) -> None:
        self.connections: set[Any] = set()
        self.state = State.DOWN
        self._reactor = reactor
        self._port: Any = None
        self._number = 0
        self.become(State.UP)
        self.name = f"127.0.0.1:{self._number}"

    def build(self) -> Protocol:
        """What serves a connection; it keeps ``connections``."""
        return _OfEndpoint(self)

    def become(self, state: State) -> None:
        """Do that from now on. What a hanging endpoint was asked is never answered."""
        self.state = state
        if state is not State.UP:
            for connection in list(self.connections) if state is State.DOWN else ():
                connection.transport.abortConnection()
        elif self._port is not None:
            for connection in list(self.connections):
                connection.transport.abortConnection()
        if state is State.DOWN:
            port, self._port = self._port, None
            if port is not None:
                port.stopListening()
        elif self._port is None:
            factory = Factory.forProtocol(self.build)
            factory.noisy = False
            self._port = self._reactor.listenTCP(self._number, factory, backlog=512, interface="127.0.0.1")
            self._number = self._port.getHost().port


@frozen
class Answered:
    """The end of a request. ``failure`` is empty for a 200; ``begun`` and ``ended`` are the clock's."""

    session: str
    number: int
    endpoint: str
    failure: str
    begun: float
    ended: float


class Client(Protocol):
    """Sends one request after the other, in a session of its own, and tells how each ended."""

    transport: Any

    def __init__(self, user: User) -> None:
        self._user = user
        self._buffer = b""
        self._waiting: Any = None

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.ask()

    def ask(self) -> None:
        """Send a request."""
        user = self._user
        if user.ended:
            self.transport.loseConnection()
            return
        user.number += 1
        user.begun = user.reactor.seconds()
        self._waiting = user.reactor.callLater(CLIENT_SECONDS, self._give_up)
        head = b"GET / HTTP/1.1\r\nhost: soak.test\r\ncookie: ISTIOID=%b\r\nx-soak: %b-%d\r\n\r\n"
        self.transport.write(head % (user.session.encode(), user.session.encode(), user.number))

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(_HEAD_END)
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if b": " in line)
        if not end or len(body) < int(fields.get(b"content-length", b"0")):
            return
        self._buffer = b""
        status = head.split(b" ", 2)[1].decode()
        self._told("" if status == "200" and body == b"ok" else status, fields.get(b"x-served-by", b"").decode())
        self._user.rest(self.ask)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._waiting is not None:
            self._told("broken connection")
        self._user.rest(self._user.connect)

    def _give_up(self) -> None:
        self._waiting = None
        self._told("no answer")
        self.transport.abortConnection()

    def _told(self, failure: str, endpoint: str = "") -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        user = self._user
        user.tell(Answered(user.session, user.number, endpoint, failure, user.begun, user.reactor.seconds()))


class User(ClientFactory):
    """One session. ``tell`` hears of each request; ``pause`` is the time between two, in seconds."""

    noisy = False

    def __init__(self, reactor: Any, port: int, session: str, pause: float, tell: Callable[[Answered], None]) -> None:
        self.reactor, self.session, self.tell = reactor, session, tell
        self._port, self._pause = port, pause
        self.number = 0
        self.begun = 0.0
        self.ended = False

    def connect(self) -> None:
        """Begin, over a new connection."""
        if not self.ended:
            self.reactor.connectTCP("127.0.0.1", self._port, self)

    def rest(self, then: Callable[[], None]) -> None:
        """Go on after the pause."""
        self.reactor.callLater(self._pause, then)

    def buildProtocol(self, addr: object) -> Client:
        return Client(self)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        """The gateway itself does not accept: a failure like any other."""
        now = self.reactor.seconds()
        self.number += 1
        self.tell(Answered(self.session, self.number, "", "no connection to the gateway", now, now))
        self.rest(self.connect)
