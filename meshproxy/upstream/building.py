"""Load balancers that are built while requests are served: in a thread, one after the other.

Rules: a build may take long (a large table takes tens of milliseconds, somebody else's builder whatever it likes), so
none runs in the reactor's thread. Two at once would be no faster, since one lock lets one thread of Python run at a
time, but the reactor would wait for both. How long it waits for one is ``SWITCH_SECONDS`` for each time that it has let
go of the lock, which each system call does; ``share_processor`` sets that.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec

from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface.verify import verifyObject

from meshproxy.interfaces import ILoadBalancer
from meshproxy.selection import ready

_P = ParamSpec("_P")

SWITCH_SECONDS = 0.001
"""A fifth of Python's default. A build then takes a sixth longer, and requests meanwhile wait a third as long."""


def share_processor() -> None:
    """Let threads of this process take turns quickly, so that a thread that builds or loads delays no request much."""
    sys.setswitchinterval(SWITCH_SECONDS)


class Builds:
    """The builds of a process, in the order in which they are asked for. ``run_in_thread`` is ``deferToThread``."""

    def __init__(self, run_in_thread: Callable[..., Deferred[Any]]) -> None:
        self._run_in_thread = run_in_thread
        self._waiting: deque[tuple[Deferred[ILoadBalancer], Callable[[], ILoadBalancer]]] = deque()
        self._busy = False

    def run(self, build: Callable[_P, ILoadBalancer], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[ILoadBalancer]:
        """Fires, in the reactor's thread, with the balancer that ``build`` makes of these arguments.

        Fails with what ``build`` raised, or ``zope.interface.Invalid`` if it made something else. Who wants another
        balancer by now cancels this and asks again: what has not begun is then left out.
        """
        done: Deferred[ILoadBalancer] = Deferred()
        self._waiting.append((done, partial(build, *args, **kwargs)))
        self._next()
        return done

    def _next(self) -> None:
        while self._waiting and not self._busy:
            done, build = self._waiting.popleft()
            if not done.called:
                self._busy = True
                maybeDeferred(self._run_in_thread, _built, build).addBoth(self._ended, done)

    def _ended(self, result: Any, done: Deferred[ILoadBalancer]) -> None:
        self._busy = False
        if not done.called:
            done.callback(result)  # a Failure goes to the errbacks
        self._next()


def _built(build: Callable[[], ILoadBalancer]) -> ILoadBalancer:
    balancer = ready(build)
    verifyObject(ILoadBalancer, balancer, tentative=True)
    return balancer
