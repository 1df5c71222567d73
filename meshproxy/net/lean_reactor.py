"""An epoll reactor that calls a readable descriptor directly.

Twisted's epoll reactor wraps each event in ``log.callWithLogger``, which pushes a logging context and builds a log
prefix: more work than a small proxied request needs altogether. Here a plain "readable" event, by far the most common,
calls ``doRead`` itself. Every other event takes Twisted's own path, so closing, errors and writing are as they were;
an exception in ``doRead`` is logged and closes that descriptor, as there.

A descriptor that is not read from for a while is not watched at all by Twisted's reactor, so a peer that leaves then is
noticed late. Here it may be watched for just that, as Envoy does.

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
from twisted.internet.main import CONNECTION_LOST, installReactor
from twisted.python import log

_GONE = EPOLLRDHUP | EPOLLHUP | EPOLLERR


class LeanReactor(EPollReactor):
    """See the head of this module."""

    seconds = staticmethod(time.monotonic)

    def __init__(self) -> None:
        # Of those in Twisted's own set of readers, the descriptors that are not read from.
        self._unread: set[int] = set()
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
        else:
            super().addReader(reader)  # type: ignore[no-untyped-call]

    def removeReader(self, reader: Any) -> None:
        """See ``IReactorFDSet``."""
        self._unread.discard(reader.fileno())
        super().removeReader(reader)  # type: ignore[no-untyped-call]

    def addWriter(self, writer: Any) -> None:
        """See ``IReactorFDSet``."""
        super().addWriter(writer)  # type: ignore[no-untyped-call]
        if writer.fileno() in self._unread:
            self._watch(writer.fileno(), EPOLLRDHUP)

    def removeWriter(self, writer: Any) -> None:
        """See ``IReactorFDSet``."""
        super().removeWriter(writer)  # type: ignore[no-untyped-call]
        if writer.fileno() in self._unread:
            self._watch(writer.fileno(), EPOLLRDHUP)

    def _watch(self, fd: int, event: int) -> None:
        self._poller.modify(fd, event | EPOLLOUT if fd in self._writes else event)

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events, for at most ``timeout`` seconds (None: for ever), and dispatch them."""
        selectables = self._selectables
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
            if event == EPOLLIN:
                try:
                    why = selectable.doRead()
                except BaseException:  # noqa: BLE001 - the reactor outlives whatever a protocol does
                    log.err()
                    why = sys.exc_info()[1]
                if why:
                    self._disconnectSelectable(selectable, why, True)  # type: ignore[no-untyped-call]
            elif event & _GONE and fd in self._unread:
                log.callWithLogger(selectable, self._disconnectSelectable, selectable, CONNECTION_LOST, False)
            else:
                log.callWithLogger(selectable, self._doReadOrWrite, selectable, fd, event)

    doIteration = doPoll


def install() -> None:
    """Make a ``LeanReactor`` the reactor of this process. Raises ``ReactorAlreadyInstalledError`` when there is one."""
    installReactor(LeanReactor())


__all__ = ["LeanReactor", "install"]
