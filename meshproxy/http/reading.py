"""Whom the reader of a connection tells what it read, and by which settings it reads."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Protocol

from meshproxy.http.bodies import Piece
from meshproxy.http.knownheads import KnownHeads, KnownLine, KnownRequest
from meshproxy.limits import Limits
from meshproxy.paths import Normalizer, normalize_path

if TYPE_CHECKING:
    from meshproxy.http.requestreader import RequestReader


class Receiver(Protocol):
    """Whom a reader tells. None of these may act on what it hears before ``feed`` returns."""

    def head_received(self, reader: RequestReader) -> None:
        """A head is complete."""

    def body_received(self, data: Piece) -> None:
        """A piece of the body of the request whose head came last."""

    def request_completed(self) -> None:
        """That request is complete."""

    def upgrade_received(self, protocol: bytes, early: bytes) -> None:
        """It asks for another protocol, and ``early`` came behind it. Nothing more may be fed."""


class ReaderSettings(Protocol):
    """What may change while a connection lasts."""

    @property
    def normalize(self) -> Normalizer:
        """How paths are normalized."""

    @property
    def upgrades(self) -> Container[bytes]:
        """The protocols that may be asked for, in lower case."""

    @property
    def limits(self) -> Limits:
        """How large a head may be."""

    @property
    def accept_http10(self) -> bool:
        """Whether HTTP/1.0 is served."""

    @property
    def known_lines(self) -> KnownHeads[KnownLine]:
        """The first lines that were read by these settings."""

    @property
    def known_requests(self) -> KnownHeads[KnownRequest]:
        """The fields that were read by these settings."""


class _DefaultSettings:
    normalize: Normalizer = staticmethod(normalize_path)
    upgrades = frozenset({b"websocket"})
    limits = Limits()
    accept_http10 = False
    known_lines: KnownHeads[KnownLine] = KnownHeads()
    known_requests: KnownHeads[KnownRequest] = KnownHeads()


DEFAULT_SETTINGS = _DefaultSettings()
