"""``useSourceIp``: the session is the client's address, without port.

Which address that is where other proxies stand in front is decided before a strategy sees the request. Source:
``hash_policy.cc`` of Envoy.
"""

from __future__ import annotations

from attrs import frozen
from zope.interface import implementer

from meshproxy.hashing import xxh64
from meshproxy.interfaces import HashKey, IConfig, IHashKey, IRequest, IShowsKey


@implementer(IHashKey, IShowsKey)
@frozen
class SourceIpKey:
    """Hashes the text of the trusted client address."""

    terminal: bool = False

    def evaluate(self, request: IRequest) -> HashKey | None:
        """See ``IHashKey``. None for a peer that has no IP."""
        address = request.source_ip
        return HashKey(xxh64(address)) if address else None

    def key_text(self, request: IRequest) -> bytes | None:
        """See ``IShowsKey``: the address."""
        return request.source_ip or None


def from_config(config: IConfig) -> SourceIpKey | None:
    """From a boolean; ``false`` means no key."""
    return SourceIpKey() if config.boolean() else None
