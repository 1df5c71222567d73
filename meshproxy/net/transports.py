"""Transports that send at once.

Twisted's transport puts each write into a buffer and asks the reactor for a "writable" event: two ``epoll_ctl`` calls
and a turn of the loop for bytes that the socket would have taken right away. These send first and leave only what the
socket refuses to Twisted's buffer, with its producers, half-closing and errors.

Read sizes grow with the transfer: a connection that fills its read buffer gets a larger one for the next read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from socket import IPPROTO_TCP, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IProtocol
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST

from meshproxy.net.lean_reactor import LeanReactor
from meshproxy.policies import Keepalive

_SMALL_READ = 64 * 1024
# With the rest of the read before, which waits for a slow peer, a connection holds less than 2 MiB.
_LARGE_READ = 512 * 1024
_MOST_PIECES = 64


class _Lean:
    """Mixed in before ``tcp.Connection``."""

    # The descriptor is nobody else's, so closing it ends the connection.
    _shouldShutdown = False

    # Of tcp.Connection:
    reactor: Any
    producer: Any
    disconnecting: bool
    _writeDisconnecting: bool
    socket: Any
    connected: int
    protocol: IProtocol
    dataBuffer: bytes | memoryview
    bufferSize: int
    offset: int
    TLS: bool
    startWriting: Callable[[], None]
    _writeDisconnected: bool
    _maybePauseProducer: Callable[[], None]
    _tempDataBuffer: list[bytes | memoryview]
    _tempDataLen: int
    SEND_LIMIT = 1024 * 1024

    _read_size = _first_read = _SMALL_READ
    _largest_read = _LARGE_READ

    def doRead(self) -> Exception | None:
        """Read once and hand the bytes to the protocol; an exception tells the reactor to close."""
        size = self._read_size
        try:
            data = self.socket.recv(size)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        got = len(data)
        if got == size:
            if size < self._largest_read:
                self._read_size = min(size * 4, self._largest_read)
        elif got < _SMALL_READ:
            self._read_size = self._first_read
        self.protocol.dataReceived(data)
        return None

    def limit_buffers(self, size: int) -> None:
        """Read no more than ``size`` bytes at once, and pause a producer when more of its bytes wait to be sent."""
        self.bufferSize = min(type(self).bufferSize, size)
        self._largest_read = min(_LARGE_READ, size)
        self._first_read = self._read_size = min(_SMALL_READ, size)

    def write(self, data: bytes | memoryview) -> None:
        """Send ``data``, or as much as the socket takes now and the rest when it can."""
        if not self._tempDataLen and not self.dataBuffer and self.connected:
            try:
                sent = self.socket.send(data)
            except OSError:
                # Either full, or broken: then the reactor's own attempt finds out and closes properly.
                sent = 0
            if sent == len(data):
                return
            if sent:
                data = memoryview(data)[sent:]
        self._keep(data)

    def writeSequence(self, iovec: Sequence[bytes | memoryview]) -> None:
        """``write`` of all pieces at once, none of which is copied if the socket takes it."""
        if not self._tempDataLen and not self.dataBuffer and self.connected and 0 < len(iovec) <= _MOST_PIECES:
            try:
                sent = self.socket.sendmsg(iovec)
            except OSError:
                sent = 0
            for piece in iovec:
                size = len(piece)
                if sent < size:
                    self._keep(memoryview(piece)[sent:] if sent else piece)
                sent = max(0, sent - size)
        else:
            for piece in iovec:
                self._keep(piece)

    def _keep(self, data: bytes | memoryview) -> None:
        """Send it when the socket can take it. As Twisted's ``write``, but for a piece of something larger, too."""
        if self.TLS:
            super().write(bytes(data))  # type: ignore[misc]
        elif data and self.connected and not self._writeDisconnected:
            self._tempDataBuffer.append(data)
            self._tempDataLen += len(data)
            self._maybePauseProducer()
            self.startWriting()

    def doWrite(self) -> Any:
        """Send what is kept. Twisted copies it together first; a single piece, or the rest of one, is sent as it is."""
        if not self.dataBuffer and len(self._tempDataBuffer) == 1:
            self.dataBuffer, self.offset = self._tempDataBuffer.pop(), 0
            self._tempDataLen = 0
        if self.dataBuffer and not self._tempDataLen:
            sent = self.writeSomeData(memoryview(self.dataBuffer)[self.offset :])
            if isinstance(sent, Exception):
                return sent
            self.offset += sent
            if self.offset < len(self.dataBuffer):
                return None
            self.dataBuffer, self.offset = b"", 0
        return super().doWrite()  # type: ignore[misc]

    def writeSomeData(self, data: bytes | memoryview) -> Any:
        """As ``tcp.Connection``, without a system call for nothing."""
        return super().writeSomeData(data) if data else 0  # type: ignore[misc]

    def loseConnection(self) -> None:
        """Close when all was sent; where it was, at the end of this round of the reactor."""
        reactor = self.reactor
        idle = self.connected and not self.disconnecting and not self._tempDataLen and not self.dataBuffer
        if idle and self.producer is None and not self._writeDisconnecting and isinstance(reactor, LeanReactor):
            self.disconnecting = True
            reactor.close_soon(self)
        else:
            super().loseConnection()  # type: ignore[misc]

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """As ``IConsumer``. A pull producer is asked for more by Twisted's own ``write``, so that one takes over."""
        if not streaming:
            self.write = super().write  # type: ignore[method-assign, misc]
        super().registerProducer(producer, streaming)  # type: ignore[misc]

    def unregisterProducer(self) -> None:
        """As ``IConsumer``."""
        self.__dict__.pop("write", None)
        super().unregisterProducer()  # type: ignore[misc]


