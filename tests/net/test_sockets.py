from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.errors import ConfigError
from meshproxy.model import Listener
from meshproxy.net.addresses import probe, shown
from meshproxy.net.sockets import Sockets
from tests.serving import FakeReactor, listener


class SocketsTests(SynchronousTestCase):
    """Which addresses are opened and closed, and what is said where one cannot be had."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()

    def sockets(self, *args: object, **other: object) -> Sockets:
        return Sockets(*args, bind=self.reactor.bind, **other)  # type: ignore[arg-type]

    def errors(self, sockets: Sockets, *listeners: Listener) -> list[str]:
        with self.assertRaises(ConfigError) as caught:
            sockets.open(listeners)
        return [str(diagnostic) for diagnostic in caught.exception.diagnostics]

    def test_addresses(self) -> None:
        """A mapped port and the address of the command line apply; a server's own ``bind`` wins over the latter."""
        self.sockets({80: 8080}, "127.0.0.1").open([listener(80), listener(81), listener(80, "10.0.0.1")])
        self.assertEqual(self.reactor.bound, [("127.0.0.1", 8080), ("127.0.0.1", 81), ("10.0.0.1", 8080)])

    def test_what_is_open_stays(self) -> None:
        """An address that is open is not bound again; one that no listener has is closed."""
        sockets = self.sockets()
        sockets.open([listener(80), listener(81)])
        after = [listener(81), listener(82)]
        self.assertEqual(sockets.open(after), [("0.0.0.0", 82)])
        sockets.keep(after)
        self.assertEqual(self.reactor.bound, [("0.0.0.0", 81), ("0.0.0.0", 82)])

    def test_all_or_nothing(self) -> None:
        """One address that cannot be bound leaves the others closed, and those that were open before open."""
        sockets = self.sockets()
        sockets.open([listener(80)])
        self.reactor.busy = {82}
        self.errors(sockets, listener(80), listener(81), listener(82))
        self.assertEqual(self.reactor.bound, [("0.0.0.0", 80)])
        self.assertEqual(list(sockets.by_address), [("0.0.0.0", 80)])

    def test_findings(self) -> None:
        """Each address that cannot be bound is a finding with reason, way out and the server's place."""
        self.reactor.busy = {81, 8080}
        errors = self.errors(self.sockets({80: 8080}), listener(80, line=7), listener(81, "::1", line=9))
        self.assertIn("mesh.yaml:7:3: cannot listen on 0.0.0.0:8080: Address already in use", errors[0])
        self.assertIn("--map-port 80=PORT", errors[0])
        self.assertIn("mesh.yaml:9:3: cannot listen on [::1]:81: Address already in use", errors[1])

    def test_mapped_onto_each_other(self) -> None:
        """Two listeners that a mapping puts on one port are told apart from a port that somebody else has."""
        errors = self.errors(self.sockets({80: 8080}), listener(80), listener(8080))
        self.assertEqual(errors, ["mesh.yaml:1:3: --map-port puts ports 80 and 8080 both on 0.0.0.0:8080"])
        self.assertEqual(self.reactor.bound, [])

    def test_same_address_without_mapping(self) -> None:
        """Two servers with one address are not blamed on a mapping that there is not."""
        for ip, bind in (("127.0.0.1", "127.0.0.1"), ("", "0.0.0.0")):
            errors = self.errors(self.sockets(ip=ip), listener(80), listener(80, bind, line=9))
            self.assertIn("mesh.yaml:9:3: this server and the one at", errors[0])
            self.assertIn(f"both listen on {bind}:80", errors[0])

    def test_unused_mapping(self) -> None:
        """A mapping of a port that no listener has can be warned about."""
        self.assertEqual(self.sockets({80: 8080, 81: 8081}).unused_mappings([listener(80)]), [81])

    def test_configured_port(self) -> None:
        """A real port stands for that of the listener that is at it, also where another one is configured to be."""
        sockets, both = self.sockets({80: 81, 81: 0}), [listener(80), listener(81)]
        sockets.open(both)
        self.assertEqual([sockets.configured_port(port, both) for port in (80, 81, 40001)], [80, 80, 81])

    def test_free_port(self) -> None:
        """A listener that may have any port keeps the one it got, for as long as it is there."""
        sockets = self.sockets({80: 0, 81: 0})
        both = [listener(80), listener(81)]
        self.assertEqual(sockets.open(both), [("0.0.0.0", 40000), ("0.0.0.0", 40001)])
        self.assertEqual(sockets.open(both), [])
        self.assertEqual([len(group) for group in sockets.serving(both).values()], [1, 1])
        sockets.keep([listener(80)])
        self.assertEqual(sockets.open(both), [("0.0.0.0", 40002)])

    def test_shown(self) -> None:
        """Addresses are written as people know them."""
        self.assertEqual([shown("", 80), shown("::1", 80)], ["0.0.0.0:80", "[::1]:80"])


