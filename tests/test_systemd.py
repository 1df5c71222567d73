from __future__ import annotations

import os
import socket

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.systemd import Watchdog, notify_supervisor, tell_reload


class NotifyTests(SynchronousTestCase):
    def test_datagram(self) -> None:
        """The supervisor's socket gets the state, also where its name is abstract; without one nothing happens."""
        notify_supervisor("READY=1")
        name = f"meshproxy-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind("\0" + name)
            self.patch(os, "environ", {**os.environ, "NOTIFY_SOCKET": "@" + name})
            notify_supervisor("READY=1")
            self.assertEqual(listening.recv(100), b"READY=1")


class ReloadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[str] = []
        self.ready = True
        self.done: Deferred[None] = Deferred()

    def reload(self) -> None:
        tell_reload(self.told.append, lambda: self.ready, self.done)

    def test_begin_and_end(self) -> None:
        """systemd hears of a reload with the time of its clock, and that the process is ready again, even if it
        failed."""
        self.reload()
        (begin,) = self.told
        self.assertRegex(begin, r"\ARELOADING=1\nMONOTONIC_USEC=\d+\Z")
        self.done.errback(ValueError())
        self.assertEqual(self.told[1:], ["READY=1"])

    def test_before_ready(self) -> None:
        """A reload during the start does not tell that the start is over."""
        self.ready = False
        self.reload()
        self.done.callback(None)
        self.assertEqual(self.told, [])

    def test_stopped_meanwhile(self) -> None:
        """A reload that a stop overtakes does not tell that the process is ready."""
        self.reload()
        self.ready = False
        self.done.callback(None)
        self.assertEqual(len(self.told), 1)


class WatchdogTests(SynchronousTestCase):
    def told(self, **environment: str) -> int:
        """How many signs of life there were in ten seconds."""
        clock = Clock()
        told: list[str] = []
        watchdog = Watchdog(clock, told.append, environment, 7)
        watchdog.startService()
        clock.pump([1] * 10)
        watchdog.stopService()
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertEqual(set(told) - {"WATCHDOG=1"}, set())
        return len(told)

    def test_twice_as_often(self) -> None:
        """Twice in the time that systemd waits, for this process or for any."""
        self.assertEqual(self.told(WATCHDOG_USEC="4000000"), 6)
        self.assertEqual(self.told(WATCHDOG_USEC="4000000", WATCHDOG_PID="7"), 6)

    def test_not_asked(self) -> None:
        """Nothing where nobody asked, or not this process."""
        self.assertEqual(self.told(), 0)
        self.assertEqual(self.told(WATCHDOG_USEC="4000000", WATCHDOG_PID="8"), 0)
