"""Bringing a configuration to all workers, in two steps, and to each worker that starts.

Rules. All prepare, and when they have, all install; what was not prepared everywhere is known before anything changes.
Where all end while they prepare, that may be the configuration's fault or not: those that follow are asked once more.
Workers get the text that was checked, sealed in memory, and the sockets of its listeners: they read no file, and no two
of them can have read different ones. Descriptors that are on their way to a worker are copies, so the originals may be
closed meanwhile.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import count
from socket import socket
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from meshproxy.config.sources import Sources
from meshproxy.errors import ConfigError
from meshproxy.net.sockets import ListenerKey
from meshproxy.workers import commands
from meshproxy.workers.crew import WorkerLink
from meshproxy.workers.process import Orders
from meshproxy.workers.sealed import seal

SocketsByListener = Mapping[ListenerKey, Sequence[socket]]


@frozen(eq=False)
class Generation:
    """A configuration as workers get it.

    ``sources`` is a descriptor, ``sockets`` are by the number that they are offered under, ``listening`` is that of
    ``commands.Prepare``.
    """

    number: int
    sources: int
    sockets: Mapping[int, socket]
    listening: str


class Rollout:
    """See the head of this module. ``orders`` are those of every worker."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders.dump()
        self._numbers: dict[socket, int] = {}
        self._next_socket, self._next_generation = count(), count(1)
        self._current: Generation | None = None
        self._serves: dict[WorkerLink, Generation] = {}
        self._offered: dict[WorkerLink, set[int]] = {}

    def begin(self, sources: Sources, sockets: SocketsByListener) -> None:
        """What workers are to serve from their start on."""
        self._make_current(self._generation(seal(sources), sockets))

    async def admit(self, link: WorkerLink) -> None:
        """Give a worker that has started all it needs; returns when it serves what all serve."""
        await link.call(commands.Begin, orders=self._orders)
        await self._bring_up_to_date(link)

    async def publish(
        self,
        sources: int,
        sockets: SocketsByListener,
        serving: Callable[[], Sequence[WorkerLink]],
        replace: Callable[[WorkerLink, str], None],
        followed: Callable[[], Deferred[None]],
    ) -> None:
        """Have all workers serve a new configuration; returns when they do.

        ``sources`` is a descriptor that ``seal`` made, closed here in the end. ``serving`` are those that serve at the
        moment; ``replace`` is called with one that cannot take it. ``followed`` fires when others serve in the place of
        those that have ended, or do not come. Raises ``ConfigError`` when no worker can take it: then nothing has
        changed.
        """
        generation = self._generation(sources, sockets)
        links = serving()
        failures = await self._prepare_all(links, generation)
        if links and len(failures) == len(links) and not any(it.check(commands.Refused) for it in failures.values()):
            await followed()
            links = serving() or links
            failures = await self._prepare_all(links, generation)
        if links and len(failures) == len(links):
            os.close(sources)
            await _each(links, self._discard)
            why = next(iter(failures.values())).getErrorMessage()
            raise ConfigError.at(None, f"no worker can take this configuration: {why}")
        self._make_current(generation)
        prepared = [link for link in links if link not in failures]
        failures.update(await _each(prepared, lambda link: self._install(link, generation)))
        for link, failure in failures.items():
            replace(link, failure.getErrorMessage())
        # Those that were admitted while the others prepared.
        late = [link for link in serving() if link not in links]
        for link, failure in (await _each(late, self._bring_up_to_date)).items():
            replace(link, failure.getErrorMessage())

    def forget(self, link: WorkerLink) -> None:
        """A worker has ended."""
        self._serves.pop(link, None)
        self._offered.pop(link, None)

    def _generation(self, sources: int, sockets: SocketsByListener) -> Generation:
        listening = []
        numbers: dict[socket, int] = {}
        for (bind, port), group in sockets.items():
            for each in group:
                number = self._numbers.get(each)
                numbers[each] = next(self._next_socket) if number is None else number
            listening.append((bind, port, [numbers[each] for each in group]))
        # Those of the present generation are still open, and known to workers.
        self._numbers.update(numbers)
        by_number = {number: each for each, number in numbers.items()}
        return Generation(next(self._next_generation), sources, by_number, json.dumps(listening))

    def _make_current(self, generation: Generation) -> None:
        before, self._current = self._current, generation
        self._numbers = {each: number for number, each in generation.sockets.items()}
        if before is not None:
            os.close(before.sources)

    async def _bring_up_to_date(self, link: WorkerLink) -> None:
        while (current := self._current) is not None and self._serves.get(link) is not current:
            await self._prepare(link, current)
            await self._install(link, current)

    async def _prepare_all(self, links: Sequence[WorkerLink], generation: Generation) -> dict[WorkerLink, Failure]:
        return await _each(links, lambda link: self._prepare(link, generation))

    async def _prepare(self, link: WorkerLink, generation: Generation) -> None:
        offered = self._offered.setdefault(link, set())
        for number, each in generation.sockets.items():
            if number not in offered:
                offered.add(number)
                # That the worker is gone, the next command tells.
                _lend(each.fileno(), partial(_offer, link, number)).addErrback(lambda failure: None)
        await _lend(
            generation.sources,
            lambda copy: link.call(
                commands.Prepare, generation=generation.number, sources=copy, listening=generation.listening
            ),
        )

    async def _install(self, link: WorkerLink, generation: Generation) -> None:
        await link.call(commands.Install, generation=generation.number)
        self._serves[link] = generation
        self._offered[link] = set(generation.sockets)

    async def _discard(self, link: WorkerLink) -> None:
        served = self._serves[link]
        await link.call(commands.Discard)
        self._offered[link] = set(served.sockets)


def _offer(link: WorkerLink, number: int, copy: int) -> Deferred[Any]:
    return link.call(commands.Offer, number=number, socket=copy)


def _lend(descriptor: int, send: Callable[[int], Deferred[Any]]) -> Deferred[Any]:
    """Send a copy of a descriptor, which exists until the answer is there."""
    copy = os.dup(descriptor)

    def close(result: object) -> object:
        os.close(copy)
        return result

    return send(copy).addBoth(close)


async def _each(links: Iterable[WorkerLink], act: Callable[[WorkerLink], Any]) -> dict[WorkerLink, Failure]:
    """Do something with all workers at once; why it failed, for those where it did."""
    links = list(links)
    results = await DeferredList([Deferred.fromCoroutine(act(link)) for link in links], consumeErrors=True)
    return {link: result for link, (succeeded, result) in zip(links, results, strict=True) if not succeeded}


__all__ = ["Rollout"]