class RealSocketsTests(SynchronousTestCase):
    """The same with the kernel: what it lets two sockets share."""

    def sockets(self, count: int = 1, ip: str = "127.0.0.1") -> Sockets:
        sockets = Sockets({80: 0}, ip, count)
        self.addCleanup(sockets.keep, ())
        return sockets

    def opened(self, sockets: Sockets, *listeners: Listener) -> int:
        """The port of the first address that is opened."""
        return sockets.open(listeners)[0][1]

    def accepted(self, sockets: Sequence[socket.socket]) -> int:
        """How many connections waited at these sockets."""
        count = 0
        for listening in sockets:
            while True:
                try:
                    listening.accept()[0].close()
                except BlockingIOError:
                    break
                count += 1
        return count

    def connect(self, port: int, ip: str = "127.0.0.1") -> None:
        self.addCleanup(socket.create_connection((ip, port), 10).close)

    def test_in_use(self) -> None:
        """An address that another program has is refused, also if that program would share it, and also where several
        sockets are to be bound."""
        with socket.socket() as busy:
            busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            busy.bind(("127.0.0.1", 0))
            busy.listen()
            port = busy.getsockname()[1]
            for count in (1, 2):
                with self.assertRaises(ConfigError):
                    self.sockets(count).open([listener(port)])
        probe("127.0.0.1", port)

    def test_one_for_each_process(self) -> None:
        """Connections are spread over the sockets of an address, and none is anywhere else."""
        sockets = self.sockets(2)
        port = self.opened(sockets, listener(80))
        for _ in range(64):
            self.connect(port)
        (group,) = sockets.serving([listener(80)]).values()
        counts = [self.accepted([each]) for each in group]
        self.assertEqual((len(counts), sum(counts)), (2, 64))
        self.assertNotIn(0, counts)

    def test_to_all_addresses(self) -> None:
        """A listener that moves from one address to all of them on its port is there all the time, and so is what waits
        at the old address."""
        sockets = self.sockets(2)
        port = self.opened(sockets, listener(80))
        self.connect(port)
        after = [listener(port, "0.0.0.0")]
        self.assertEqual(sockets.open(after), [("0.0.0.0", port)])
        sockets.keep(after)
        self.connect(port)
        self.connect(port, "127.0.0.2")
        (group,) = sockets.serving(after).values()
        self.assertEqual(self.accepted(group), 3)

    def test_to_one_address(self) -> None:
        """And the other way round: the exact address has the connections from the moment on when it is opened."""
        sockets = self.sockets(2, "0.0.0.0")
        port = self.opened(sockets, listener(80))
        before, after = [listener(80)], [listener(port, "127.0.0.1")]
        sockets.open(after)
        self.connect(port)
        (old,), (new,) = sockets.serving(before).values(), sockets.serving(after).values()
        self.assertEqual((self.accepted(new), self.accepted(set(old) - set(new))), (1, 0))
        sockets.keep(after)
        self.connect(port)
        self.assertEqual(self.accepted(new), 1)
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.2", port), 10)

    def test_back_and_forth(self) -> None:
        """An address that is covered for a while is its own listener's again afterwards."""
        sockets = self.sockets()
        port = self.opened(sockets, listener(80))
        one, every = listener(port, "127.0.0.1"), listener(port, "0.0.0.0")
        for listeners in ([every], [every, one], [one]):
            sockets.open(listeners)
            sockets.keep(listeners)
            serving = sockets.serving(listeners)
            self.connect(port)
            self.assertEqual(self.accepted(serving[listeners[-1].key]), 1)
        self.assertEqual(list(sockets.by_address), [("127.0.0.1", port)])

    def test_both(self) -> None:
        """All addresses and one of them on one port are two listeners, each with its own connections."""
        sockets = self.sockets()
        port = self.opened(sockets, listener(80))
        both = [listener(port, "127.0.0.1"), listener(port, "::")]
        sockets.open(both)
        self.connect(port)
        self.connect(port, "127.0.0.2")
        self.assertEqual([self.accepted(group) for group in sockets.serving(both).values()], [1, 1])


class InheritedSocketsTests(SynchronousTestCase):
    """Sockets that exist already."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()

    def sockets(self, *inherited: tuple[str, str, int], **other: Any) -> Sockets:
        """Given name, IP and port of each."""
        found = [(name, self.reactor.bind(ip, port, 1, False)[0]) for name, ip, port in inherited]
        return Sockets(bind=self.reactor.bind, inherited=found, **other)

    def test_by_name(self) -> None:
        """A listener gets all sockets with its name, wherever they listen."""
        sockets = self.sockets(("80", "0.0.0.0", 8080), ("80", "0.0.0.0", 8080), ("10.0.0.1:80", "10.0.0.1", 8080))
        both = [listener(80), listener(80, "10.0.0.1")]
        sockets.open(both)
        self.assertEqual([len(group) for group in sockets.serving(both).values()], [2, 1])
        self.assertEqual(len(self.reactor.sockets), 3)
        self.assertEqual([name for name, _ in sockets.named()], ["80", "80", "10.0.0.1:80"])

    def test_by_address(self) -> None:
        """Or those at its address, whatever they are called."""
        sockets = self.sockets(("web", "127.0.0.1", 8080), mapped={80: 8080}, ip="127.0.0.1")
        sockets.open([listener(80)])
        self.assertEqual(len(self.reactor.sockets), 1)

    def test_free_port(self) -> None:
        """A listener that may have any port has the one of its name."""
        sockets = self.sockets(("80", "0.0.0.0", 40123), mapped={80: 0})
        self.assertEqual(sockets.open([listener(80)]), [("0.0.0.0", 40123)])
        self.assertEqual(sockets.open([listener(80)]), [])

    def test_covered(self) -> None:
        """One whose address a listener covers goes on; one that is for nobody is closed."""
        sockets = self.sockets(("80", "0.0.0.0", 80), ("127.0.0.1:80", "127.0.0.1", 80), ("81", "0.0.0.0", 81))
        sockets.open([listener(80)])
        self.assertEqual(self.reactor.bound, [("0.0.0.0", 80), ("127.0.0.1", 80)])
        self.assertEqual([len(group) for group in sockets.serving([listener(80)]).values()], [2])
