from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.net import inherited
from meshproxy.net.inherited import HANDOVER, Inherited, environment_at_start, take_inherited


class InheritedTests(SynchronousTestCase):
    def listening(self) -> int:
        """The descriptor of a socket that listens; what takes it closes it."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            return listening.detach()

    def names(self, taken: Inherited) -> list[str]:
        for _, listening in taken.sockets:
            self.addCleanup(listening.close)
            self.assertFalse(listening.getblocking() or listening.get_inheritable())
        return [name for name, _ in taken.sockets]

    def test_nothing(self) -> None:
        """Most processes are started with no sockets."""
        self.assertEqual(take_inherited({}, {}, 7), Inherited())

    def test_systemd(self) -> None:
        """Sockets of systemd have the names that it gives; what others inherit is without them."""
        first = self.listening()
        self.patch(inherited, "_FIRST", first)
        environment = {"LISTEN_FDS": "1", "LISTEN_PID": "7", "LISTEN_FDNAMES": "80", "HOME": "/"}
        taken = take_inherited(environment, dict(environment), 7)
        self.assertEqual((self.names(taken), environment, taken.ready), (["80"], {"HOME": "/"}, None))

    def test_systemd_without_names(self) -> None:
        """An old systemd gives none; Twisted has taken the other variables by then."""
        self.patch(inherited, "_FIRST", self.listening())
        taken = take_inherited({}, {"LISTEN_FDS": "1", "LISTEN_PID": "7"}, 7)
        self.assertEqual(self.names(taken), [""])

    def test_for_another_process(self) -> None:
        """Variables that were meant for a parent are not believed."""
        self.assertEqual(take_inherited({}, {"LISTEN_FDS": "1", "LISTEN_PID": "6"}, 7), Inherited())

    def test_handover(self) -> None:
        """A gateway before this one passes its sockets, and waits to hear of this one."""
        reading, ready = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, ready)
        os.set_inheritable(ready, True)
        environment = {HANDOVER: json.dumps({"ready": ready, "sockets": [["80", self.listening()]]})}
        taken = take_inherited(environment, {}, 7)
        self.assertEqual((self.names(taken), taken.ready, environment), (["80"], ready, {}))
        self.assertFalse(os.get_inheritable(ready))

    def test_environment_at_start(self) -> None:
        """It is read as the system tells it, whatever is in it."""
        path = Path(self.mktemp())
        path.write_bytes(b"A=1\0B=\xff=2\0nonsense\0\0")
        self.assertEqual(environment_at_start(str(path)), {"A": "1", "B": "\udcff=2"})
        self.assertEqual(environment_at_start("/nowhere/at/all"), {})
