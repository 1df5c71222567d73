"""What a gateway may say to the readers of its connections, and what holds where nobody says anything."""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol

from meshproxy.http.knownheads import KnownHeads, KnownRequest
from meshproxy.limits import Limits
from meshproxy.paths import Normalizer, normalize_path


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
    def known_requests(self) -> KnownHeads[KnownRequest]:
        """The fields that were read by these settings."""


class _DefaultSettings:
    normalize: Normalizer = staticmethod(normalize_path)
    upgrades = frozenset({b"websocket"})
    limits = Limits()
    accept_http10 = False
    known_requests: KnownHeads[KnownRequest] = KnownHeads()


DEFAULT_SETTINGS = _DefaultSettings()
