"""What a client is sent, as the producer of its transport: whoever sends is told how fast the client takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

if TYPE_CHECKING:
    from meshproxy.http.downstream import Downstream


@implementer(IPushProducer)
class Answers:
    """All that a connection sends, as the producer of its transport."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Downstream) -> None:
        self._connection = connection

    def pauseProducing(self) -> None:
        """The client's buffer is full."""
        self._connection.client_full()

    def resumeProducing(self) -> None:
        """The client's buffer is empty again."""
        self._connection.client_ready()

    def stopProducing(self) -> None:
        """The connection is gone, which it is told in its own way."""
