from __future__ import annotations

from collections.abc import Iterator, Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from meshproxy.interfaces import IContinues, ILoadBalancer, ILoadBalancerBuilder
from meshproxy.model import Cluster, Endpoint
from meshproxy.upstream.hosts import Upstreams


@implementer(ILoadBalancer, IContinues)
class Rotation:
    """Counts where it stands, and takes the count over."""

    uses_hash = False

    def __init__(self, fails: bool = False) -> None:
        self.position = 0
        self.fails = fails

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        return None

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        return iter(())

    def continue_from(self, previous: ILoadBalancer) -> None:
        if self.fails:
            raise RuntimeError("cannot")
        if isinstance(previous, Rotation):
            self.position = previous.position


@implementer(ILoadBalancerBuilder)
class Builder:
    def build(self, endpoints: Sequence[Endpoint]) -> ILoadBalancer:
        return Rotation()


def cluster(balancer: Rotation, *endpoints: Endpoint) -> Cluster:
    return Cluster("c", endpoints, Builder(), balancer)


class ContinuingTests(SynchronousTestCase):
    def test_phase_outlives_a_rebuild(self) -> None:
        """A balancer that was rebuilt goes on where the one before it stood."""
        upstreams = Upstreams(Clock(), lambda pool: None)
        old, new = Rotation(), Rotation()
        upstreams.update({"c": cluster(old)})
        old.position = 5
        upstreams.update({"c": cluster(new, Endpoint("10.0.0.1", 80))})
        self.assertEqual(new.position, 5)

    def test_failure_costs_the_phase_only(self) -> None:
        """One that cannot is logged and starts afresh; the new endpoints are in place."""
        upstreams = Upstreams(Clock(), lambda pool: None)
        upstreams.update({"c": cluster(Rotation())})
        new = cluster(Rotation(fails=True), Endpoint("10.0.0.1", 80))
        upstreams.update({"c": new})
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertIs(upstreams.clusters["c"].cluster, new)
        self.assertEqual([host.key for host in upstreams.clusters["c"].hosts.values()], ["10.0.0.1:80"])
