"""``httpQueryParameterName``: the session is what a parameter of the query says.

Nothing is decoded: ``+`` is a plus, ``%41`` is three characters, names are case-sensitive and only ``&`` separates. The
first parameter of that name decides; without ``=`` its value is empty, and an empty value has a hash. Source:
``hash_policy.cc`` and ``utility.cc`` of Envoy.
"""

from __future__ import annotations

from attrs import field, frozen
from zope.interface import implementer

from meshproxy.hashing import xxh64
from meshproxy.interfaces import HashKey, IConfig, IHashKey, IRequest, IShowsKey
from meshproxy.strategies.settings import name

_NEVER_IN_A_NAME = frozenset("&= ")
_HINT = "names are compared as they stand in the path, escapes included"


@implementer(IHashKey, IShowsKey)
@frozen
class QueryParameterKey:
    """``parameter`` is compared byte by byte."""

    parameter: str
    terminal: bool = False
    _name: bytes = field(init=False, repr=False, eq=False)

    @_name.default
    def _encoded_name(self) -> bytes:
        return self.parameter.encode()

    def evaluate(self, request: IRequest) -> HashKey | None:
        """See ``IHashKey``."""
        value = self.key_text(request)
        return None if value is None else HashKey(xxh64(value))

    def key_text(self, request: IRequest) -> bytes | None:
        """See ``IShowsKey``: the parameter's value, undecoded."""
        name = self._name
        path = request.path
        if name in path:  # most requests that lack the parameter end here
            for piece in path.partition(b"?")[2].split(b"&"):
                found, _, value = piece.partition(b"=")
                if found == name:
                    return value
        return None


def from_config(config: IConfig) -> QueryParameterKey:
    """From the parameter's name."""
    parameter = name(config, "httpQueryParameterName")
    if not _NEVER_IN_A_NAME.isdisjoint(parameter):
        config.warn(f"no request has a parameter named {parameter!r}", _HINT)
    return QueryParameterKey(parameter)
