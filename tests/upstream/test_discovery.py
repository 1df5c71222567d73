"""Tests for clusters whose endpoints are found by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.names.error import DNSServerError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from meshproxy.interfaces import ILoadBalancer, ILoadBalancerBuilder
from meshproxy.model import Cluster, Endpoint
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.upstream.building import Builds
from meshproxy.upstream.discovery import FIRST_ANSWER_SECONDS, Discovery
from meshproxy.upstream.hosts import Upstreams
from tests.upstream.answers import FakeResolver, record

RING = RingHashBuilder()


def cluster(name: str, *targets: Endpoint, logical: bool = False, builder: ILoadBalancerBuilder = RING) -> Cluster:
    return Cluster(name, (), builder, builder.build(()), targets=targets, logical=logical)


def at(name: str, port: int = 80, **more: Any) -> Endpoint:
    return Endpoint(f"{name}.test", port, **more)


@implementer(ILoadBalancerBuilder)
class Failing:
    """Builds nothing but what is empty."""

    def build(self, endpoints: Sequence[Endpoint]) -> ILoadBalancer:
        if endpoints:
            raise RuntimeError("no")
        return RING.build(endpoints)


class Threads:
    """Runs what a thread would, at once or when it is told to."""

    def __init__(self) -> None:
        self.held = False
        self.waiting: list[tuple[Deferred[Any], Callable[..., Any], Any]] = []

    def run(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        if not self.held:
            return maybeDeferred(function, *args)
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, function, args))
        return done

    def finish(self) -> None:
        done, function, args = self.waiting.pop(0)
        done.callback(function(*args))


class DiscoveryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.resolver = FakeResolver(a=["10.0.0.2", "10.0.0.1"], b=["10.0.1.1"])
        self.threads = Threads()
        self.upstreams = Upstreams(self.clock, lambda pool: None)
        self.replaced: list[Cluster] = []

        def replace(found: Cluster) -> None:
            self.replaced.append(found)
            self.upstreams.replace(found)

        self.discovery = Discovery(self.clock, self.resolver, Builds(self.threads.run), replace, lambda address: True)
        self.upstreams.follow = self.discovery.follow

    def install(self, *clusters: Cluster) -> None:
        self.upstreams.update({it.name: it for it in clusters})

    def keys(self, name: str = "c") -> list[str]:
        return [endpoint.key for endpoint in self.upstreams.clusters[name].cluster.endpoints]


class EndpointTests(DiscoveryTestCase):
    def test_addresses_for_names(self) -> None:
        """A target becomes one endpoint for each address, sorted, with all else that it has; the balancer has them."""
        target = at("a", 81, weight=3, labels=(("v", "1"),), locality="z")
        self.install(cluster("c", target))
        found = self.upstreams.clusters["c"].cluster
        self.assertEqual(found.endpoints, (evolve(target, address="10.0.0.1"), evolve(target, address="10.0.0.2")))
        self.assertEqual(set(found.balancer.candidates(1)), set(found.endpoints))
        self.assertEqual(len(self.upstreams.clusters["c"].hosts), 2)

    def test_order(self) -> None:
        """Targets keep their order; addresses and sockets among them are taken as they are; none counts twice."""
        self.resolver.answers["b.test"] = ["10.0.0.1", "FD00::1"]
        self.install(cluster("c", at("b"), Endpoint("10.0.9.9", 1), Endpoint("/run/s", 0), at("a")))
        expected = ["10.0.0.1:80", "[fd00::1]:80", "10.0.9.9:1", "/run/s", "10.0.0.2:80"]
        self.assertEqual(self.keys(), expected)

    def test_logical(self) -> None:
        """Of a logical cluster the first answer is the endpoint."""
        self.install(cluster("c", at("a"), logical=True))
        self.assertEqual(self.keys(), ["10.0.0.2:80"])

    def test_logical_host_stays(self) -> None:
        """When the first answer is another, the host stays the same one, with its connections, at the new address."""
        self.install(cluster("c", at("a"), logical=True))
        (host,) = self.upstreams.clusters["c"].hosts.values()
        host.active = 2
        self.resolver.answers["a.test"] = ["10.0.0.1", "10.0.0.2"]
        self.clock.advance(30)
        (moved,) = self.upstreams.clusters["c"].hosts.values()
        self.assertIs(moved, host)
        self.assertEqual(
            (host.address, host.key, host.log_name, host.active), ("10.0.0.1", "10.0.0.1:80", b"10.0.0.1:80", 2)
        )
        self.assertFalse(host.pool.retired)

    def test_static_clusters(self) -> None:
        """A cluster without targets is served as it is."""
        static = Cluster("s", (Endpoint("10.0.0.1", 80),), RING, RING.build(()))
        self.install(static)
        self.assertIs(self.upstreams.clusters["s"].cluster, static)
        self.assertEqual(self.resolver.asked, [])

    def test_no_answer(self) -> None:
        """A name without an answer has no endpoint; what is served is the cluster of the snapshot."""
        self.install(cluster("c", at("x")))
        self.assertEqual(self.keys(), [])
        self.assertEqual(self.replaced, [])


class ChangeTests(DiscoveryTestCase):
    def test_change(self) -> None:
        """Hosts that stay keep their state when others come and go; the others are retired."""
        self.install(cluster("c", at("a")))
        before = dict(self.upstreams.clusters["c"].hosts)
        self.resolver.answers["a.test"] = ["10.0.0.3", "10.0.0.2"]
        self.clock.advance(30)
        after = self.upstreams.clusters["c"].hosts
        self.assertEqual(self.keys(), ["10.0.0.2:80", "10.0.0.3:80"])
        stays = at("a")
        self.assertIs(after[evolve(stays, address="10.0.0.2")], before[evolve(stays, address="10.0.0.2")])
        self.assertTrue(before[evolve(stays, address="10.0.0.1")].pool.retired)

    def test_other_order(self) -> None:
        """The same addresses in another order change nothing."""
        self.install(cluster("c", at("a")))
        built = len(self.replaced)
        self.resolver.answers["a.test"] = ["10.0.0.1", "10.0.0.2"]
        self.clock.advance(30)
        self.assertEqual(len(self.resolver.asked), 2)
        self.assertEqual(len(self.replaced), built)

    def test_failure(self) -> None:
        """A name that is not found any more keeps its endpoints."""
        self.install(cluster("c", at("a")))
        self.resolver.answers["a.test"] = DNSServerError()
        self.clock.advance(30)
        self.assertEqual(self.keys(), ["10.0.0.1:80", "10.0.0.2:80"])

    def test_once_in_a_second(self) -> None:
        """However fast answers change, a cluster is rebuilt once in a second, with what is known by then."""
        self.resolver.answers["a.test"] = [record("a.test", "10.0.0.1", 1)]
        self.resolver.answers["b.test"] = [record("b.test", "10.0.1.1", 1)]
        self.install(cluster("c", at("a"), at("b")))
        self.clock.advance(0.5)
        self.install(cluster("d", at("a")), self.discovery._followed["c"].cluster)
        built = [it.name for it in self.replaced]
        for number in range(2, 6):
            self.resolver.answers["a.test"] = [record("a.test", f"10.0.0.{number}", 1)]
            self.resolver.answers["b.test"] = [record("b.test", f"10.0.1.{number}", 1)]
            self.clock.pump([0.25] * 4)
        self.assertLessEqual([it.name for it in self.replaced].count("c") - built.count("c"), 5)
        self.clock.pump([0.5] * 4)
        self.assertEqual(self.keys(), ["10.0.0.5:80", "10.0.1.5:80"])

    def test_first_build_waits(self) -> None:
        """The first build waits a second for names that are not answered yet, not longer."""
        self.resolver.held = True
        self.install(cluster("c", at("a"), at("b")))
        self.resolver.release("a.test")
        self.assertEqual(self.keys(), [])
        self.clock.advance(1)
        self.assertEqual(self.keys(), ["10.0.0.1:80", "10.0.0.2:80"])
        self.resolver.release("b.test")
        self.assertEqual(len(self.replaced), 1)
        self.clock.advance(1)
        self.assertEqual(self.keys(), ["10.0.0.1:80", "10.0.0.2:80", "10.0.1.1:80"])

    def test_built_in_a_thread(self) -> None:
        """Until the new balancer is there the old one serves; a change meanwhile is built next."""
        self.install(cluster("c", at("a")))
        self.threads.held = True
        self.resolver.answers["a.test"] = [record("a.test", "10.0.0.3", 2)]
        self.clock.advance(30)
        self.assertEqual(self.keys(), ["10.0.0.1:80", "10.0.0.2:80"])
        self.resolver.answers["a.test"] = ["10.0.0.4"]
        self.clock.advance(2)
        self.assertEqual(len(self.threads.waiting), 1)
        self.threads.finish()
        self.assertEqual(self.keys(), ["10.0.0.3:80"])
        self.threads.finish()
        self.assertEqual(self.keys(), ["10.0.0.4:80"])

    def test_strategy_fails(self) -> None:
        """A strategy that cannot build for the new endpoints is logged, and the old ones are kept."""
        self.install(cluster("c", at("a"), builder=Failing()))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.keys(), [])
        self.assertIsNone(self.upstreams.clusters["c"].cluster.balancer.pick(0, 0))


class ReloadTests(DiscoveryTestCase):
    def test_same_cluster(self) -> None:
        """A cluster that a reload leaves as it is keeps what is served, and nothing is asked anew."""
        first = cluster("c", at("a"))
        self.install(first)
        served = self.upstreams.clusters["c"].cluster
        self.install(first)
        self.assertIs(self.upstreams.clusters["c"].cluster, served)
        self.assertEqual(len(self.resolver.asked), 1)

    def test_prepared(self) -> None:
        """What is new in a snapshot is looked up before it is installed, so it has its endpoints from the start."""
        self.install(cluster("c", at("a")))
        self.resolver.held = True
        new = cluster("d", at("b"))
        prepared = self.discovery.prepare({"d": new})
        self.assertNoResult(prepared)
        self.resolver.release()
        self.successResultOf(prepared)
        self.assertEqual(list(self.upstreams.clusters), ["c"])
        self.install(new)
        self.assertEqual(self.keys("d"), ["10.0.1.1:80"])

    def test_changed_cluster(self) -> None:
        """A cluster that is configured anew is prepared with the answers that are known; nothing is asked."""
        self.install(cluster("c", at("a")))
        new = cluster("c", at("a", 81))
        self.successResultOf(self.discovery.prepare({"c": new}))
        self.assertEqual(self.keys(), ["10.0.0.1:80", "10.0.0.2:80"])
        self.install(new)
        self.assertEqual(self.keys(), ["10.0.0.1:81", "10.0.0.2:81"])
        self.assertEqual(self.resolver.asked, ["a.test"])

    def test_late(self) -> None:
        """Preparing gives up after some seconds; the endpoints come when the answer does."""
        self.resolver.held = True
        new = cluster("c", at("a"))
        prepared = self.discovery.prepare({"c": new})
        self.clock.advance(FIRST_ANSWER_SECONDS)
        self.successResultOf(prepared)
        self.install(new)
        self.assertEqual(self.keys(), [])
        self.resolver.release()
        self.clock.advance(1)
        self.assertEqual(self.keys(), ["10.0.0.1:80", "10.0.0.2:80"])

    def test_failed_name_is_no_reason_to_wait(self) -> None:
        """A name that is not found is an outcome too."""
        self.successResultOf(self.discovery.prepare({"c": cluster("c", at("x"))}))

    def test_prepared_in_vain(self) -> None:
        """What was prepared and never installed is forgotten with the next preparation."""
        self.resolver.held = True
        self.discovery.prepare({"c": cluster("c", at("a"))})
        self.discovery.prepare({})
        self.resolver.release()
        self.clock.pump([10] * 10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answered(self) -> None:
        """``answered`` waits for what is installed, for some seconds at most."""
        self.resolver.held = True
        self.install(cluster("c", at("a"), at("b")))
        answered, late = self.discovery.answered(), self.discovery.answered()
        self.resolver.release("a.test")
        self.clock.advance(2)
        self.assertNoResult(answered)
        self.resolver.release("b.test")
        self.clock.advance(1)
        self.successResultOf(answered)
        self.successResultOf(late)
        self.resolver.held = True
        self.install(cluster("d", at("c")))
        answered = self.discovery.answered()
        self.clock.advance(FIRST_ANSWER_SECONDS)
        self.successResultOf(answered)

    def test_cluster_is_gone(self) -> None:
        """Names of clusters that are gone are not looked up any more."""
        self.install(cluster("c", at("a")))
        self.install()
        self.clock.pump([60, 60])
        self.assertEqual(self.resolver.asked, ["a.test"])

    def test_stop(self) -> None:
        """After a stop nothing is looked up, nobody waits, and what is served stays."""
        self.resolver.held = True
        self.install(cluster("c", at("a")))
        waiting = self.discovery.prepare({"d": cluster("d", at("b"))})
        self.discovery.stop()
        self.successResultOf(waiting)
        self.resolver.release()
        self.clock.pump([60, 60])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(list(self.upstreams.clusters), ["c"])
