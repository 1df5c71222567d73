"""A cluster whose endpoints answer as a test says."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.interfaces import ILoadBalancerBuilder
from meshproxy.model import Cluster, Endpoint
from meshproxy.policies import OutlierDetection
from meshproxy.strategies.round_robin import RoundRobinBuilder
from meshproxy.upstream.building import Builds
from meshproxy.upstream.hosts import Upstreams

NAME = "outbound|80||app.test"
AT_ONCE = OutlierDetection(consecutive_5xx=1, interval=1, base_ejection_time=10, max_ejection_percent=100)
ROTATION = RoundRobinBuilder(lambda bits: 0)


def endpoints(count: int, first: int = 1) -> tuple[Endpoint, ...]:
    return tuple(Endpoint("10.0.0.1", port) for port in range(first, first + count))


class HealthCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.upstreams = Upstreams(self.clock, lambda pool: None)
        self.threads: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def serve(
        self,
        members: tuple[Endpoint, ...],
        builder: ILoadBalancerBuilder = ROTATION,
        outliers: OutlierDetection | None = AT_ONCE,
        **more: Any,
    ) -> None:
        cluster = Cluster(NAME, members, builder, builder.build(members), outliers=outliers, **more)
        self.upstreams.update({NAME: cluster})

    @property
    def state(self) -> Any:
        return self.upstreams.clusters[NAME]

    def answer(self, status: int, *ports: int) -> None:
        """Endpoints answer, as far as anybody listens."""
        for host in self.state.hosts.values():
            if host.port in ports and host.monitor is not None:
                host.monitor.responded(status)

    def turn(self) -> None:
        """One turn of the reactor."""
        self.clock.advance(0)

    def picked(self, count: int = 60) -> set[int | None]:
        """The ports of what is picked now."""
        found = [self.state.balancer.pick(Random(number).getrandbits(64), 0) for number in range(count)]
        return {endpoint and endpoint.port for endpoint in found}

    def in_threads(self) -> None:
        """From now on, threads end when ``finish`` says so."""

        def run(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()
            self.threads.append((done, lambda: function(*args)))
            return done

        self.upstreams.builds = Builds(run)

    def finish(self) -> None:
        """The oldest thread ends."""
        done, call = self.threads.pop(0)
        done.callback(call())
