"""Hot restart: a new process takes over the listening sockets, and this one drains when the new one serves.

Rules. The new process runs the same command line, in the folder and with the environment that this one was started in,
so it is whatever version is installed by then. The sockets are the very same ones, and both accept for a moment: no
connection is refused. Until the new process says that it serves, nothing ends here; if it ends or is late, this one
goes on as if nothing had been. If this one is told to end meanwhile, both do. Connections that exist are not handed
over; they end with the drain of this process.

The admin server cannot listen in both, so it is closed here when the new process starts, and opened again if that
fails. A pid file is put aside for as long, as nginx does it: ``twistd.pid.oldbin``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from meshproxy.net.addresses import reason
from meshproxy.net.inherited import HANDOVER
from meshproxy.net.sockets import Sockets

START_SECONDS = 120.0
"""How long the new process may take to serve."""
OLD_SUFFIX = ".oldbin"
_READY = 3

_log = Logger()


@frozen
class Invocation:
    """How this process was started. ``twistd`` are the options of ``twistd`` itself."""

    command: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    twistd: MutableMapping[str, Any]


class Handover:
    """See the head of this module.

    ``close_admin`` and ``open_admin`` concern the admin server. ``leave`` is called when the new process serves.
    ``notify`` tells systemd.
    """

    def __init__(
        self,
        reactor: Any,
        invocation: Invocation,
        sockets: Sockets,
        close_admin: Callable[[], Deferred[None]],
        open_admin: Callable[[], None],
        leave: Callable[[], None],
        notify: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._invocation = invocation
        self._sockets = sockets
        self._close_admin, self._open_admin = close_admin, open_admin
        self._leave, self._notify = leave, notify
        self._successor: _Successor | None = None
        self._deadline: Any = None
        self.done = False

    def begin(self) -> None:
        """Start the new process, unless that is being done."""
        if self._successor is not None or self.done:
            _log.warn("A hot restart is under way already")
        elif os.getpid() == 1:
            _log.error("No hot restart here: when process 1 of a container ends, all others end with it")
        else:
            self._successor = _Successor(self)
            self._close_admin().addCallback(lambda _: self._start())

    def stop(self) -> None:
        """This process is to end: so is the new one, unless it serves already."""
        if self._successor is not None:
            _log.warn("Hot restart: given up, for this process ends")
            self._successor.give_up()
            self._end()
            self._rename_pidfile(OLD_SUFFIX, "")

    def _start(self) -> None:
        if self._successor is None:
            return
        self._rename_pidfile("", OLD_SUFFIX)
        named = self._sockets.named()
        descriptors = {number: listening.fileno() for number, (_, listening) in enumerate(named, _READY + 1)}
        said = {"ready": _READY, "sockets": [(name, n) for n, (name, _) in enumerate(named, _READY + 1)]}
        command = self._invocation.command
        # The signs of life that systemd wants are the new process's from then on.
        environment = {name: it for name, it in self._invocation.environment.items() if name != "WATCHDOG_PID"}
        _log.info("Hot restart: starting a process that takes over {n} sockets", n=len(named))
        try:
            self._reactor.spawnProcess(
                self._successor,
                command[0],
                command,
                env={**environment, HANDOVER: json.dumps(said)},
                path=self._invocation.folder,
                childFDs={0: 0, 1: 1, 2: 2, _READY: "r", **descriptors},
            )
        except OSError as error:
            self.failed(reason(error))
            return
        self._deadline = self._reactor.callLater(START_SECONDS, self._late)

    def succeeded(self, pid: int) -> None:
        """The new process serves."""
        self._end()
        self.done = True
        _log.info("Hot restart: process {pid} serves; this one drains", pid=pid)
        pidfile = self._invocation.twistd.get("pidfile")
        if pidfile:
            # twistd removes it in the end.
            self._invocation.twistd["pidfile"] = pidfile + OLD_SUFFIX
        self._notify(f"MAINPID={pid}")
        self._leave()

    def failed(self, why: str) -> None:
        """There will be no new process."""
        self._end()
        self._rename_pidfile(OLD_SUFFIX, "")
        _log.error("Hot restart: the new process does not serve ({why}); this one serves on", why=why)
        self._open_admin()

    def _late(self) -> None:
        assert self._successor is not None
        self._deadline = None
        self._successor.give_up()
        self.failed(f"not within {START_SECONDS:g} s")

    def _end(self) -> None:
        self._successor = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _rename_pidfile(self, suffix: str, to: str) -> None:
        pidfile = self._invocation.twistd.get("pidfile")
        if pidfile:
            try:
                os.rename(pidfile + suffix, pidfile + to)
            except FileNotFoundError:
                pass
            except OSError as error:
                # Privileges are gone. The new process will not start beside it, and say why.
                _log.warn("The pid file {pidfile} cannot be put aside: {why}", pidfile=pidfile, why=reason(error))


class _Successor(ProcessProtocol):
    """The new process, until it serves or does not. A daemon is another one than that which was started."""

    def __init__(self, handover: Handover) -> None:
        self._handover: Handover | None = handover
        self._said = b""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """It says its pid when it serves."""
        self._said += data
        if self._handover is not None and self._said.endswith(b"\n"):
            handover, self._handover = self._handover, None
            handover.succeeded(int(self._said))

    def childConnectionLost(self, childFD: int) -> None:
        """Nobody is left who could say it."""
        self._fail("it has ended")

    def give_up(self) -> None:
        """It is not waited for any more."""
        self._handover = None
        if self.transport is not None:
            # So that it cannot say so any more, and knows.
            self.transport.closeChildFD(_READY)
            try:
                self.transport.signalProcess("KILL")
            except ProcessExitedAlready:
                pass  # it was a daemon's parent

    def _fail(self, why: str) -> None:
        if self._handover is not None:
            handover, self._handover = self._handover, None
            handover.failed(why)


class Predecessor:
    """Who waits for this process to serve, on a descriptor; wraps ``notify``.

    ``nobody`` is called when the predecessor has given up waiting: two would listen then, and nobody would know.
    """

    def __init__(self, descriptor: int, notify: Callable[[str], None], nobody: Callable[[], None]) -> None:
        self._descriptor: int | None = descriptor
        self._notify, self._nobody = notify, nobody

    def notify(self, state: str) -> None:
        """Pass on what is notified; the first time that it is ``READY=1``, tell the predecessor before."""
        if state == "READY=1" and self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                os.write(descriptor, b"%d\n" % os.getpid())
            except BrokenPipeError:
                _log.critical("The process before this one waits no longer, and serves on: ending")
                self._nobody()
                return
            finally:
                os.close(descriptor)
        self._notify(state)


__all__ = ["OLD_SUFFIX", "START_SECONDS", "Handover", "Invocation", "Predecessor"]
