"""Stand-ins for tests of what listens and serves."""

from __future__ import annotations

from errno import EADDRINUSE
from socket import AF_INET, SO_REUSEPORT
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from meshproxy.errors import Location
from meshproxy.model import Listener, MeshSettings, RoutedRequest, Snapshot
from meshproxy.net.listening import adopt
from meshproxy.net.sockets import Address, bind
from meshproxy.routes import Route


class FakeSocket:
    """A socket that a ``FakeReactor`` pretends to have bound."""

    family = AF_INET

    def __init__(self, number: int, address: Address) -> None:
        self.number = number
        self.address = address
        self.shared = self.closed = False

    def fileno(self) -> int:
        return self.number

    def getsockname(self) -> Address:
        return self.address

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.shared = option == SO_REUSEPORT and value == 1

    def close(self) -> None:
        self.closed = True


class FakePort:
    """A port of a ``FakeReactor`` that accepts from a socket."""

    def __init__(self, address: Address, factory: Factory) -> None:
        self.address = address
        self.factory = factory
        self.closed = False

    def stopListening(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class FakeReactor(Clock):
    """A clock that also pretends to listen. ``busy`` holds the ports at which somebody else does.

    ``bind`` is what ``Sockets`` takes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.busy: set[int] = set()
        self.ports: list[FakePort] = []
        self.sockets: list[FakeSocket] = []
        self.when_running: list[Any] = []
        self.stopped = 0
        self.signals: list[int] = []

    @property
    def bound(self) -> list[Address]:
        """The addresses of the sockets that are open."""
        return [it.address for it in self.sockets if not it.closed]

    @property
    def open_ports(self) -> list[Address]:
        """The addresses from which connections are accepted."""
        return [port.address for port in self.ports if not port.closed]

    def bind(self, ip: str, port: int, count: int, shared: bool) -> list[Any]:
        if port in self.busy:
            raise OSError(EADDRINUSE, "Address already in use")
        first = len(self.sockets)
        self.sockets += [FakeSocket(number, (ip, port or 40000 + first)) for number in range(first, first + count)]
        return self.sockets[first:]

    def adoptStreamPort(self, descriptor: int, family: int, factory: Factory) -> FakePort:
        self.ports.append(FakePort(self.sockets[descriptor].address, factory))
        return self.ports[-1]

    def callWhenRunning(self, call: Any) -> None:
        self.when_running.append(call)

    def callFromThread(self, call: Any) -> None:
        call()

    def sigTerm(self, number: int, frame: object) -> None:
        self.signals.append(number)

    def stop(self) -> None:
        self.stopped += 1


def listen(reactor: Any, factory: Factory) -> IListeningPort:
    """A real port of a real reactor, on loopback and lean."""
    (listening,) = bind("127.0.0.1", 0, 1, False)
    with listening:
        return adopt(reactor, listening, factory)


class NoRoutes:
    """A route table without routes."""

    def find(self, request: RoutedRequest) -> Route | None:
        return None


def listener(port: int, bind: str = "", line: int = 1) -> Listener:
    return Listener(bind, port, NoRoutes(), Location("mesh.yaml", line, 3))


def snapshot(*ports: int, digest: str = "", access_log_file: str = "", **mesh: Any) -> Snapshot:
    """A snapshot with listeners at these ports and nothing behind them; no access log unless it is named."""
    listeners = tuple(listener(port, line=number) for number, port in enumerate(ports, 1))
    return Snapshot(listeners, {}, MeshSettings(access_log_file, **mesh), digest or repr(ports))