class LeanServer(_Lean, tcp.Server):  # type: ignore[misc]
    """The accepted side of a connection."""

    reactor: Any

    def pauseProducing(self) -> None:
        """Read no more for now. A client that leaves meanwhile is noticed, if only by halves, where the reactor can.

        Not so for a protocol that goes on with half a connection: it gets to read what came before the end.
        """
        if isinstance(self.reactor, LeanReactor) and not IHalfCloseableProtocol.providedBy(self.protocol):
            self.reactor.watch_hang_up(self)
        else:
            super().pauseProducing()  # type: ignore[no-untyped-call]


class LeanClient(_Lean, tcp.Client):  # type: ignore[misc]
    """The connecting side of a connection."""

    def keep_alive(self, keepalive: Keepalive) -> None:
        """Let the system probe the other side while nothing comes."""
        self.setTcpKeepAlive(True)
        for option, value in (
            (TCP_KEEPIDLE, keepalive.time),
            (TCP_KEEPINTVL, keepalive.interval),
            (TCP_KEEPCNT, keepalive.probes),
        ):
            if value is not None:
                self.socket.setsockopt(IPPROTO_TCP, option, value)


class LeanUnixClient(_Lean, unix.Client):  # type: ignore[misc]
    """The connecting side of a connection over a UNIX socket."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing, for there is no such option."""

    def keep_alive(self, keepalive: Keepalive) -> None:
        """Nothing, for the other side cannot go away unheard."""


def unsent(transport: Any) -> int:
    """How many bytes a transport has been given that the socket has not taken; 0 for one that keeps no count."""
    buffered = len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
    return buffered + int(getattr(transport, "_tempDataLen", 0))


def address_text(address: IAddress) -> tuple[bytes, bytes]:
    """``(ip, ip:port)`` of a TCP address, IPv6 in brackets in the second; IPv4-mapped IPv6 counts as IPv4.

    Both are empty for an address without IP.
    """
    host = getattr(address, "host", None)
    port = getattr(address, "port", None)
    if host is None or port is None:
        return b"", b""
    if host.startswith("::ffff:") and "." in host:
        host = host[7:]
    ip = host.encode("ascii")
    return ip, (b"[%b]:%d" if b":" in ip else b"%b:%d") % (ip, port)
