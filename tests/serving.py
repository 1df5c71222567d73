"""Stand-ins for tests of what listens and serves."""

from __future__ import annotations

from errno import EADDRINUSE
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from meshproxy.errors import Location
from meshproxy.model import Listener, MeshSettings, RoutedRequest, Snapshot
from meshproxy.routes import Route


class FakePort:
    """A port that a ``FakeReactor`` opened."""

    def __init__(self, address: tuple[str, int], factory: Factory) -> None:
        self.address = address
        self.factory = factory
        self.closed = False

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", *self.address)

    def stopListening(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class FakeReactor(Clock):
    """A clock that also pretends to listen. ``busy`` holds the ports at which somebody else does."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: set[int] = set()
        self.ports: list[FakePort] = []
        self.when_running: list[Any] = []
        self.stopped = 0
        self.signals: list[int] = []

    @property
    def open_ports(self) -> list[tuple[str, int]]:
        return [port.address for port in self.ports if not port.closed]

    def listenTCP(self, port: int, factory: Factory, backlog: int = 50, interface: str = "") -> FakePort:
        if port in self.busy:
            raise CannotListenError(interface, port, OSError(EADDRINUSE, "Address already in use"))
        self.ports.append(FakePort((interface, port), factory))
        return self.ports[-1]

    def callWhenRunning(self, call: Any) -> None:
        self.when_running.append(call)

    def callFromThread(self, call: Any) -> None:
        call()

    def sigTerm(self, number: int, frame: object) -> None:
        self.signals.append(number)

    def stop(self) -> None:
        self.stopped += 1


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
