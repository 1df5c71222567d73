"""An epoll reactor that calls a readable descriptor directly.

Twisted's epoll reactor wraps each event in ``log.callWithLogger``, which pushes a logging context and builds a log
prefix: more work than a small proxied request needs altogether. Here a plain "readable" or "writable" event, by far the
most common, calls ``doRead`` or ``doWrite`` itself. Every other event takes Twisted's own path, so errors are as they
were; an exception is logged and closes that descriptor, as there.

A connection with nothing left to send is closed at once, at the end of the round in which that is asked for: Twisted
waits for one more event, for which it registers and unregisters the descriptor.

A descriptor that is not read from for a while is not watched at all by Twisted's reactor, so a peer that leaves then is
noticed late. Here it may be watched for just that, as Envoy does.

Before each wait for events Twisted's loop looks for calls that are due, in a logging context. Where events come one by
one, that costs more than dispatching them; so this loop looks only when there can be any.

Its time is the system's monotonic clock. Twisted's reactors go by the time of day, so that a step of the clock fires
every timer at once or none for hours.
"""

from __future__ import annotations

import errno
import sys
import time
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST, installReactor
from twisted.python import log
from twisted.python.failure import Failure

_DONE = Failure(CONNECTION_DONE)
_GONE = EPOLLRDHUP | EPOLLHUP | EPOLLERR


class LeanReactor(EPollReactor):
    """See the head of this module."""

    seconds = staticmethod(time.monotonic)

    def __init__(self) -> None:
        # Of those in Twisted's own set of readers, the descriptors that are not read from.
        self._unread: set[int] = set()
        self._closing: list[Any] = []
        super().__init__()  # type: ignore[no-untyped-call]

    def watch_hang_up(self, reader: Any) -> None:
        """Do not read from a reader until it is added again, but tell it ``connectionLost`` when its peer is gone."""
        fd = reader.fileno()
        if fd in self._reads:
            self._unread.add(fd)
            self._watch(fd, EPOLLRDHUP)

    def addReader(self, reader: Any) -> None:
        """See ``IReactorFDSet``."""
        fd = reader.fileno()
        if fd in self._unread:
            self._unread.discard(fd)
            self._watch(fd, EPOLLIN)
        elif reader not in self._closing:
            super().addReader(reader)  # type: ignore[no-untyped-call]

    def removeReader(self, reader: Any) -> None:
        """See ``IReactorFDSet``."""
        self._unread.discard(reader.fileno())
        super().removeReader(reader)  # type: ignore[no-untyped-call]

    def addWriter(self, writer: Any) -> None:
        """See ``IReactorFDSet``."""
        if writer in self._closing:
            return
        super().addWriter(writer)  # type: ignore[no-untyped-call]
        if writer.fileno() in self._unread:
            self._watch(writer.fileno(), EPOLLRDHUP)

    def removeWriter(self, writer: Any) -> None:
        """See ``IReactorFDSet``."""
        super().removeWriter(writer)  # type: ignore[no-untyped-call]
        if writer.fileno() in self._unread:
            self._watch(writer.fileno(), EPOLLRDHUP)

    def close_soon(self, connection: Any) -> None:
        """Tell a connection ``connectionLost`` before any other event is waited for; until then it gets none.

        It has to close its descriptor then.
        """
        fd = connection.fileno()
        self._reads.discard(fd)
        self._writes.discard(fd)
        self._unread.discard(fd)
        self._selectables.pop(fd, None)
        self._closing.append(connection)

    def _close(self) -> None:
        while self._closing:
            closing, self._closing = self._closing, []
            for connection in closing:
                try:
                    connection.connectionLost(_DONE)
                except Exception:  # noqa: BLE001 - the reactor outlives whatever a protocol does
                    log.err()

    def removeAll(self) -> list[Any]:
        """See ``IReactorFDSet``."""
        self._close()
        return super().removeAll()  # type: ignore[no-any-return, no-untyped-call]

    def _watch(self, fd: int, event: int) -> None:
        self._poller.modify(fd, event | EPOLLOUT if fd in self._writes else event)

    def mainLoop(self) -> None:
        """Run until the reactor is stopped."""
        while self._started:
            try:
                self.runUntilCurrent()
                timeout = self.timeout()
                self.doPoll(timeout if self.running else 0.0)
                while (timeout := self._undisturbed_for()) != 0.0:
                    self.doPoll(timeout)
            except BaseException:  # noqa: BLE001 - the reactor outlives whatever a call does
                log.err()

    def _undisturbed_for(self) -> float | None:
        """For how many seconds there is nothing to do but wait for events; 0: there may be, None: for ever."""
        if self.threadCallQueue or self._newTimedCalls or self._justStopped or not self.running:
            return 0.0
        return self.timeout()

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events, for at most ``timeout`` seconds (None: for ever), and dispatch them."""
        selectables = self._selectables
        if self._closing:
            self._close()
        try:
            events = self._poller.poll(-1 if timeout is None else timeout, len(selectables))
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        for fd, event in events:
            # An earlier event of this round may have closed it.
            selectable = selectables.get(fd)
            if selectable is None:
                continue
            if event in (EPOLLIN, EPOLLOUT):
                try:
                    why = selectable.doRead() if event == EPOLLIN else selectable.doWrite()
                except BaseException:  # noqa: BLE001 - the reactor outlives whatever a protocol does
                    log.err()
                    why = sys.exc_info()[1]
                if why:
                    self._disconnectSelectable(selectable, why, event == EPOLLIN)  # type: ignore[no-untyped-call]
            elif event & _GONE and fd in self._unread:
                log.callWithLogger(selectable, self._disconnectSelectable, selectable, CONNECTION_LOST, False)
            else:
                log.callWithLogger(selectable, self._doReadOrWrite, selectable, fd, event)
        if self._closing:
            self._close()

    doIteration = doPoll


def install() -> None:
    """Make a ``LeanReactor`` the reactor of this process. Raises ``ReactorAlreadyInstalledError`` when there is one."""
    installReactor(LeanReactor())


__all__ = ["LeanReactor", "install"]
