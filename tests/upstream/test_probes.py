"""Which endpoints are checked when, and what is told of it: a simulation on a clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Cluster, Endpoint
from meshproxy.policies import HealthCheck
from meshproxy.strategies.round_robin import RoundRobinBuilder
from meshproxy.upstream.checking import ProbeFailed, Verdicts
from meshproxy.upstream.probes import MOST_AT_ONCE, HealthProbes

NAME = "outbound|80||app.test"
CHECK = HealthCheck(interval=10, jitter=0, timeout=2, unhealthy_threshold=2, healthy_threshold=2)
ROTATION = RoundRobinBuilder(lambda bits: 0)


def cluster(ports: Sequence[int], check: HealthCheck | None = CHECK, name: str = NAME) -> Cluster:
    members = tuple(Endpoint("10.0.0.1", port) for port in ports)
    return Cluster(name, members, ROTATION, ROTATION.build(members), health_check=check)


def key(port: int) -> str:
    return f"10.0.0.1:{port}"


class ProbesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.under_way: list[tuple[int, HealthCheck, Deferred[None]]] = []
        self.cancelled: list[int] = []
        self.told: list[Verdicts] = []
        self.drawn = 0.999999
        self.probes = HealthProbes(self.clock, self.probe, self.told.extend, lambda: self.drawn)

    def probe(self, endpoint: Endpoint, check: HealthCheck) -> Deferred[None]:
        done: Deferred[None] = Deferred(lambda _: self.cancelled.append(endpoint.port))
        self.under_way.append((endpoint.port, check, done))
        return done

    def follow(self, *clusters: Cluster) -> None:
        self.probes.follow({it.name: it for it in clusters})

    @property
    def asked(self) -> list[int]:
        """The ports of the checks that are under way."""
        return [port for port, _, _ in self.under_way]

    def end(self, failing: Any = None, why: str = "refused") -> None:
        """All checks that are under way end, those of some ports badly; then the reactor has a turn."""
        under_way, self.under_way = self.under_way, []
        for port, _, done in under_way:
            if port in (failing or ()):
                done.errback(ProbeFailed(why))
            else:
                done.callback(None)
        self.clock.advance(0)


class PaceTests(ProbesTestCase):
    def test_interval(self) -> None:
        """New endpoints are checked at once, then after a part of an interval, then an interval after each check."""
        self.drawn = 0.25
        self.follow(cluster([1, 2]))
        self.assertEqual(self.asked, [1, 2])
        self.clock.advance(1)
        self.end()
        self.clock.advance(2.4)
        self.assertEqual(self.asked, [])
        self.clock.advance(0.1)
        self.assertEqual(self.asked, [1, 2])
        self.clock.advance(1)
        self.end()
        self.clock.advance(9.9)
        self.assertEqual(self.asked, [])
        self.clock.advance(0.1)
        self.assertEqual(self.asked, [1, 2])

    def test_jitter(self) -> None:
        """An interval is longer by a random part of what the configuration allows."""
        self.follow(cluster([1], evolve(CHECK, jitter=0.5)))
        self.end()
        self.drawn = 0.5
        self.clock.advance(10)
        self.end()
        self.clock.advance(12.4)
        self.assertEqual(self.asked, [])
        self.clock.advance(0.1)
        self.assertEqual(self.asked, [1])

    def test_timeout(self) -> None:
        """A check that takes too long is cancelled and counts as failed."""
        self.follow(cluster([1]))
        self.clock.advance(2)
        self.clock.advance(0)
        self.assertEqual(self.cancelled, [1])
        self.assertEqual(self.told[-1].failing, {key(1): "timeout"})

    def test_ending_at_once(self) -> None:
        """Checks that end as they begin are made one after the other, however many there are."""
        self.probes = HealthProbes(self.clock, lambda *_: fail(ProbeFailed("none")), self.told.extend, lambda: 0.5)
        self.follow(cluster(range(1, 2001)))
        self.clock.advance(0)
        self.assertEqual((self.probes.failed, len(self.told[-1].failing)), (2000, 2000))

    def test_not_all_at_once(self) -> None:
        """So many are under way at once and no more; the next begins when one ends."""
        self.follow(cluster(range(1, MOST_AT_ONCE + 11)))
        self.assertEqual(len(self.under_way), MOST_AT_ONCE)
        for _, _, done in self.under_way[:4]:
            done.callback(None)
        self.assertEqual(len(self.under_way), MOST_AT_ONCE + 4)
        self.assertEqual(sorted(self.asked), list(range(1, MOST_AT_ONCE + 5)))

    def test_room_of_those_that_are_gone(self) -> None:
        """What is due begins when a cluster whose checks took all the room is checked no more."""
        self.follow(cluster([1000], name="a"), cluster(range(MOST_AT_ONCE), name="b"))
        self.assertEqual(len(self.under_way), MOST_AT_ONCE)
        other = cluster([2000], name="c")
        self.follow(cluster([1000], name="a"), other, cluster(range(MOST_AT_ONCE), None, "b"))
        self.assertEqual(self.asked[MOST_AT_ONCE:], [2000])

    def test_no_storm_on_reload(self) -> None:
        """A reload has only endpoints checked that are new; the others keep their pace and what is known of them."""
        self.follow(cluster([1, 2]))
        self.end(failing=[2])
        self.clock.advance(4)
        self.follow(cluster([1, 2, 3], evolve(CHECK, timeout=1)))
        self.assertEqual(self.asked, [3])
        self.end()
        self.assertEqual(self.told[-1], Verdicts(NAME, frozenset({key(1), key(3)}), {key(2): "refused"}))
        self.clock.advance(6)
        self.assertEqual(self.asked, [1, 2])
        self.assertEqual({check.timeout for _, check, _ in self.under_way}, {1})


class ChangeTests(ProbesTestCase):
    def test_told_once_a_turn(self) -> None:
        """All that a turn brings is told in one go, and what changes nothing is not told."""
        self.follow(cluster([1, 2, 3]))
        self.end(failing=[2])
        self.assertEqual(self.told[-1:], [Verdicts(NAME, frozenset({key(1), key(3)}), {key(2): "refused"})])
        count = len(self.told)
        self.clock.advance(10)
        self.end(failing=[2, 3])
        self.assertEqual(len(self.told), count)
        self.clock.advance(10)
        self.end(failing=[3])
        self.assertEqual(self.told[-1].failing, {key(2): "refused", key(3): "refused"})
        self.clock.advance(10)
        self.end(failing=[3])
        self.assertEqual(self.told[-1].failing, {key(3): "refused"})

    def test_endpoint_gone(self) -> None:
        """An endpoint that is gone is not checked any more; one under way is cancelled; if it returns, it is new."""
        self.follow(cluster([1, 2]))
        self.end()
        self.clock.advance(10)
        self.follow(cluster([2]))
        self.assertEqual(self.cancelled, [1])
        self.clock.advance(0)
        self.assertEqual(self.told[-1].passing, {key(2)})
        self.follow(cluster([1, 2]))
        self.assertEqual(self.asked, [1, 2, 1])

    def test_cluster_gone(self) -> None:
        """Nothing is left of a cluster that is gone or checks its endpoints no more, nor at the end."""
        self.follow(cluster([1]), cluster([1], name="other"), cluster([1], name="third"))
        self.end()
        self.follow(cluster([1]), cluster([1], None, "other"))
        self.assertEqual([it.cluster for it in self.probes.verdicts()], [NAME])
        self.probes.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.probes.verdicts(), [])

    def test_room_after_cancelling(self) -> None:
        """Checks that were cancelled leave room for others."""
        self.follow(cluster(range(1, MOST_AT_ONCE + 1)))
        self.follow(cluster(range(1001, 1001 + MOST_AT_ONCE)))
        self.assertEqual(len(self.cancelled), MOST_AT_ONCE)
        self.assertEqual(self.asked[MOST_AT_ONCE:], list(range(1001, 1001 + MOST_AT_ONCE)))

    def test_figures(self) -> None:
        """Checks, changes and what fails now are counted; that something is healthy from the start is no change."""
        self.follow(cluster([1, 2]))
        self.end(failing=[2])
        self.clock.advance(10)
        self.end()
        self.assertEqual((self.probes.passed, self.probes.failed, self.probes.unhealthy), (3, 1, 1))
        self.clock.advance(10)
        self.end()
        self.assertEqual((self.probes.changes, self.probes.unhealthy), ({True: 1, False: 0}, 0))

    def test_log(self) -> None:
        """A failure and a recovery are a line each, with the reason; one that is well from the start is none."""
        with capturedLogs() as logs:
            self.follow(cluster([1, 2]))
            self.end(failing=[2], why="status 503")
            for _ in range(2):
                self.clock.advance(10)
                self.end()
        self.assertEqual([event["key"] for event in logs], [key(2), key(2)])
        self.assertEqual([event["log_level"] for event in logs], [LogLevel.warn, LogLevel.info])
        self.assertEqual(logs[0]["reason"], "status 503")

    def test_any_error(self) -> None:
        """Whatever a check fails with, it has failed."""
        self.follow(cluster([1]))
        self.under_way.pop()[2].errback(ZeroDivisionError("oh"))
        self.clock.advance(0)
        self.assertEqual(self.told[-1].failing, {key(1): "oh"})
