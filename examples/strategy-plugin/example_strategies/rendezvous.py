"""``example.com/rendezvous``: each endpoint has a score for each hash, and the highest one wins.

There is no table: nothing is built, and when an endpoint comes or goes, its own sessions move and no others. A pick
asks every endpoint for its score, so it takes the longer the more there are; for thousands of them a table is better.
Source: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996; for weights the logarithmic method,
as in Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log

from attrs import frozen
from zope.interface import implementer

from meshproxy.hashing import xxh64
from meshproxy.interfaces import IConfig, IDescribes, ILoadBalancer, ILoadBalancerBuilder
from meshproxy.model import Endpoint


@implementer(ILoadBalancer, IDescribes)
class Rendezvous:
    """``salt``: another one makes another choice for each hash, which has nothing to do with this one's."""

    uses_hash = True

    def __init__(self, endpoints: Sequence[Endpoint], salt: int) -> None:
        self._endpoints = [(it, xxh64(it.identity.encode(), salt), it.weight) for it in endpoints]

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        """See ``ILoadBalancer``. Attempts go down from score to score, and begin anew after the last."""
        if not self._endpoints:
            return None
        scored = self._scored(hash)
        if attempt == 0:
            return max(scored)[-1]
        return sorted(scored, reverse=True)[attempt % len(scored)][-1]

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        """See ``ILoadBalancer``."""
        return (endpoint for *_, endpoint in sorted(self._scored(hash), reverse=True))

    def _scored(self, hash: int) -> list[tuple[float, int, Endpoint]]:
        # Of two equal scores that of the larger number wins. The logarithm is of a number between 0 and 1, exclusive.
        text = hash.to_bytes(8, "little")
        return [
            (weight / -log(((xxh64(text, seed) >> 12) + 0.5) * 2.0**-52), seed, endpoint)
            for endpoint, seed, weight in self._endpoints
        ]

    def describe(self) -> Mapping[str, object]:
        """See ``IDescribes``."""
        return {"endpoints": len(self._endpoints)}


@implementer(ILoadBalancerBuilder)
@frozen
class RendezvousBuilder:
    """``salt`` is an unsigned 64-bit number."""

    salt: int = 0

    def build(self, endpoints: Sequence[Endpoint]) -> Rendezvous:
        """See ``ILoadBalancerBuilder``."""
        return Rendezvous(endpoints, self.salt)


def from_config(config: IConfig | None) -> RendezvousBuilder:
    """From a mapping with ``salt``, a text, which may be left out; ``simple`` has no settings to give."""
    fields = {} if config is None else config.fields("salt")
    return RendezvousBuilder(xxh64(fields["salt"].string().encode()) if "salt" in fields else 0)
