"""Load balancers that are built while requests are served, one after the other.

Rules: a build may take long (a large table takes tens of milliseconds, somebody else's builder whatever it likes), and
must hold up no request. So it runs in a thread, but for tables that can be built in steps: these are built in the
reactor's thread, ``SLICE_SECONDS`` at a time. Whatever else there is to do comes in between, and if there is anything,
the next slice begins ``PAUSE_SECONDS`` after it, unless another build waits already, or somebody has nothing to serve
by until this one is done, or it takes longer than ``PATIENT_SECONDS``: what serves meanwhile is out of date.

A thread would take no less processor time, and would make the reactor wait for the interpreter each time that it has
let go of it, which each system call does. How long it waits then is ``SWITCH_SECONDS``; ``share_processor`` sets that.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from meshproxy.interfaces import IBuildsInSteps, ILoadBalancer
from meshproxy.selection import tables

_Begun = tuple[ILoadBalancer, list[IBuildsInSteps]]
"""A balancer, and those of its tables that are still to be built in steps."""

SLICE_SECONDS = 0.0002
PAUSE_SECONDS = 0.003
PATIENT_SECONDS = 5.0
BUSY_SECONDS = 0.0001
"""A turn of the reactor with nothing to do is shorter."""
SWITCH_SECONDS = 0.001
"""A fifth of Python's default. A build then takes a sixth longer, and requests meanwhile wait a third as long."""


def share_processor() -> None:
    """Let threads of this process take turns quickly, so that a thread that builds or loads delays no request much."""
    sys.setswitchinterval(SWITCH_SECONDS)


@frozen(eq=False)
class _Wanted:
    """A balancer that somebody waits for. ``done`` is called early when nobody wants it any more."""

    build: Callable[[], ILoadBalancer]
    hurry: bool
    done: Deferred[ILoadBalancer] = field(factory=Deferred)


class Builds:
    """The builds of a process, in the order in which they are asked for. ``run_in_thread`` is ``deferToThread``.

    ``clock`` provides ``IReactorTime``; without one, everything is built in the thread.
    """

    def __init__(self, run_in_thread: Callable[..., Deferred[Any]], clock: Any = None) -> None:
        self._run_in_thread = run_in_thread
        self._clock = clock
        self._waiting: deque[_Wanted] = deque()
        self._building: Deferred[Any] | None = None
        self._stopped = False

    def run(self, build: Callable[..., ILoadBalancer], *args: Any, hurry: bool = False) -> Deferred[ILoadBalancer]:
        """Fires, in the reactor's thread, with the balancer that ``build`` makes of these arguments.

        ``hurry``: until then there is nothing to serve by. Fails with what ``build`` raised, or
        ``zope.interface.Invalid`` if it made something else. Who wants another balancer by now cancels this and asks
        again: what has not begun is then left out.
        """
        wanted = _Wanted(partial(build, *args), hurry)
        self._waiting.append(wanted)
        self._next()
        return wanted.done

    def stop(self) -> None:
        """Build nothing any more. Who waits for a balancer hears nothing."""
        self._stopped = True
        self._waiting.clear()
        if self._building is not None:
            self._building.cancel()

    def _next(self) -> None:
        while self._waiting and self._building is None and not self._stopped:
            wanted = self._waiting.popleft()
            if not wanted.done.called:
                building = self._building = Deferred.fromCoroutine(self._build(wanted))
                building.addBoth(self._ended, wanted.done)

    async def _build(self, wanted: _Wanted) -> ILoadBalancer:
        begun: _Begun = await maybeDeferred(self._run_in_thread, _begin, wanted.build, self._clock is not None)
        balancer, unfinished = begun
        if unfinished and not wanted.done.called:
            await self._finish(chain.from_iterable(table.table_steps() for table in unfinished), wanted)
        return balancer

    async def _finish(self, steps: Iterator[None], wanted: _Wanted) -> None:
        began = self._clock.seconds()
        patient_until = began + PATIENT_SECONDS
        for _ in steps:
            now = self._clock.seconds()
            if now - began >= SLICE_SECONDS:
                await deferLater(self._clock, 0)
                began = self._clock.seconds()
                is_urgent = wanted.hurry or self._waiting or began > patient_until
                if began - now >= BUSY_SECONDS and not is_urgent:
                    await deferLater(self._clock, PAUSE_SECONDS)
                    began = self._clock.seconds()
                if wanted.done.called:
                    return

    def _ended(self, result: Any, done: Deferred[ILoadBalancer]) -> None:
        self._building = None
        if not done.called and not self._stopped:
            done.callback(result)  # a Failure goes to the errbacks
        self._next()


def _begin(build: Callable[[], ILoadBalancer], in_steps: bool) -> _Begun:
    balancer = build()
    verifyObject(ILoadBalancer, balancer, tentative=True)
    unfinished = []
    for table in tables(balancer):
        steps = IBuildsInSteps(table, None) if in_steps else None
        if steps is None:
            table.build_table()
        else:
            unfinished.append(steps)
    return balancer, unfinished
