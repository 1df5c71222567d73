"""What can be seen of hash tables from outside: how evenly they share keys, what a rebuild moved, whether two are the
same.

A table is asked for the endpoints of sample hashes, which works for every strategy, also those of third parties. The
samples are the same everywhere: gateways with the same fingerprint send the same keys to the same endpoints, as far as
samples can tell.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from attrs import frozen
from twisted.logger import Logger

from meshproxy.explain.keyspace import Shares, owners, sample_hashes, shares_of
from meshproxy.hashing import xxh64
from meshproxy.interfaces import ILoadBalancer
from meshproxy.model import Cluster

_SAMPLES = sample_hashes(2048)
MOST_AT_ONCE = 32
"""Tables that are looked at in one call."""

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
    """The facts about the tables that clusters are served by, found out when they are first asked for.

    That takes about a millisecond for each table, and the reactor waits, so not more than a few are looked at in one
    call; the others follow in the next ones.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[ILoadBalancer, TableFacts | None]] = {}

    def facts(self, served: Iterable[tuple[Cluster, ILoadBalancer]]) -> dict[str, TableFacts]:
        """By name of the cluster, for those balancers that use a hash. An endpoint that is ejected has no keys."""
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
                known[name] = (balancer, _looked_at(cluster, balancer, None if before is None else before[1]))
        self._known = known
        return {name: facts for name, (_, facts) in known.items() if facts is not None}


def _looked_at(cluster: Cluster, balancer: ILoadBalancer, before: TableFacts | None) -> TableFacts | None:
    try:
        keys = owners(balancer, _SAMPLES)
    except Exception:  # noqa: BLE001 - a strategy that fails here has no facts; requests show more of it
        _log.failure("The load balancer of cluster {cluster} could not be sampled", cluster=cluster.name)
        return None
    numbers = array("Q", [xxh64(key.encode()) for key in keys])
    moved = 0 if before is None else sum(map(int.__ne__, numbers, before.owners))
    # With very many endpoints, two tables may differ and the samples not.
    members = [(endpoint.key, endpoint.weight) for endpoint in cluster.endpoints]
    fingerprint = f"{xxh64(repr((members, keys)).encode()):016x}"
    return TableFacts(fingerprint, shares_of(keys, cluster.endpoints), moved / len(keys), numbers)
