"""Listening with lean transports.

When the process or the machine has no more descriptors or memory for a connection, ``accept`` fails and the connection
stays in the kernel's queue, so the port is readable at once again. Then it is left alone for a moment, as nginx does:
neither does the reactor spin, nor is a client dropped that can be served a moment later.
"""

from __future__ import annotations

import os
import socket
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
    _wanted = True
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
            self._serve(accepted, address)

    def _serve(self, accepted: socket.socket, address: Any) -> LeanServer | None:
        try:
            protocol = self.factory.buildProtocol(self._buildAddr(address))  # type: ignore[no-untyped-call]
            if protocol is None:
                accepted.close()
                return None
            number, self.sessionno = self.sessionno, self.sessionno + 1
            transport = self.transport(accepted, protocol, address, self, number, self.reactor)
            protocol.makeConnection(transport)
        except Exception:  # noqa: BLE001 - the port outlives whatever making a protocol does
            _log.failure("A connection could not be served")
            accepted.close()
            return None
        return transport

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
        if self._wanted and not self.disconnecting:
            self.startReading()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Any) -> None:
        """The port is closed."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def accept(self, wanted: bool) -> None:
        """Whether to accept connections; without a call they are."""
        self._wanted = wanted
        if wanted:
            self.startReading()  # type: ignore[no-untyped-call]
        else:
            self.stopReading()  # type: ignore[no-untyped-call]

    def accept_waiting(self) -> None:
        """Accept all that waits and read what it has sent, before the port closes."""
        while True:
            try:
                accepted, address = self.socket.accept()
            except OSError as error:
                if isinstance(error, BlockingIOError) or error.errno in _EXHAUSTED:
                    return
                continue
            transport = self._serve(accepted, address)
            try:
                sent = transport is not None and accepted.recv(1, socket.MSG_PEEK)
            except OSError:
                continue
            if transport is not None and sent:
                transport.doRead()


def adopt(reactor: Any, listening: socket.socket, factory: Factory) -> IListeningPort:
    """Accept from a socket that listens. The port has a descriptor of its own, which it closes without ``shutdown``.

    A reactor without real sockets, as tests use, adopts in its own way.
    """
    if not isinstance(reactor, PosixReactorBase):
        in_its_own_way: IListeningPort = reactor.adoptStreamPort(listening.fileno(), listening.family, factory)
        return in_its_own_way
    port = LeanPort._fromListeningDescriptor(reactor, listening.fileno(), listening.family, factory)  # type: ignore[no-untyped-call]
    port.startListening()
    adopted: IListeningPort = port
    return adopted
