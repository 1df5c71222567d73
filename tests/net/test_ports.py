from __future__ import annotations

import socket

from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.errors import ConfigError
from meshproxy.net.ports import Ports, probe, shown
from tests.serving import FakeReactor, listener


def factory(key: tuple[str, int]) -> Factory:
    return Factory()


class PortsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()

    def error(self, ports: Ports, *listeners: object) -> list[str]:
        with self.assertRaises(ConfigError) as caught:
            ports.open(listeners, factory)  # type: ignore[arg-type]
        return [str(diagnostic) for diagnostic in caught.exception.diagnostics]

    def test_addresses(self) -> None:
        """A mapped port and the address of the command line apply; a server's own ``bind`` wins over the latter."""
        ports = Ports(self.reactor, {80: 8080}, "127.0.0.1")
        ports.open([listener(80), listener(81), listener(80, "10.0.0.1")], factory)
        self.assertEqual(self.reactor.open_ports, [("127.0.0.1", 8080), ("127.0.0.1", 81), ("10.0.0.1", 8080)])

    def test_what_is_open_stays(self) -> None:
        """A listener that is open already keeps its very port."""
        ports = Ports(self.reactor)
        ports.open([listener(80)], factory)
        before = ports.open_ports["", 80]
        ports.open([listener(80), listener(81)], factory)
        self.successResultOf(ports.keep([("", 80), ("", 81)]))
        self.assertIs(ports.open_ports["", 80], before)
        self.assertEqual(self.reactor.open_ports, [("", 80), ("", 81)])

    def test_all_or_nothing(self) -> None:
        """One port that cannot be opened leaves the others closed, and those that were open before open."""
        ports = Ports(self.reactor)
        ports.open([listener(80)], factory)
        self.reactor.busy = {82}
        self.error(ports, listener(80), listener(81), listener(82))
        self.assertEqual(self.reactor.open_ports, [("", 80)])
        self.assertEqual(list(ports.open_ports), [("", 80)])

    def test_findings(self) -> None:
        """Each port that cannot be opened is a finding that names address, port, reason and the server's place."""
        self.reactor.busy = {81, 8080}
        errors = self.error(Ports(self.reactor, {80: 8080}), listener(80, line=7), listener(81, "::1", line=9))
        self.assertIn("mesh.yaml:7:3: cannot listen on 0.0.0.0:8080: Address already in use", errors[0])
        self.assertIn("--map-port 80=PORT", errors[0])
        self.assertIn("mesh.yaml:9:3: cannot listen on [::1]:81: Address already in use", errors[1])

    def test_mapped_onto_each_other(self) -> None:
        """Two listeners that a mapping puts on one port are told apart from a port that somebody else has."""
        errors = self.error(Ports(self.reactor, {80: 8080}), listener(80), listener(8080))
        self.assertEqual(errors, ["mesh.yaml:1:3: --map-port puts ports 80 and 8080 both on 0.0.0.0:8080"])
        self.assertEqual(self.reactor.open_ports, [])

    def test_unused_mapping(self) -> None:
        """A mapping of a port that no listener has can be warned about."""
        self.assertEqual(Ports(self.reactor, {80: 8080, 81: 8081}).unused_mappings([listener(80)]), [81])

    def test_check_opens_nothing(self) -> None:
        """A check finds a port that is in use, and keeps none."""
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = busy.getsockname()[1]
            ports = Ports(self.reactor, {80: port}, "127.0.0.1")
            with self.assertRaises(ConfigError):
                ports.check([listener(80)])
        ports.check([listener(80)])
        probe("127.0.0.1", port)
        self.assertEqual(self.reactor.ports, [])

    def test_check_finds_overlaps(self) -> None:
        """Two servers that are in each other's way are found before anything is opened, and both are named."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with self.assertRaises(ConfigError) as caught:
            Ports(self.reactor).check([listener(port, line=7), listener(port, "127.0.0.1", line=9)])
        (found,) = caught.exception.diagnostics
        self.assertIn(f"mesh.yaml:9:3: cannot listen on 127.0.0.1:{port}: Address already in use", str(found))
        self.assertIn("the server at mesh.yaml:7:3 listens on the same port", found.hint)

    def test_same_address_without_mapping(self) -> None:
        """Two servers with one address are not blamed on a mapping that there is not."""
        errors = self.error(Ports(self.reactor, address="127.0.0.1"), listener(80), listener(80, "127.0.0.1", line=9))
        self.assertIn("mesh.yaml:9:3: this server and the one at", errors[0])
        self.assertIn("both listen on 127.0.0.1:80", errors[0])

    def test_own_port_is_in_the_way(self) -> None:
        """A port that this very process has for a listener that goes is not blamed on somebody else."""
        ports = Ports(self.reactor)
        ports.open([listener(80)], factory)
        self.reactor.busy = {80}
        (error,) = self.error(ports, listener(80, "127.0.0.1"))
        self.assertIn("this process still listens there", error)

    def test_shown(self) -> None:
        """Addresses are written as people know them."""
        self.assertEqual([shown("", 80), shown("::1", 80)], ["0.0.0.0:80", "[::1]:80"])
