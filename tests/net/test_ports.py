from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from meshproxy.net.ports import Ports, shares
from tests.serving import FakeReactor, FakeSocket

ONE, OTHER = ("", 80), ("", 81)


class SharesTests(SynchronousTestCase):
    def test_every_socket_is_somebodys(self) -> None:
        """With whatever numbers of sockets and processes: no socket is forgotten, no process without one."""
        for sockets in range(1, 6):
            for processes in range(1, 6):
                taken = [shares(sockets, position, processes) for position in range(processes)]
                self.assertEqual(set().union(*taken), set(range(sockets)))
                self.assertNotIn(set(), taken)

    def test_one_each(self) -> None:
        """As many sockets as processes: one for each. One process fewer: another has two."""
        self.assertEqual([shares(3, n, 3) for n in range(3)], [{0}, {1}, {2}])
        self.assertEqual([shares(3, n, 2) for n in range(2)], [{0, 2}, {1}])

    def test_one_for_all(self) -> None:
        """A socket that was handed in alone is everybody's."""
        self.assertEqual([shares(1, n, 2) for n in range(2)], [{0}, {0}])

    def test_none(self) -> None:
        """No socket can be nobody's."""
        self.assertEqual(shares(0, 0, 2), set())


class PortsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.factories: dict[tuple[str, int], Factory] = {ONE: Factory(), OTHER: Factory()}
        self.ports = Ports(self.reactor)

    def bound(self, port: int) -> Any:
        return self.reactor.bind("0.0.0.0", port, 1, False)[0]

    def serve(self, **sockets: FakeSocket) -> None:
        by_key: Any = {{"one": ONE, "other": OTHER}[name]: [it] for name, it in sockets.items()}
        self.successResultOf(self.ports.serve(by_key, self.factories.__getitem__))

    def test_life(self) -> None:
        """What stays is not touched, what is new is adopted, what goes is closed; the sockets remain open."""
        first, second, third = map(self.bound, (80, 81, 82))
        self.serve(one=first, other=second)
        self.serve(one=first, other=third)
        self.assertEqual([port.closed for port in self.reactor.ports], [False, True, False])
        self.assertEqual([it.closed for it in self.reactor.sockets], [False] * 3)
        self.assertEqual(len(self.ports), 2)

    def test_another_listener(self) -> None:
        """A socket that changes hands keeps its port, whose connections are the new listener's."""
        first = self.bound(80)
        self.serve(one=first)
        (port,) = self.reactor.ports
        self.assertIs(port.factory, self.factories[ONE])
        self.serve(other=first)
        self.assertEqual(self.reactor.ports, [port])
        self.assertIs(port.factory, self.factories[OTHER])


class Remembering(Protocol):
    def dataReceived(self, data: bytes) -> None:
        assert isinstance(self.factory, Served)
        self.factory.received.append(data)
        self.transport.loseConnection()  # type: ignore[union-attr]


class Served(Factory):
    """Remembers what connections brought."""

    protocol = Remembering
    noisy = False

    def __init__(self) -> None:
        self.received: list[bytes] = []


class RealPortsTests(TestCase):
    def setUp(self) -> None:
        self.ports = Ports(reactor)
        self.served = Served()
        self.listening = [self.listen(), self.listen()]

    def listen(self) -> socket.socket:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        self.addCleanup(listening.close)
        return listening

    def serve(self, *sockets: socket.socket) -> Deferred[None]:
        return self.ports.serve({ONE: sockets}, lambda key: self.served)

    def say(self, to: socket.socket, what: bytes) -> socket.socket:
        client = socket.create_connection(to.getsockname(), 10)
        self.addCleanup(client.close)
        client.sendall(what)
        return client

    async def test_waiting_connections(self) -> None:
        """What waits to be accepted when a port closes is accepted, and what it has sent is read; a client that has
        not sent anything yet, or has left, is no error."""
        closing, staying = self.listening
        self.addCleanup(self.ports.serve, {}, lambda key: self.served)
        self.serve(closing, staying)
        self.say(closing, b"a request")
        self.say(closing, b"")
        self.say(closing, b"").close()
        self.say(staying, b"not yet")
        self.ports.empty({staying})
        self.assertEqual(self.served.received, [b"a request"])
        await self.serve(staying)

    async def test_socket_outlives_its_port(self) -> None:
        """A port that is closed does not shut the socket down: another process may be accepting from it."""
        await self.serve(self.listening[0])
        await self.ports.serve({}, lambda key: self.served)
        client = self.say(self.listening[0], b"x")
        accepted, _ = self.listening[0].accept()
        self.addCleanup(accepted.close)
        self.assertEqual(accepted.getpeername(), client.getsockname())

    def test_share(self) -> None:
        """A process accepts from its own share of the sockets, also from those that come later, and from all again
        when it is alone."""
        self.addCleanup(self.ports.serve, {}, lambda key: self.served)
        self.ports.share(1, 2)
        self.serve(*self.listening)

        def reading() -> list[bool]:
            mine = {port.socket.getsockname() for port in reactor.getReaders() if hasattr(port, "socket")}  # type: ignore[attr-defined]
            return [it.getsockname() in mine for it in self.listening]

        self.assertEqual(reading(), [False, True])
        self.ports.share(0, 1)
        self.assertEqual(reading(), [True, True])
