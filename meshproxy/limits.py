"""What the gateway lets one client, or one endpoint, hold of it. Immutable values, no behaviour."""

from __future__ import annotations

from enum import Enum, auto

from attrs import frozen

DEFAULT_BUFFER = 1024 * 1024


class Underscores(Enum):
    """What becomes of a client's header fields whose names have an underscore."""

    ALLOW = auto()
    DROP_HEADER = auto()
    REJECT_REQUEST = auto()


@frozen
class Limits:
    """Seconds and bytes; 0 is no limit.

    ``request_headers_timeout``: from the first byte of a request to the end of its head. ``idle_timeout``: for a client
    connection without a request. ``stream_idle_timeout``: for a request and its response while nothing of them moves.
    ``max_headers_bytes``, ``max_headers_count``: of a head in either direction. ``buffer``: bytes of a body that wait,
    in either direction, or are kept for another try.
    """

    request_headers_timeout: float = 60.0
    idle_timeout: float = 3600.0
    stream_idle_timeout: float = 0.0
    max_connections: int = 0
    max_requests_per_connection: int = 0
    max_pipelined_requests: int = 100
    max_headers_bytes: int = 60 * 1024
    max_headers_count: int = 100
    buffer: int = DEFAULT_BUFFER
    underscores: Underscores = Underscores.ALLOW
