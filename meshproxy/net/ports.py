"""Accepting connections in this process, from listening sockets that somebody else bound.

Rules. A socket that stays is not touched: its port gets the factory of the listener that it serves now. One that goes
is first emptied: what the kernel has accepted for it is a client that was never refused, so it is served, its first
request before anything else happens to it.

Several processes share the sockets of a listener by number: with as many sockets as processes each accepts from one of
its own; where some process is missing, the others take over its sockets too; with fewer sockets than processes (those
that were handed in from outside) several accept from one.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory

from meshproxy.net.listening import LeanPort, adopt
from meshproxy.net.sockets import ListenerKey


def shares(sockets: int, position: int, processes: int) -> set[int]:
    """Which of so many sockets the process at ``position`` (from 0) of so many processes accepts from."""
    return {n % sockets for n in range(max(sockets, processes)) if n % processes == position} if sockets else set()


class Ports:
    """The open ports of this process. ``reactor`` provides ``IReactorSocket``."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._sockets: Mapping[ListenerKey, Sequence[socket.socket]] = {}
        self._ports: dict[socket.socket, IListeningPort] = {}
        self._position, self._processes = 0, 1

    def __len__(self) -> int:
        """The number of listeners."""
        return len(self._sockets)

    def empty(self, kept: Collection[socket.socket] = ()) -> None:
        """Accept what waits at all sockets but these, which are going to be closed."""
        for listening, port in self._ports.items():
            if listening not in kept and isinstance(port, LeanPort):
                port.accept_waiting()

    def serve(
        self, sockets: Mapping[ListenerKey, Sequence[socket.socket]], factory: Callable[[ListenerKey], Factory]
    ) -> Deferred[None]:
        """Accept from these sockets from now on, and from no others; fires when those are closed.

        ``factory`` gives a listener's protocol factory by ``Listener.key``. The sockets remain the caller's to close.
        """
        self._sockets = sockets
        before, self._ports = self._ports, {}
        for key, group in sockets.items():
            for listening in group:
                port = before.pop(listening, None)
                if port is None:
                    port = adopt(self._reactor, listening, factory(key))
                else:
                    port.factory = factory(key)  # type: ignore[attr-defined]
                self._ports[listening] = port
        self._take_share()
        closing = [maybeDeferred(port.stopListening) for port in before.values()]
        done: Deferred[None] = DeferredList(closing, consumeErrors=True).addCallback(lambda _: None)
        return done

    def share(self, position: int, processes: int) -> None:
        """This is process number ``position``, from 0, of so many that accept from the same sockets."""
        self._position, self._processes = position, processes
        self._take_share()

    def _take_share(self) -> None:
        for group in self._sockets.values():
            mine = shares(len(group), self._position, self._processes)
            for number, listening in enumerate(group):
                port = self._ports[listening]
                if isinstance(port, LeanPort):
                    port.accept(number in mine)


__all__ = ["Ports", "shares"]
