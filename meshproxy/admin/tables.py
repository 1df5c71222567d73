"""What can be seen of hash tables from outside: how evenly they share keys, what a rebuild moved, whether two are the
same.

A table is asked for the owners of sample hashes. The samples are the same everywhere: gateways with the same
fingerprint send the same keys to the same endpoints, as far as samples can tell.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from attrs import frozen
from twisted.logger import Logger

from meshproxy.admin.sampling import sampled_owners
from meshproxy.admin.turns import Turns
from meshproxy.explain.keyspace import Shares, shares_of
from meshproxy.failures import PLUGIN_ERRORS
from meshproxy.hashing import xxh64
from meshproxy.interfaces import ILoadBalancer
from meshproxy.model import Cluster

_SAMPLES = 2048
MOST_AT_ONCE = 32
"""Tables that are looked at for one who asks."""

_log = Logger()


@frozen(eq=False)
class TableFacts:
    """``moved``: the share of the keys that had another endpoint in the table before; 0 for the first table.

    ``fingerprint`` is equal for equal tables. ``owners`` has a number for the endpoint of each sample.
    """

    fingerprint: str
    shares: Shares
    moved: float
    owners: array[int]


class Tables:
    """The facts about the tables that clusters are served by, found out when somebody asks for figures.

    That takes milliseconds for a table of a thousand endpoints, so it is done in turns, and for not more than a few
    tables each time; the others follow when figures are asked for again.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[ILoadBalancer, TableFacts | None]] = {}

    def facts(self) -> dict[str, TableFacts]:
        """What is known of those whose balancers use a hash, by name of the cluster.

        An endpoint that is ejected has no keys.
        """
        return {name: facts for name, (_, facts) in self._known.items() if facts is not None}

    async def find_out(self, served: Iterable[tuple[Cluster, ILoadBalancer]], turns: Turns) -> None:
        """Look at the tables that are not known yet, and forget those that are not ``served`` any more."""
        known = {}
        left = MOST_AT_ONCE
        for cluster, balancer in served:
            name = cluster.name
            before = self._known.get(name)
            if not balancer.uses_hash:
                continue
            if before is not None and (before[0] is balancer or not left):
                known[name] = before
            elif left:
                left -= 1
                known[name] = (balancer, await _looked_at(cluster, balancer, before and before[1], turns))
        self._known = known


async def _looked_at(
    cluster: Cluster, balancer: ILoadBalancer, before: TableFacts | None, turns: Turns
) -> TableFacts | None:
    try:
        keys = await sampled_owners(balancer, _SAMPLES, turns)
    except PLUGIN_ERRORS:  # a strategy that fails here has no facts; requests show more of it
        _log.failure("The load balancer of cluster {cluster} could not be sampled", cluster=cluster.name)
        return None
    numbers = array("Q", [xxh64(key.encode()) for key in keys])
    moved = 0 if before is None else sum(map(int.__ne__, numbers, before.owners))
    # With very many endpoints, two tables may differ and the samples not.
    members = [(endpoint.key, endpoint.weight) for endpoint in cluster.endpoints]
    fingerprint = f"{xxh64(repr((members, keys)).encode()):016x}"
    facts = TableFacts(fingerprint, shares_of(keys, cluster.endpoints), moved / len(keys), numbers)
    await turns.pause()
    return facts
