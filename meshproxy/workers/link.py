"""The supervisor's side of one worker: the process, the connection to it, and what it logs."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.protocols.amp import AMP
from twisted.python.failure import Failure

from meshproxy.workers import commands
from meshproxy.workers.prioritylog import PRIORITIES
from meshproxy.workers.process import CONTROL, STANDARD_ERROR, connect

LOST_SECONDS = 1.0
"""A worker that has not ended so long after the connection to it counts as leaving, for that is what it does then."""
COMMAND = ("-P", "-m", "meshproxy.workers.program")
_LINE = re.compile(rb"(?:<(\d)>)?(.*)", re.DOTALL)
_LEVELS = {number: level for level, number in PRIORITIES.items()}
# What is for this process alone, by sd_notify(3) and sd_listen_fds(3).
_OWN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")

_log = Logger()


class Link(ProcessProtocol):
    """See ``crew.WorkerLink``. ``clock`` provides ``IReactorTime``."""

    def __init__(self, clock: Any, number: int) -> None:
        self.number = number
        self.pid = 0
        self.ended: Deferred[str] = Deferred()
        self.leaving: Deferred[bool] = Deferred()
        self.on_ejections: Callable[[str], None] = _ignored
        self.control = _Control(self._leave, self._lost, self._hear_of_ejections)
        self._clock = clock
        self._giving_up: Any = None
        self._unfinished = b""
        self._told_to_stop = False

    @classmethod
    def spawn(cls, reactor: Any, number: int) -> Link:
        """Start a worker. Raises ``OSError``."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs:
            link = cls(reactor, number)
            reactor.spawnProcess(
                link,
                sys.executable,
                [sys.executable, *COMMAND, str(number)],
                env=environment(os.environ, sys.path),
                childFDs={0: 0, 1: 1, 2: "r", CONTROL: theirs.fileno(), STANDARD_ERROR: 2},
            )
            connect(reactor, ours.detach(), link.control)
        return link

    def call(self, command: Any, **arguments: Any) -> Deferred[Mapping[str, Any]]:
        """See ``crew.WorkerLink``."""
        if self.control.transport is None:
            return fail(ConnectionDone())
        self._told_to_stop |= command is commands.Stop
        answer: Deferred[Mapping[str, Any]] = self.control.callRemote(command, **arguments)  # type: ignore[no-untyped-call]
        return answer

    def terminate(self) -> None:
        """See ``crew.WorkerLink``."""
        self._told_to_stop = True
        self._signal("TERM")

    def kill(self) -> None:
        """See ``crew.WorkerLink``."""
        self._signal("KILL")

    def _signal(self, name: str) -> None:
        if not self.ended.called and self.transport is not None:
            try:
                self.transport.signalProcess(name)
            except ProcessExitedAlready:
                pass  # what it logged is still to be read

    # ProcessProtocol

    def connectionMade(self) -> None:
        """The process runs."""
        assert self.transport is not None
        self.pid = self.transport.pid

    def errReceived(self, data: bytes) -> None:
        """Something that it logged."""
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            self._tell(line)

    def processEnded(self, reason: Failure) -> None:
        """It is gone, and all that it logged has been read."""
        if self._unfinished:
            self._tell(self._unfinished)
        self.control.close()
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        self.ended.callback(how_it_ended(reason.value))

    # What the connection tells

    def _leave(self, of_itself: bool = True) -> None:
        if not self.leaving.called:
            self.leaving.callback(of_itself)

    def _hear_of_ejections(self, ejections: str) -> None:
        self.on_ejections(ejections)

    def _lost(self) -> None:
        """Mostly the process has ended, too."""
        if not (self.ended.called or self._told_to_stop):
            self._giving_up = self._clock.callLater(LOST_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._giving_up = None
        if not self.leaving.called:
            _log.error("Worker {n} (pid {pid}) does not hear any more", n=self.number, pid=self.pid)
            self._leave(of_itself=False)

    def _tell(self, line: bytes) -> None:
        match = _LINE.match(line)
        assert match is not None
        # What has no priority is from Python itself, as it dies.
        level = _LEVELS.get(int(match[1] or 3), LogLevel.error)
        _log.emit(level, "Worker {n}: {line}", n=self.number, line=match[2].decode("utf-8", "replace"))


class _Control(AMP):
    transport: Any

    def __init__(
        self, leave: Callable[[], None], lost: Callable[[], None], on_ejections: Callable[[str], None]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._leave, self._lost, self._on_ejections = leave, lost, on_ejections

    @commands.Leaving.responder
    def leaves(self) -> dict[str, Any]:
        """See the command."""
        self._leave()
        return {}

    @commands.Ejected.responder
    def ejected(self, ejections: str) -> dict[str, Any]:
        """See the command."""
        self._on_ejections(ejections)
        return {}

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008 - as Protocol has it
        """What was asked and not answered fails."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.transport = None
        self._lost()

    def close(self) -> None:
        """End the connection now."""
        if self.transport is not None:
            self.transport.abortConnection()


def _ignored(ejections: str) -> None:
    """For as long as nobody else wants to know."""


def environment(present: Mapping[str, str], path: Sequence[str]) -> dict[str, str]:
    """The environment of a worker: it finds the same modules and plugins as this process does."""
    found = {name: value for name, value in present.items() if name not in _OWN}
    found["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, path))
    return found


def how_it_ended(reason: object) -> str:
    """``status 1`` or ``signal SIGKILL``."""
    if isinstance(reason, ProcessTerminated) and reason.signal is not None:
        return f"signal {signal.Signals(reason.signal).name}"
    if isinstance(reason, ProcessDone | ProcessTerminated):
        return f"status {reason.exitCode}"
    return str(reason)


__all__ = ["Link", "environment", "how_it_ended"]
