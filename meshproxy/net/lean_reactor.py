"""An epoll reactor that calls a readable descriptor directly.

Twisted's epoll reactor wraps each event in ``log.callWithLogger``, which pushes a logging context and builds a log
prefix: more work than a small proxied request needs altogether. Here a plain "readable" event, by far the most common,
calls ``doRead`` itself. Every other event takes Twisted's own path, so closing, errors and writing are as they were;
an exception in ``doRead`` is logged and closes that descriptor, as there.
"""

from __future__ import annotations

import errno
import sys
from select import EPOLLIN

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.python import log


class LeanReactor(EPollReactor):
    """See the head of this module."""

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
            else:
                log.callWithLogger(selectable, self._doReadOrWrite, selectable, fd, event)

    doIteration = doPoll


def install() -> None:
    """Make a ``LeanReactor`` the reactor of this process. Raises ``ReactorAlreadyInstalledError`` when there is one."""
    installReactor(LeanReactor())  # type: ignore[no-untyped-call]


__all__ = ["LeanReactor", "install"]
