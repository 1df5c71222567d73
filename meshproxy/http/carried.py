"""What a connection to an endpoint carries: an exchange, or a copy of its request for a mirror."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from twisted.python.failure import Failure

from meshproxy.http.bodies import Piece
from meshproxy.http.headeroperations import Field

if TYPE_CHECKING:
    from meshproxy.http.upgrading import Upgrade
    from meshproxy.http.upstream import Upstream
    from meshproxy.upstream.pool import Pool


class Carried(Protocol):
    """What an upstream connection asks and tells.

    ``connection`` is the body's producer and has the client's transport.
    ``special``: ``edited``, ``http10``, ``retry_from`` and ``begin_response`` matter, or the host hears of the
    response. ``upgrade``: what it asks for, if it does. ``is_grpc``: the request says that it is one of gRPC.
    ``waiting_in`` is the pool in which it waits for a connection.
    """

    method: bytes
    request_complete: bool
    request_done_at: float
    begun_at: float
    bytes_sent: int
    status: int
    service_ms: int | None
    cookies: Sequence[bytes]
    expects_continue: bool
    keep_alive: bool
    chunked_response: bool
    response_begun: bool
    done: bool
    special: bool
    edited: bool
    http10: bool
    retry_from: int
    upgrade: Upgrade | None
    upstream: Upstream | None
    upstream_local: bytes
    waiting_in: Pool | None

    @property
    def connection(self) -> Any: ...

    @property
    def is_grpc(self) -> bool: ...

    def first_pieces(self) -> Sequence[Piece]:
        """Head and body as far as it is there."""

    def take_body(self) -> Sequence[Piece]:
        """What has come of the body since, as it is sent."""

    def begin_response(self) -> None:
        """A response is passed on, so the request is not sent again."""

    def wants_retry(self, status: int, grpc_status: bytes | None, rate_limited: bool) -> bool:
        """Whether a response is to be thrown away; then ``try_again`` is called."""

    def try_again(self) -> None:
        """The response was thrown away and its connection closed."""

    def edit_response(self, fields: list[Field]) -> list[Field]:
        """The fields that the client gets instead, if ``edited``."""

    def completed(self) -> None:
        """The response was written whole."""

    def cut(self, details: bytes, flag: bytes) -> None:
        """The response broke off."""

    def overflowed(self) -> None:
        """The limits of the cluster leave no room for it."""

    def connect_failed(self, reason: Failure) -> None:
        """There was no connection."""

    def upstream_lost(self, may_repeat: bool) -> None:
        """The connection ended without a response."""

    def upstream_spoke_garbage(self) -> None:
        """What came is no response."""
