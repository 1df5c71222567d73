"""The listeners of the gateway: where a client's connection comes from, and what it is routed by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.protocol import Factory

from meshproxy.http.downstream import Downstream
from meshproxy.model import RoutedRequest, RouteFinder
from meshproxy.routes import Route

if TYPE_CHECKING:
    from meshproxy.http.gateway import Gateway

FIRST_REQUEST_SECONDS = 1.0


class _NoRoutes:
    def find(self, request: RoutedRequest) -> Route | None:
        return None


class ListenerFactory(Factory):
    """Makes the connections of one listener and knows its present routes; none until a snapshot is installed."""

    noisy = False

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.routes: RouteFinder = _NoRoutes()
        self.connections: set[Downstream] = set()
        self.draining = False

    def buildProtocol(self, addr: object) -> Downstream | None:  # type: ignore[override]
        """A connection of this listener; None where there are as many as there may be, which closes this one."""
        return None if self.gateway.is_full() else Downstream(self)

    def drain(self) -> None:
        """End each connection as soon as it owes no answer.

        A client that has connected just now is about to ask, and cannot know better: its first request is answered, if
        it comes within ``FIRST_REQUEST_SECONDS``.
        """
        self.draining = True
        for connection in list(self.connections):
            connection.end_when_idle(patiently=True)
        if self.connections:
            self.gateway.reactor.callLater(FIRST_REQUEST_SECONDS, self._end_idle)

    def _end_idle(self) -> None:
        for connection in list(self.connections):
            connection.end_when_idle()
