from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.handover import OLD_SUFFIX, START_SECONDS, Handover, Invocation, Predecessor
from meshproxy.net.inherited import HANDOVER
from meshproxy.net.sockets import Sockets
from tests.serving import FakeReactor, listener


class Spawning(FakeReactor):
    """Remembers what it is asked to start."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[tuple[Any, Sequence[str], Mapping[str, str], Mapping[int, Any]]] = []
        self.refuses = False

    def spawnProcess(
        self, protocol: Any, executable: str, args: Sequence[str], env: Any, path: str, childFDs: Any
    ) -> None:
        if self.refuses:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.started.append((protocol, args, env, childFDs))


class HandoverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Spawning()
        self.sockets = Sockets({81: 8081}, count=2, bind=self.reactor.bind)
        self.sockets.open([listener(80), listener(81, "10.0.0.1")])
        self.pidfile = Path(self.mktemp())
        self.pidfile.write_text("1")
        self.twistd: dict[str, Any] = {"pidfile": str(self.pidfile)}
        self.admin_closed: Deferred[None] = succeed(None)
        self.done: list[str] = []
        self.handover = Handover(
            self.reactor,
            Invocation(["python", "twistd", "-n"], "/srv", {"HOME": "/", "WATCHDOG_PID": "1"}, self.twistd),
            self.sockets,
            lambda: self.admin_closed,
            lambda: self.done.append("admin"),
            lambda: self.done.append("leave"),
            self.done.append,
        )

    def begun(self) -> Any:
        self.handover.begin()
        return self.reactor.started[-1][0]

    def test_what_is_handed_over(self) -> None:
        """The same command with all sockets, each with the name by which the new process knows it."""
        self.begun()
        (_, command, environment, descriptors) = self.reactor.started[0]
        said = json.loads(environment[HANDOVER])
        self.assertEqual(command, ["python", "twistd", "-n"])
        self.assertEqual(set(environment), {"HOME", HANDOVER})
        self.assertEqual([name for name, _ in said["sockets"]], ["80", "80", "10.0.0.1:81", "10.0.0.1:81"])
        self.assertEqual([descriptors[number] for _, number in said["sockets"]], [0, 1, 2, 3])
        self.assertEqual(descriptors[said["ready"]], "r")

    def test_new_process_serves(self) -> None:
        """Nothing ends before the new process says that it serves; then this one leaves, and its pid file is the old
        one."""
        successor = self.begun()
        self.pidfile.write_text("2")
        successor.childDataReceived(3, b"12")
        self.assertEqual((self.done, self.handover.done), ([], False))
        successor.childDataReceived(3, b"34\n")
        self.assertEqual((self.done, self.handover.done), (["MAINPID=1234", "leave"], True))
        self.assertEqual(self.twistd["pidfile"], str(self.pidfile) + OLD_SUFFIX)
        self.assertEqual((self.pidfile.read_text(), Path(self.twistd["pidfile"]).read_text()), ("2", "1"))
        successor.childConnectionLost(3)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_new_process_ends(self) -> None:
        """Without a new process all is as it was, and the next one can be tried."""
        self.begun().childConnectionLost(3)
        self.assertEqual((self.done, self.handover.done), (["admin"], False))
        self.assertEqual((self.pidfile.read_text(), self.reactor.getDelayedCalls()), ("1", []))
        self.assertEqual(self.twistd["pidfile"], str(self.pidfile))
        self.begun()
        self.assertEqual(len(self.reactor.started), 2)

    def test_new_process_is_late(self) -> None:
        """One that does not serve in time is not waited for, and not believed any more."""
        successor = self.begun()
        self.reactor.advance(START_SECONDS)
        self.assertEqual(self.done, ["admin"])
        successor.childDataReceived(3, b"1234\n")
        successor.childConnectionLost(3)
        self.assertEqual(self.done, ["admin"])

    def test_end_meanwhile(self) -> None:
        """Whoever ends this process meant the one that is being started, too; nothing is opened again for it."""
        successor = self.begun()
        self.handover.stop()
        successor.childDataReceived(3, b"1234\n")
        successor.childConnectionLost(3)
        self.assertEqual((self.done, self.handover.done), ([], False))
        self.assertEqual((self.pidfile.read_text(), self.reactor.getDelayedCalls()), ("1", []))

    def test_end_before_it_is_started(self) -> None:
        """Then it is not started at all."""
        self.admin_closed = Deferred()
        self.handover.begin()
        self.handover.stop()
        self.admin_closed.callback(None)
        self.assertEqual((self.reactor.started, self.pidfile.read_text()), ([], "1"))

    def test_end_after_it(self) -> None:
        """When the new process serves, the end of this one is not its own."""
        successor = self.begun()
        successor.childDataReceived(3, b"1234\n")
        self.handover.stop()
        self.assertEqual((self.done, self.handover.done), (["MAINPID=1234", "leave"], True))

    def test_pid_file_of_somebody_else(self) -> None:
        """Where the pid file cannot be put aside, the new process finds out, and this one serves on."""
        self.patch(os, "rename", self.refuse)
        self.begun().childConnectionLost(3)
        self.assertEqual((self.done, self.handover.done), (["admin"], False))

    def refuse(self, source: str, target: str) -> None:
        raise PermissionError(13, "Permission denied")

    def test_no_room_for_a_process(self) -> None:
        """Neither is a machine that starts no process the end of this one."""
        self.reactor.refuses = True
        self.handover.begin()
        self.assertEqual(self.done, ["admin"])

    def test_one_at_a_time(self) -> None:
        """A second signal while a process starts, or when this one has left, starts no other."""
        self.admin_closed = Deferred()
        self.handover.begin()
        self.handover.begin()
        self.assertEqual(self.reactor.started, [])
        self.admin_closed.callback(None)
        successor = self.reactor.started[0][0]
        successor.childDataReceived(3, b"1234\n")
        self.handover.begin()
        self.assertEqual(len(self.reactor.started), 1)

    def test_first_process_of_a_container(self) -> None:
        """Process 1 must not leave: its container would end."""
        self.patch(os, "getpid", lambda: 1)
        self.handover.begin()
        self.assertEqual((self.reactor.started, self.done), ([], []))


class PredecessorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reading, writing = os.pipe()
        self.told: list[str] = []
        self.ended = 0
        self.predecessor = Predecessor(writing, self.told.append, self.end)

    def end(self) -> None:
        self.ended += 1

    def test_ready(self) -> None:
        """Who waits hears the pid once, when this process serves; all else is passed on."""
        for state in ("STATUS=starting", "READY=1", "READY=1"):
            self.predecessor.notify(state)
        self.assertEqual(os.read(self.reading, 100), b"%d\n" % os.getpid())
        self.assertEqual(os.read(self.reading, 100), b"")
        os.close(self.reading)
        self.assertEqual((self.told, self.ended), (["STATUS=starting", "READY=1", "READY=1"], 0))

    def test_nobody_waits(self) -> None:
        """A process that comes too late ends: the one before it serves on."""
        os.close(self.reading)
        self.predecessor.notify("READY=1")
        self.assertEqual((self.told, self.ended), ([], 1))
