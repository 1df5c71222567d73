"""Who the owners of sample hashes are, asked of a load balancer in pieces between which the reactor does everything
else; that works for every strategy, also those of third parties."""

from __future__ import annotations

from meshproxy.admin.turns import Turns
from meshproxy.explain.keyspace import owners, sample_hashes
from meshproxy.interfaces import ILoadBalancer

_PIECE = 500


async def sampled_owners(balancer: ILoadBalancer, number: int, turns: Turns) -> list[str]:
    """``Endpoint.key`` of the owner of each of ``number`` sample hashes, empty where there is none.

    Raises what the balancer raises.
    """
    hashes = sample_hashes(number)
    found: list[str] = []
    for start in range(0, number, _PIECE):
        found += owners(balancer, hashes[start : start + _PIECE])
        await turns.pause()
    return found


__all__ = ["sampled_owners"]
