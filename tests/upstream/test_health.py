"""A cluster is served by the balancer that the health of its endpoints comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from meshproxy.availability import AvailableBuilder, Health
from meshproxy.interfaces import ILoadBalancer, ILoadBalancerBuilder, IWarmsUp
from meshproxy.model import Cluster, Endpoint
from meshproxy.policies import Localities, OutlierDetection, Warmup
from meshproxy.priority import Loads
from meshproxy.strategies.least_request import LeastRequestBuilder
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.strategies.round_robin import RoundRobinBuilder
from meshproxy.upstream.building import Builds
from meshproxy.upstream.describing import EndpointStatus, look
from meshproxy.upstream.ejections import Ejection
from meshproxy.upstream.health import TABLE_SECONDS
from meshproxy.upstream.hosts import Upstreams
from meshproxy.upstream.outliers import Reason

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


class EjectionTests(HealthCase):
    def test_out_and_back(self) -> None:
        """An ejected endpoint is not picked from the next turn on, until it is back."""
        self.serve(endpoints(3))
        self.answer(500, 2)
        self.assertEqual(self.picked(), {1, 2, 3})
        self.turn()
        self.assertEqual(self.picked(), {1, 3})
        self.clock.pump([1] * 10)
        self.turn()
        self.assertEqual(self.picked(), {1, 2, 3})
        self.assertIs(self.state.balancer, self.state.cluster.balancer)

    def test_once_a_turn(self) -> None:
        """However many endpoints are ejected in a turn, the balancer is built once."""
        self.serve(endpoints(5))
        self.answer(500, 1, 2, 3)
        self.assertEqual(len([call for call in self.clock.getDelayedCalls() if not call.getTime()]), 1)
        self.turn()
        self.assertEqual(self.picked(), {4, 5})

    def test_everybody(self) -> None:
        """With all of them ejected nobody is picked; a panic threshold makes all of them be picked."""
        self.serve(endpoints(2))
        self.answer(500, 1, 2)
        self.turn()
        self.assertEqual(self.picked(), {None})
        self.serve(endpoints(2), outliers=evolve(AT_ONCE, min_health_percent=50))
        self.turn()
        self.assertEqual(self.picked(), {1, 2})

    def test_none_without_a_rule(self) -> None:
        """Without outlier detection nobody listens, there is no timer, and the configured balancer serves."""
        self.serve(endpoints(2), outliers=None)
        self.assertIsNone(self.state.health)
        self.assertEqual([host.monitor for host in self.state.hosts.values()], [None, None])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIs(self.state.balancer, self.state.cluster.balancer)

    def test_load(self) -> None:
        """What balances by load goes on doing so, ejection or not."""
        self.serve(endpoints(3), LeastRequestBuilder(lambda bits: 0))
        self.answer(500, 1)
        self.turn()
        self.assertEqual(self.state.pick_with_load, self.state.balancer.pick_with_load)
        self.assertEqual(self.picked(), {2, 3})

    def test_figures(self) -> None:
        """How many are ejected now is right over ejections, returns, endpoints and clusters that go."""
        self.serve(endpoints(4))
        self.answer(500, 1, 2, 3)
        self.assertEqual(self.upstreams.ejections.active, 3)
        self.serve(endpoints(3, 2))
        self.assertEqual(self.upstreams.ejections.active, 2)
        self.clock.pump([1] * 10)
        self.assertEqual(self.upstreams.ejections.active, 0)
        self.answer(500, 2)
        self.assertEqual(self.upstreams.ejections.active, 1)
        self.upstreams.update({})
        self.assertEqual(self.upstreams.ejections.active, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def follow(self, port: int, reason: Reason | None = Reason.CONSECUTIVE_5XX, multiplier: int = 2) -> None:
        """Another worker says that it has ejected an endpoint just now, or has it back."""
        ejection = Ejection(NAME, f"10.0.0.1:{port}", reason, self.clock.seconds(), multiplier)
        self.state.health.follow_ejection(ejection)
        self.turn()

    def test_other_worker(self) -> None:
        """What another worker ejects is not picked here either, until that worker has it back; nobody is told of it."""
        told: list[Ejection] = []
        self.upstreams.ejections.tell = told.append
        self.serve(endpoints(3), outliers=evolve(AT_ONCE, max_ejection_percent=34))
        for _ in range(2):
            self.follow(2)
            self.assertEqual((self.picked(), self.upstreams.ejections.active), ({1, 3}, 1))
        self.follow(99)
        self.answer(500, 1)
        self.assertEqual((self.picked(), self.upstreams.ejections.spared), ({1, 3}, 1))
        for _ in range(2):
            self.follow(2, None)
            self.assertEqual((self.picked(), self.upstreams.ejections.active), ({1, 2, 3}, 0))
        self.assertEqual((told, sum(self.upstreams.ejections.by_reason.values())), ([], 0))

    def test_workers_eject_at_once(self) -> None:
        """Where several workers eject at once, all keep what was ejected first, and no more than the rule allows."""
        rule = evolve(AT_ONCE, max_ejection_percent=34)
        workers: list[Upstreams] = []
        on_their_way: list[tuple[Upstreams, Ejection]] = []
        for _ in range(3):
            self.upstreams = Upstreams(self.clock, lambda pool: None)
            self.serve(endpoints(3), outliers=rule)
            self.upstreams.ejections.tell = lambda it, said_by=self.upstreams: on_their_way.extend(
                (other, it) for other in workers if other is not said_by
            )
            workers.append(self.upstreams)
        for port, worker in enumerate(workers, 1):
            self.upstreams = worker
            self.clock.advance(0.01)
            self.answer(500, port)
        while on_their_way:
            worker, ejection = on_their_way.pop(0)
            worker.clusters[NAME].health.follow_ejection(ejection)
        self.turn()
        for worker, spared in zip(workers, (0, 1, 1), strict=True):
            self.upstreams = worker
            self.assertEqual((self.picked(), worker.ejections.active, worker.ejections.spared), ({2, 3}, 1, spared))

    def test_other_worker_is_gone(self) -> None:
        """An interval after its worker should have had it back, an endpoint is back by itself, and that is told."""
        told: list[Ejection] = []
        self.upstreams.ejections.tell = told.append
        self.serve(endpoints(3))
        self.follow(2)
        self.clock.pump([1] * 20)
        self.turn()
        self.assertEqual((self.picked(), told), ({1, 3}, []))
        self.clock.advance(1)
        self.turn()
        self.assertEqual((self.picked(), told), ({1, 2, 3}, [Ejection(NAME, "10.0.0.1:2")]))

    def test_growth_is_shared(self) -> None:
        """An ejection here lasts longer by what the ones elsewhere before it have lasted."""
        self.serve(endpoints(3))
        self.follow(2)
        self.follow(2, None)
        self.answer(500, 2)
        (monitor,) = self.state.health.detector.ejected
        self.assertEqual((monitor.multiplier, monitor.ejections), (3, 1))

    def test_failing_build(self) -> None:
        """A strategy that cannot build leaves the old balancer in place, and is tried again at the next change."""

        class Failing:
            fails = False

            def build(self, members: Any) -> Any:
                if self.fails:
                    raise RuntimeError("cannot")
                return ROTATION.build(members)

        builder: Any = Failing()
        self.serve(endpoints(3), builder)
        builder.fails = True
        self.answer(500, 1)
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.picked(), {1, 2, 3})
        builder.fails = False
        self.answer(500, 2)
        self.turn()
        self.assertEqual(self.picked(), {3})


class ChangeTests(HealthCase):
    def test_reload(self) -> None:
        """An ejection outlives a new configuration of its cluster."""
        self.serve(endpoints(3))
        self.answer(500, 1)
        self.turn()
        self.serve(endpoints(4), outliers=evolve(AT_ONCE, consecutive_5xx=2))
        self.turn()
        self.assertEqual(self.picked(), {2, 3, 4})
        self.answer(500, 2)
        self.turn()
        self.assertEqual(self.picked(), {2, 3, 4})

    def test_rule_taken_away(self) -> None:
        """Without the rule everybody is back; with it again everybody begins anew."""
        self.serve(endpoints(2))
        self.answer(500, 1)
        self.turn()
        self.serve(endpoints(2), outliers=None)
        self.assertEqual(self.picked(), {1, 2})
        self.assertEqual(self.upstreams.ejections.active, 0)
        self.serve(endpoints(2))
        self.assertEqual(self.picked(), {1, 2})
        self.answer(500, 2)
        self.turn()
        self.assertEqual(self.picked(), {1})

    def test_endpoint_that_comes_again(self) -> None:
        """One that left and came again is a new one."""
        self.serve(endpoints(2))
        self.answer(500, 1)
        self.serve(endpoints(1, 2))
        self.serve(endpoints(2))
        self.turn()
        self.assertEqual(self.picked(), {1, 2})

    def test_another_address(self) -> None:
        """The one endpoint of a logical cluster stays ejected when its address changes."""
        self.serve(endpoints(1), logical=True)
        self.answer(500, 1)
        self.serve(endpoints(1, 9), logical=True)
        self.turn()
        self.assertEqual(self.picked(), {None})

    def test_unused_localities(self) -> None:
        """Endpoints that get no requests by their locality do not count when a share may be ejected."""
        members = tuple(Endpoint("10.0.0.1", port, locality="eu" if port < 3 else "us") for port in range(1, 11))
        builder = AvailableBuilder(ROTATION, Localities(weighted=True, shares=(("eu", 100),)), 0)
        self.serve(members, builder, evolve(AT_ONCE, max_ejection_percent=10))
        self.answer(500, 1)
        self.assertEqual((self.upstreams.ejections.active, self.upstreams.ejections.spared), (0, 1))


class TableTests(HealthCase):
    def test_built_in_a_thread(self) -> None:
        """A table is built in a thread; until it is there, the old one serves."""
        self.in_threads()
        self.serve(endpoints(3), RingHashBuilder())
        self.answer(500, 1)
        self.turn()
        self.assertEqual((len(self.threads), self.picked()), (1, {1, 2, 3}))
        self.finish()
        self.assertEqual(self.picked(), {2, 3})

    def test_merged(self) -> None:
        """The first change is built at once; what follows within the second is built at its end, together."""
        self.in_threads()
        self.serve(endpoints(5), RingHashBuilder())
        self.answer(500, 1)
        self.turn()
        self.answer(500, 2)
        self.finish()
        self.answer(500, 3)
        self.turn()
        self.assertEqual((len(self.threads), self.picked()), (0, {2, 3, 4, 5}))
        self.clock.advance(TABLE_SECONDS)
        self.finish()
        self.assertEqual((len(self.threads), self.picked()), (0, {4, 5}))

    def test_configured_one(self) -> None:
        """When everybody is back the configured table serves again; nothing is built."""
        self.in_threads()
        self.serve(endpoints(3), RingHashBuilder())
        self.answer(500, 1)
        self.turn()
        self.finish()
        self.clock.pump([1] * 11)
        self.assertEqual(self.threads, [])
        self.assertIs(self.state.balancer, self.state.cluster.balancer)

    def test_overtaken_by_a_reload(self) -> None:
        """What was built for endpoints that are no longer configured does not serve."""
        self.in_threads()
        self.serve(endpoints(3), RingHashBuilder())
        self.answer(500, 1)
        self.turn()
        self.serve(endpoints(4), RingHashBuilder())
        self.finish()
        self.assertEqual(self.picked(), {1, 2, 3})
        self.clock.advance(TABLE_SECONDS)
        self.finish()
        self.assertEqual(self.picked(), {2, 3, 4})

    def test_endpoint_of_before(self) -> None:
        """An endpoint that left still counts as long as the table that has it serves, and no longer; no other does."""
        self.in_threads()
        self.serve(endpoints(3), RingHashBuilder())
        self.answer(500, 1)
        self.turn()
        gone, stranger = self.state.hosts[endpoints(1, 3)[0]], Endpoint("10.0.0.9", 1)
        self.serve(endpoints(2), RingHashBuilder())
        self.assertIs(self.state.picked(endpoints(1, 3)[0]), gone)
        self.assertRaises(ValueError, self.state.picked, stranger)
        self.finish()
        self.clock.advance(TABLE_SECONDS)
        self.finish()
        self.assertRaises(ValueError, self.state.picked, endpoints(1, 3)[0])

    def test_gone(self) -> None:
        """A table of a cluster that is gone, or that ejects nobody any more, serves nobody."""
        self.in_threads()
        self.serve(endpoints(3), RingHashBuilder())
        self.answer(500, 1)
        self.turn()
        self.serve(endpoints(3), RingHashBuilder(), None)
        self.finish()
        self.assertEqual(self.picked(), {1, 2, 3})
        self.serve(endpoints(3), RingHashBuilder())
        self.answer(500, 1)
        self.clock.advance(TABLE_SECONDS)
        state = self.state
        self.upstreams.update({})
        self.finish()
        self.assertIs(state.balancer, state.cluster.balancer)


@implementer(ILoadBalancerBuilder, IWarmsUp)
class Failing:
    """A strategy whose endpoints cannot warm up while it is ``broken``."""

    broken = False

    def build(self, members: Sequence[Endpoint]) -> ILoadBalancer:
        return ROTATION.build(members)

    def warming(self, warmup: Warmup, age: Callable[[Endpoint], float]) -> ILoadBalancerBuilder:
        if self.broken:
            raise RuntimeError("nobody warms up here")
        return self


class WarmupTests(HealthCase):
    def picks(self, count: int) -> dict[int, int]:
        found = [self.state.balancer.pick(0, 0).port for _ in range(count)]
        return {port: found.count(port) for port in sorted(set(found))}

    def test_together(self) -> None:
        """Endpoints that are all new have equal shares."""
        self.serve(endpoints(2), outliers=None, warmup=Warmup(10))
        self.assertEqual(self.picks(100), {1: 50, 2: 50})

    def test_newcomer(self) -> None:
        """One that comes later begins with the least percentage, and has its whole share at the end."""
        self.serve(endpoints(2), outliers=None, warmup=Warmup(10))
        self.clock.advance(60)
        self.serve(endpoints(3), outliers=None, warmup=Warmup(10))
        for seconds, share in ((0, 0.1), (5, 0.5), (5, 1.0)):
            self.clock.advance(seconds)
            self.picks(50)  # deadlines that were set before are used up
            self.assertApproximates(self.picks(2100)[3] / 2100, share / (2 + share), 0.01)

    def test_aggression(self) -> None:
        """Aggression gives more in the beginning."""
        self.serve(endpoints(1), outliers=None, warmup=Warmup(10, 2.0))
        self.clock.advance(60)
        self.serve(endpoints(2), outliers=None, warmup=Warmup(10, 2.0))
        self.clock.advance(2.5)
        self.picks(50)
        self.assertApproximates(self.picks(1500)[2] / 1500, 0.5 / 1.5, 0.01)

    def test_after_an_ejection(self) -> None:
        """An endpoint that returns from an ejection is not new; a ring knows nothing of warming up."""
        self.serve(endpoints(2), warmup=Warmup(5))
        self.clock.advance(30)
        self.answer(500, 1)
        self.turn()
        self.assertEqual(self.picks(10), {2: 10})
        self.clock.pump([1] * 10)
        self.turn()
        self.assertEqual(self.picks(100), {1: 50, 2: 50})

    def test_failure(self) -> None:
        """A strategy that fails to warm up keeps the balancer that serves, and is asked again at the next change."""
        failing = Failing()
        self.serve(endpoints(2), failing, warmup=Warmup(5))
        failing.broken = True
        self.answer(500, 1)
        self.turn()
        self.assertEqual(self.picked(), {1, 2})
        failing.broken = False
        self.clock.pump([1] * 10)
        self.answer(500, 2)
        self.turn()
        self.assertEqual(self.picked(), {1})
        self.assertTrue(self.flushLoggedErrors(RuntimeError))

    def test_by_load(self) -> None:
        """The factor goes with the load where requests in flight count."""
        builder = LeastRequestBuilder(lambda bits: 0)
        self.serve(endpoints(1), builder, None, warmup=Warmup(10))
        self.clock.advance(60)
        self.serve(endpoints(2), builder, None, warmup=Warmup(10))
        pick = self.state.pick_with_load
        found = [pick(0, 0, lambda endpoint: 1 if endpoint.port == 1 else 0).port for _ in range(600)]
        self.assertApproximates(found.count(2) / 600, 0.1 / 0.6, 0.01)


class RetirementTests(HealthCase):
    def test_build_under_way(self) -> None:
        """A cluster that goes while its table is built, and is out of date already, builds no other one."""
        self.in_threads()
        self.serve(endpoints(3), RingHashBuilder())
        self.answer(500, 1)
        self.turn()
        self.answer(500, 2)
        self.upstreams.update({})
        self.finish()
        self.assertEqual((self.threads, self.clock.getDelayedCalls()), ([], []))


class DescriptionTests(HealthCase):
    def status(self) -> tuple[Loads, list[EndpointStatus]]:
        loads, endpoints = look(self.state)
        return loads, list(endpoints)

    def test_states(self) -> None:
        """Each endpoint's health is told with reason and time, and the loads of the priorities."""
        members = (*endpoints(2), Endpoint("10.0.0.1", 3, locality="us"))
        builder = AvailableBuilder(ROTATION, Localities(by_distance=True), 0)
        self.clock.advance(100)
        self.serve(members, builder)
        self.clock.advance(5)
        self.answer(500, 1)
        self.clock.advance(2)
        loads, found = self.status()
        first, second, third = found
        self.assertEqual((self.state.name, loads.healthy), (NAME, (70, 30)))
        self.assertEqual((first.key, first.health, first.reason), ("10.0.0.1:1", Health.UNHEALTHY, "consecutive_5xx"))
        self.assertEqual((first.since, first.until, first.ejections), (105, 115, 1))
        self.assertEqual((second.health, second.reason, second.since, second.until), (Health.HEALTHY, "", 100, None))
        self.assertEqual([it.priority for it in found], [0, 0, 1])
        self.assertEqual(third.active, 0)
        self.clock.pump([1] * 10)
        back = self.status()[1][0]
        self.assertEqual((back.health, back.reason, back.until), (Health.HEALTHY, "consecutive_5xx", None))
        self.assertEqual(back.since, 115)

    def test_plain(self) -> None:
        """A cluster without any rule has one priority, and all of it is healthy."""
        self.serve(endpoints(2), outliers=None)
        _, found = self.status()
        self.assertEqual({(it.priority, it.health) for it in found}, {(0, Health.HEALTHY)})

    def test_left_out(self) -> None:
        """One that gets no requests because of its locality has no priority."""
        members = (Endpoint("10.0.0.1", 1, locality="eu"), Endpoint("10.0.0.1", 2, locality="us"))
        self.serve(members, AvailableBuilder(ROTATION, Localities(weighted=True, shares=(("eu", 100),))))
        self.assertEqual([it.priority for it in self.status()[1]], [0, None])
