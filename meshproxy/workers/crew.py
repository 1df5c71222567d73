"""Keeping workers: starting them, and starting them again.

Rules. A worker that ends is followed by another one at once, or, if workers in its place end soon after their start
again and again, a little later each time, up to ``MOST_SECONDS``, or ``ALONE_SECONDS`` while no other worker serves;
that is logged as critical. A worker serves when it has been admitted: it has the present configuration. One that says
that it is leaving is followed at once, and serves what it has to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshproxy.net.addresses import reason

STABLE_SECONDS = 10.0
"""A worker that has served for so long has not ended soon after its start."""
FIRST_SECONDS = 0.2
MOST_SECONDS = 30.0
ALONE_SECONDS = 1.0
LOUD = 5
"""So many early ends in a row are a crash loop."""

_log = Logger()


class WorkerLink(Protocol):
    """A worker process as its supervisor sees it.

    ``ended`` fires with how it ended; ``leaving`` when it drains before its end, with whether it said so itself.
    ``on_ejections`` is called with what it says of ejections (``commands.Ejected``).
    """

    number: int
    pid: int
    ended: Deferred[str]
    leaving: Deferred[bool]
    on_ejections: Callable[[str], None]

    def call(self, command: Any, **arguments: Any) -> Deferred[Mapping[str, Any]]:
        """Say something; fires with the answer, or fails when the worker refuses or is gone."""

    def terminate(self) -> None:
        """Let it drain and end, in whatever state it is: one that has just begun to start ends at once."""

    def kill(self) -> None:
        """End it now."""


def tell(link: WorkerLink, command: Any, **arguments: Any) -> None:
    """Say something whose answer does not matter. A worker that is gone needs to know nothing."""
    link.call(command, **arguments).addErrback(lambda failure: None)


def delay(early_ends: int) -> float:
    """Seconds to wait after so many early ends in a row."""
    return 0.0 if early_ends < 2 else min(MOST_SECONDS, FIRST_SECONDS * 2 ** min(early_ends - 2, 10))


class _Place:
    """The workers with one number, one after the other."""

    def __init__(self) -> None:
        self.link: WorkerLink | None = None
        self.serving_since: float | None = None
        self.early_ends = 0
        self.had_outcome = False
        self.call: Any = None


class Crew:
    """``size`` workers, numbered from 0. See the head of this module.

    ``spawn`` starts a worker with a number. ``admit`` gives it all it needs and fires when it serves. ``changed`` is
    called whenever ``serving`` is another, or a start has come to an end.
    """

    def __init__(
        self,
        clock: Any,
        size: int,
        spawn: Callable[[int], WorkerLink],
        admit: Callable[[WorkerLink], Deferred[None]],
        changed: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._places = [_Place() for _ in range(size)]
        self._spawn, self._admit, self._changed = spawn, admit, changed
        self._leaving: list[WorkerLink] = []
        self._stopping = False
        self.restarts = 0

    @property
    def size(self) -> int:
        """How many workers there ought to be."""
        return len(self._places)

    @property
    def serving(self) -> list[WorkerLink]:
        """The workers that accept connections, in the order of their numbers."""
        return [it.link for it in self._places if it.link is not None and it.serving_since is not None]

    @property
    def links(self) -> list[WorkerLink]:
        """All workers that are there, also those that start and those that are leaving."""
        return [it.link for it in self._places if it.link is not None] + self._leaving

    @property
    def starting(self) -> list[WorkerLink]:
        """The workers that do not serve yet, as far as is known."""
        return [it.link for it in self._places if it.link is not None and it.serving_since is None]

    @property
    def settled(self) -> bool:
        """Whether each start of the first ones has come to an end, well or not."""
        return all(it.had_outcome for it in self._places)

    @property
    def most_early_ends(self) -> int:
        """How often in a row a worker has ended early, at the place where that is worst."""
        return max(it.early_ends for it in self._places)

    def start(self) -> None:
        """Start all workers."""
        for number in range(len(self._places)):
            self._start(number)

    def stop(self) -> Deferred[None]:
        """Start none any more; fires when all have ended."""
        self._stopping = True
        for place in self._places:
            if place.call is not None:
                place.call.cancel()
                place.call = None
        ends: list[Deferred[str]] = []
        for link in self.links:
            end: Deferred[str] = Deferred()
            link.ended.addCallback(_pass_on, end)
            ends.append(end)
        return DeferredList(ends).addCallback(lambda _: None) if ends else succeed(None)

    def retire(self, link: WorkerLink, why: str) -> None:
        """Have another one follow a worker that serves and is told to drain."""
        _log.error("Worker {n} (pid {pid}) has to leave: {why}", n=link.number, pid=link.pid, why=why)
        self._leaving.append(link)
        self._follow(link.number)

    def replace(self, link: WorkerLink, why: str) -> None:
        """End a worker that cannot go on; another one follows."""
        _log.error("Worker {n} (pid {pid}) is replaced: {why}", n=link.number, pid=link.pid, why=why)
        link.kill()

    def _start(self, number: int) -> None:
        place = self._places[number]
        place.call = None
        try:
            link = place.link = self._spawn(number)
        except OSError as error:
            _log.error("Worker {n} cannot be started: {why}", n=number, why=reason(error))
            self._follow(number)
            return
        link.ended.addCallback(self._ended, link)
        link.leaving.addCallback(self._left, link)
        self._admit(link).addCallbacks(self._admitted, self._not_admitted, callbackArgs=(link,), errbackArgs=(link,))

    def _admitted(self, _: None, link: WorkerLink) -> None:
        place = self._places[link.number]
        if place.link is link and not self._stopping:
            place.serving_since = self._clock.seconds()
            place.had_outcome = True
            self._changed()

    def _not_admitted(self, failure: Failure, link: WorkerLink) -> None:
        if self._places[link.number].link is link and not self._stopping:
            self.replace(link, failure.getErrorMessage())

    def _left(self, of_itself: bool, link: WorkerLink) -> None:
        if self._places[link.number].link is link and not self._stopping:
            _log.info("Worker {n} (pid {pid}) is leaving", n=link.number, pid=link.pid)
            self._leaving.append(link)
            self._follow(link.number, is_failure=not of_itself)

    def _ended(self, how: str, link: WorkerLink) -> str:
        if link in self._leaving:
            self._leaving.remove(link)
            if how != "status 0":
                _log.error(
                    "Worker {n} (pid {pid}), which was leaving, has ended: {how}", n=link.number, pid=link.pid, how=how
                )
        elif self._stopping:
            self._places[link.number].link = None
        else:
            _log.error("Worker {n} (pid {pid}) has ended: {how}", n=link.number, pid=link.pid, how=how)
            self._follow(link.number)
        return how

    def _follow(self, number: int, is_failure: bool = True) -> None:
        """Start the next one at a place."""
        place = self._places[number]
        since, place.link, place.serving_since = place.serving_since, None, None
        stable = since is not None and self._clock.seconds() - since >= STABLE_SECONDS
        if stable:
            place.early_ends = 0
        elif is_failure:
            place.early_ends += 1
        place.had_outcome = True
        self.restarts += 1
        wait = delay(place.early_ends) if is_failure else 0.0
        if not self.serving:
            wait = min(wait, ALONE_SECONDS)
            for other in self._places:
                if other.call is not None and other.call.getTime() - self._clock.seconds() > ALONE_SECONDS:
                    other.call.reset(ALONE_SECONDS)
        if place.early_ends >= LOUD:
            _log.critical(
                "Worker {n} has ended {times} times in a row soon after its start; the next one starts in {wait:g} s",
                n=number,
                times=place.early_ends,
                wait=wait,
            )
        place.call = self._clock.callLater(wait, self._start, number)
        self._changed()


def _pass_on(how: str, end: Deferred[str]) -> str:
    end.callback(how)
    return how


__all__ = ["ALONE_SECONDS", "LOUD", "MOST_SECONDS", "STABLE_SECONDS", "Crew", "WorkerLink", "delay", "tell"]
