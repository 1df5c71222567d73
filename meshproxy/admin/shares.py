"""What part of the hashes each endpoint of a cluster gets, and which, found out when somebody asks for it.

A balancer is asked for the endpoints of sample hashes, which works for every strategy. Shares are right to a twentieth
of an even share for up to a thousand endpoints, and known as long as the balancer serves. One who asks causes no more
than ``MOST_PICKS`` picks, about a tenth of a second in pieces; clusters beyond that have no shares until the next time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

from attrs import frozen
from twisted.logger import Logger

from meshproxy.admin.sampling import sampled_owners
from meshproxy.admin.turns import Turns
from meshproxy.explain.keyspace import owners
from meshproxy.failures import PLUGIN_ERRORS
from meshproxy.interfaces import ILoadBalancer
from meshproxy.upstream.hosts import ClusterState

MOST_PICKS = 200_000
_FEWEST_SAMPLES, _MOST_SAMPLES = 1_000, 20_000
_SAMPLES_PER_ENDPOINT = 20
POINTS = 360
"""Hashes whose owners are known one by one: so many steps of the same length from 0 to the largest, or from entry to
entry where the table is indexed by the remainder of the hash."""
_STEPS = [(point << 64) // POINTS for point in range(POINTS)]

_log = Logger()


@frozen
class Shared:
    """``shares`` by ``Endpoint.key``; endpoints that get nothing are missing. ``points``: the keys of their owners."""

    shares: Mapping[str, float]
    points: Sequence[str]


class KnownShares:
    """The shares of the balancers that serve."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[ILoadBalancer, Shared | None]] = {}

    def of(self, state: ClusterState) -> Shared | None:
        """None where no hash decides, or not known."""
        balancer, shared = self._known.get(state.name, (None, None))
        return shared if balancer is state.balancer else None

    def forget(self, served: Mapping[str, ClusterState]) -> None:
        """Keep only what is about balancers that serve."""
        known = self._known.items()
        self._known = {name: it for name, it in known if name in served and served[name].balancer is it[0]}

    async def find_out(self, states: Iterable[ClusterState], indexed: Container[str], turns: Turns) -> None:
        """Ask the balancers of these clusters that are not known yet. ``indexed``: those with a table by remainders."""
        left = MOST_PICKS
        for state in states:
            number = _samples(len(state.hosts)) + POINTS
            balancer = state.balancer
            known = self._known.get(state.name, (None, None))[0] is balancer
            if known or not balancer.uses_hash or number > left:
                continue
            left -= number
            shared: Shared | None = None
            try:
                shares = await _shares(balancer, number - POINTS, turns)
                points = range(POINTS) if state.name in indexed else _STEPS
                shared = Shared(shares, owners(balancer, points))
            except PLUGIN_ERRORS:  # a strategy that fails here has no shares; requests show more of it
                _log.failure("The load balancer of cluster {cluster} could not be sampled", cluster=state.name)
            self._known[state.name] = (balancer, shared)


def _samples(endpoints: int) -> int:
    return min(max(_FEWEST_SAMPLES, _SAMPLES_PER_ENDPOINT * endpoints), _MOST_SAMPLES)


async def _shares(balancer: ILoadBalancer, number: int, turns: Turns) -> dict[str, float]:
    found = Counter(filter(None, await sampled_owners(balancer, number, turns)))
    return {key: count / number for key, count in found.items()}
