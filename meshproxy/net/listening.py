"""Listening with lean transports.

When the process or the machine has no more descriptors or memory for a connection, ``accept`` fails and the connection
stays in the kernel's queue, so the port is readable at once again. Then it is left alone for a moment, as nginx does:
neither does the reactor spin, nor is a client dropped that can be served a moment later.
"""

from __future__ import annotations

import os
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from meshproxy.net.transports import LeanServer

_EXHAUSTED = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM})
_PAUSE_SECONDS = 0.1
_MOST_AT_ONCE = 64

_log = Logger()


class LeanPort(tcp.Port):
    """A TCP port; see the head of this module."""

    transport = LeanServer

    factory: Factory
    reactor: Any
    _exhausted = False
    _pause: Any = None

    def doRead(self) -> None:
        """Accept what waits, but leave others their turn after some."""
        for _ in range(_MOST_AT_ONCE):
            try:
                accepted, address = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._leave_alone(error)
                    return
                # Any other error is about the connection that was to be accepted, as accept(2) says.
                continue
            self._exhausted = False
            try:
                self._serve(accepted, address)
            except Exception:  # noqa: BLE001 - the port outlives whatever making a protocol does
                _log.failure("A connection could not be served")
                accepted.close()

    def _serve(self, accepted: Any, address: Any) -> None:
        protocol = self.factory.buildProtocol(self._buildAddr(address))  # type: ignore[no-untyped-call]
        if protocol is None:
            accepted.close()
            return
        number, self.sessionno = self.sessionno, self.sessionno + 1
        protocol.makeConnection(self.transport(accepted, protocol, address, self, number, self.reactor))

    def _leave_alone(self, error: OSError) -> None:
        if not self._exhausted:
            self._exhausted = True
            _log.error(
                "No connection can be accepted on port {port}: {why}. Those that wait are tried again and again",
                port=self._realPortNumber,
                why=os.strerror(error.errno or 0),
            )
        self.stopReading()  # type: ignore[no-untyped-call]
        self._pause = self.reactor.callLater(_PAUSE_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._pause = None
        if not self.disconnecting:
            self.startReading()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Any) -> None:
        """The port is closed."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


def listen(reactor: Any, port: int, factory: Factory, interface: str = "", backlog: int = 4096) -> IListeningPort:
    """Listen on a TCP port; 0 takes a free one.

    ``interface`` is an IP, or empty for all IPv4 addresses. Raises ``twisted.internet.error.CannotListenError``. A
    reactor without real sockets, as tests use, listens in its own way.
    """
    if not isinstance(reactor, PosixReactorBase):
        in_its_own_way: IListeningPort = reactor.listenTCP(port, factory, backlog=backlog, interface=interface)
        return in_its_own_way
    listening = LeanPort(port, factory, backlog, interface, reactor)
    listening.startListening()
    return listening
