"""A client's request to go on in another protocol (RFC 9110, 7.8), until the endpoint has agreed or answered otherwise.

Rules: what is asked for is one protocol, of those that the configuration allows, by a request without a body. The
endpoint agrees with a 101 that names the same protocol and has no body either; then the connection becomes a tunnel.
Whatever else it answers is a response like any other. Either way no further request is read from the client's
connection: behind its head, bytes belong to the other protocol, whoever reads them. Of those, the client may send what
one read brings before the endpoint has agreed; they are kept, and no more is read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshproxy.http.bodies import Piece
from meshproxy.http.headeroperations import values_in, without
from meshproxy.http.responsehead import SHAPES, edited_head
from meshproxy.http.statuses import status_line
from meshproxy.http.tunnel import Tunnel

if TYPE_CHECKING:
    from meshproxy.http.exchange import Exchange
    from meshproxy.http.upstream import Upstream

_SWITCHING = 101
_LENGTH = b"content-length"


class Upgrade:
    """See the head of this module. It takes the place of the connection's ``RequestReader``.

    ``protocol`` is what the client wrote, ``agreed`` whether the endpoint said yes.
    """

    __slots__ = ("_early", "_exchange", "agreed", "protocol")

    # To who asks a reader: there is no further request.
    in_head = in_body = False
    length: int | None = None
    body_left = 0
    started_at = 0.0

    def __init__(self, exchange: Exchange, protocol: bytes, early: bytes) -> None:
        self._exchange = exchange
        self._early = b""
        self.protocol = protocol
        self.agreed = False
        if early:
            self.feed(early)

    # In the place of the request reader

    def feed(self, data: Piece) -> None:
        """Keep what the client says before the endpoint has agreed, and read no more."""
        self._early += data
        self._exchange.connection.pauseProducing()

    def close(self) -> None:
        """The client is gone; break the cycle of references between this and the exchange."""
        self._early = b""
        del self._exchange

    # What the endpoint's connection tells

    def accept(self, names: Sequence[bytes], values: Sequence[bytes]) -> bytes | None:
        """The client's head for a 101 with these fields; None if the endpoint may not switch like that."""
        received = [(name.lower(), value) for name, value in zip(names, values, strict=True)]
        spelled = values_in(received, b"upgrade")
        if [protocol.lower() for protocol in spelled] != [self.protocol.lower()]:
            return None
        connection = b",".join(values_in(received, b"connection")).lower()
        if b"upgrade" not in [token.strip(b" \t") for token in connection.split(b",")]:
            return None
        if values_in(received, b"transfer-encoding") or not {*values_in(received, _LENGTH)} <= {b"0"}:
            return None
        self.agreed = True
        exchange = self._exchange
        exchange.switched(_SWITCHING)
        shape = SHAPES.of(tuple(names))
        kept = without(zip(shape.names, shape.pick(values), strict=True), (_LENGTH,))
        servers = [(b"server", value) for value in values_in(received, b"server")]
        fields = exchange.edit_response([*kept, *servers, (b"connection", b"Upgrade"), (b"upgrade", spelled[0])])
        date = exchange.gateway.dates.at(time.time())
        return edited_head(status_line(_SWITCHING), fields, (), date)

    def begin(self, upstream: Upstream, head: bytes, first: bytes) -> None:
        """Make a tunnel of both connections. The client gets ``head`` and the endpoint's ``first`` bytes."""
        early, self._early = self._early, b""
        Tunnel(self._exchange, upstream).begin(head, first, early)
