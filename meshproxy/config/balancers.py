"""The load balancers of a load: each made once, and together no larger than a machine can hold.

Clusters of equal endpoints and settings share a balancer that depends on nothing else, so that a large table is there
once. Tables are not built here, but counted: a small file can ask for very much.
"""

from __future__ import annotations

from zope.interface import Interface

from meshproxy.config.balancing import Balancing, Strategies
from meshproxy.config.findings import Findings
from meshproxy.errors import Location
from meshproxy.failures import PLUGIN_ERRORS, describe_failure
from meshproxy.interfaces import (
    IContinues,
    IForeseesShares,
    IHasTable,
    ILoadBalancer,
    ILoadBalancerBuilder,
    IObservesLoad,
    Shortage,
)
from meshproxy.model import Endpoint

MOST_TABLE_BYTES = 256 * 2**20
"""For all rings and tables together: two rings of the largest size, or thousands of usual ones."""

MOST_LOADED = 2.0
"""An endpoint that is to be expected to get more than so many times its share is worth a warning."""

_Endpoints = tuple[Endpoint, ...]


class Balancers:
    """Makes the balancers of one load; says so when their tables come to more than ``MOST_TABLE_BYTES``."""

    def __init__(self, strategies: Strategies, findings: Findings) -> None:
        self._strategies = strategies
        self._findings = findings
        self._shared: dict[_Endpoints, dict[ILoadBalancerBuilder, ILoadBalancer]] = {}
        # The same by identity, for it takes long to compare many endpoints.
        self._seen: dict[int, tuple[_Endpoints, dict[ILoadBalancerBuilder, ILoadBalancer]]] = {}
        self._bytes = 0
        self._judged: set[Location | None] = set()

    def balancer(
        self,
        endpoints: _Endpoints,
        balancing: Balancing,
        builder: ILoadBalancerBuilder,
        previous: ILoadBalancer | None,
    ) -> ILoadBalancer | None:
        """The balancer for endpoints; ``previous`` is one that was built of the same. None if building it failed."""
        shared = self._shared_of(endpoints)
        try:
            known, comparable = shared.get(builder), True
        except Exception:  # noqa: BLE001 - a plugin may fail in any way; what cannot be compared is built anew
            known, comparable = None, False
        if previous is None and known is not None:
            return known
        made = previous or self._strategies.build(balancing, builder, endpoints)
        if made is not None and known is None:
            if comparable and _may_be_shared(made):
                shared[builder] = made
            self._count(made, balancing)
            self._judge(made, balancing)
        return made

    def _shared_of(self, endpoints: _Endpoints) -> dict[ILoadBalancerBuilder, ILoadBalancer]:
        if id(endpoints) not in self._seen:
            self._seen[id(endpoints)] = (endpoints, self._shared.setdefault(endpoints, {}))
        return self._seen[id(endpoints)][1]

    def count(self, targets: _Endpoints, balancing: Balancing, builder: ILoadBalancerBuilder) -> None:
        """Count the table of a cluster whose endpoints come at run time as if they were its targets."""
        self.balancer(targets, balancing, builder, None)

    def _count(self, made: ILoadBalancer, balancing: Balancing) -> None:
        table = IHasTable(made, None)
        if table is None or self._bytes > MOST_TABLE_BYTES:
            return
        size = self._strategies.table_bytes(balancing, table)
        self._bytes += size
        if self._bytes > MOST_TABLE_BYTES:
            most = MOST_TABLE_BYTES // 2**20
            message = (
                f"tables of {balancing.name} and the like come to more than {most} MiB, with {size // 2**20} MiB for"
            )
            hint = "a smaller minimumRingSize or tableSize takes less"
            self._findings.error(balancing.location, f"{message} this one", hint)

    def _judge(self, made: ILoadBalancer, balancing: Balancing) -> None:
        """Warn about a table that spreads badly, once for each place."""
        foresees = IForeseesShares(made, None)
        if foresees is None or balancing.location in self._judged:
            return
        try:
            found = foresees.shortage(MOST_LOADED)
            shortage = None if found is None else Shortage(str(found.problem), str(found.remedy))
        except PLUGIN_ERRORS as error:  # it may have returned anything
            shortage = Shortage(f"could not be judged: {describe_failure(error)}", "")
        if shortage is not None:
            self._judged.add(balancing.location)
            message = f"this table of {balancing.name} {shortage.problem}"
            self._findings.warning(balancing.location, message, shortage.remedy)


def equal(builder: object, other: object) -> bool:
    """Whether two builders build the same; False for those that cannot be compared."""
    try:
        return bool(builder == other)
    except Exception:  # noqa: BLE001 - a plugin may fail in any way; what cannot be compared is built anew
        return False


def _may_be_shared(balancer: ILoadBalancer) -> bool:
    """True for a table that depends on nothing but its endpoints."""
    stateful: tuple[type[Interface], ...] = (IContinues, IObservesLoad)
    return balancer.uses_hash and not any(interface(balancer, None) is not None for interface in stateful)
