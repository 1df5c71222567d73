"""A cluster is served by the balancer that the health of its endpoints comes to."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from meshproxy.availability import AvailableBuilder, Health
from meshproxy.model import Endpoint
from meshproxy.policies import Localities
from meshproxy.priority import Loads
from meshproxy.strategies.least_request import LeastRequestBuilder
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.upstream.describing import EndpointStatus, look
from meshproxy.upstream.ejections import Ejection
from meshproxy.upstream.health import TABLE_SECONDS
from meshproxy.upstream.hosts import Upstreams
from meshproxy.upstream.outliers import Reason
from tests.upstream.served import AT_ONCE, NAME, ROTATION, HealthCase, endpoints


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
