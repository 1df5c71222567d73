"""Asking workers for their figures again and again, which also tells whether they are alive.

The figures of a worker that ends suddenly are those of its last answer, so what it counted within ``COUNT_SECONDS`` is
lost. A worker that leaves a question unanswered for ``HANG_SECONDS`` hangs: its part of the connections would wait for
ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client.core import Metric
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from meshproxy.upstream.traffic import Requests
from meshproxy.workers import commands
from meshproxy.workers.crew import WorkerLink
from meshproxy.workers.figures import Tally

COUNT_SECONDS = 5.0
HANG_SECONDS = 60.0
GATHER_SECONDS = 1.0
"""How long somebody who asks for figures waits for a worker; what was last known counts then."""


class Census:
    """See the head of this module.

    ``links`` are the workers that are there, ``hangs`` is called with one that hangs and why.
    """

    def __init__(
        self,
        clock: Any,
        links: Callable[[], Sequence[WorkerLink]],
        hangs: Callable[[WorkerLink, str], None],
    ) -> None:
        self._clock = clock
        self._links, self._hangs = links, hangs
        self._tally = Tally()
        self._asked_at: dict[WorkerLink, float] = {}
        self._counting = LoopingCall(self._count)
        self._counting.clock = clock

    def start(self) -> None:
        """Begin to ask."""
        self._counting.start(COUNT_SECONDS, now=False)

    def stop(self) -> None:
        """Ask no more."""
        if self._counting.running:
            self._counting.stop()

    def total(self) -> list[Metric]:
        """The figures of all workers, also of those that are gone, as of their last answers."""
        return self._tally.total()

    def requests(self) -> Requests:
        """The requests of all workers, in the same way."""
        return self._tally.requests()

    def gather(self) -> Deferred[None]:
        """Ask all; fires when they have answered, or late."""
        done: Deferred[None] = Deferred()
        answers = DeferredList([self._ask(link) for link in self._links()])
        late = self._clock.callLater(GATHER_SECONDS, done.callback, None)

        def answered(_: object) -> None:
            if late.active():
                late.cancel()
                done.callback(None)

        answers.addCallback(answered)
        return done

    def gone(self, link: WorkerLink) -> None:
        """A worker has ended."""
        self._asked_at.pop(link, None)
        self._tally.gone(link)

    def _count(self) -> None:
        now = self._clock.seconds()
        for link in self._links():
            asked_at = self._asked_at.get(link)
            if asked_at is None:
                self._ask(link)
            elif now - asked_at >= HANG_SECONDS:
                self._hangs(link, f"it has not answered for {now - asked_at:.0f} s")

    def _ask(self, link: WorkerLink) -> Deferred[None]:
        self._asked_at.setdefault(link, self._clock.seconds())
        return link.call(commands.Count).addCallbacks(self._heard, _ignore, callbackArgs=(link,))

    def _heard(self, answer: Mapping[str, Any], link: WorkerLink) -> None:
        # An answer can come with the end of the worker, and then behind it.
        if self._asked_at.pop(link, None) is not None:
            self._tally.heard(link, answer["figures"])


def _ignore(failure: Failure) -> None:
    """A worker that is gone does not answer; that it is gone is told elsewhere."""


__all__ = ["COUNT_SECONDS", "GATHER_SECONDS", "HANG_SECONDS", "Census"]
