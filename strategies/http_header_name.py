"""``httpHeaderName``: the session is what a request header says.

Values are hashed byte by byte as they will be sent to the endpoint. Several lines count as a set: they are sorted, then
each is hashed with the hash before it as its seed, so their order of arrival does not matter. A header that is there
but empty has a hash. Source: ``hash_policy.cc`` of Envoy.
"""

from __future__ import annotations

import re

from attrs import field, frozen
from zope.interface import implementer

from meshproxy.hashing import chain, xxh64
from meshproxy.interfaces import HashKey, IConfig, IHashKey, IRequest, IShowsKey
from meshproxy.strategies.settings import name

_PSEUDO_HEADERS = frozenset({":authority", ":path", ":method", ":scheme"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@implementer(IHashKey, IShowsKey)
@frozen
class HeaderKey:
    """``header`` is a name in any case; ``host``, ``:authority``, ``:path``, ``:method`` and ``:scheme`` work too."""

    header: str
    terminal: bool = False
    _name: bytes = field(init=False, repr=False, eq=False)

    @_name.default
    def _lower_name(self) -> bytes:
        return self.header.encode().lower()

    def evaluate(self, request: IRequest) -> HashKey | None:
        """See ``IHashKey``."""
        values = request.header_values(self._name)
        if not values:
            return None
        return HashKey(xxh64(values[0]) if len(values) == 1 else chain(sorted(values)))

    def key_text(self, request: IRequest) -> bytes | None:
        """See ``IShowsKey``: the values in the order in which they are hashed."""
        values = request.header_values(self._name)
        return b", ".join(sorted(values)) if values else None


def from_config(config: IConfig) -> HeaderKey:
    """From the header's name."""
    header = name(config, "httpHeaderName")
    if header.lower() not in _PSEUDO_HEADERS and not _TOKEN.fullmatch(header):
        config.warn(f"no request has a header named {header!r}")
    return HeaderKey(header)
