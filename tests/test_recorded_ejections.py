"""Ejections recorded on a running Envoy are ours too: how many, for how long, and where requests go instead."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.availability import AvailableBuilder
from meshproxy.hashing import xxh64
from meshproxy.model import Cluster, Endpoint
from meshproxy.policies import OutlierDetection
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.upstream.health import TABLE_SECONDS
from meshproxy.upstream.hosts import Upstreams
from tests.recorded import cluster, hosts_of
from tests.vectors import load


class EjectionTests(SynchronousTestCase):
    """Each observation on a cluster of its own, with the settings with which it was recorded."""

    def observe(self, name: str) -> Any:
        """An observation; and the cluster that it is about begins to be served."""
        (seen,) = [it for it in load("live-behaviour")["observations"] if it["name"] == f"outlier/{name}"]
        settings = cluster(seen["virtual_host"])
        recorded = settings["outlier_detection"]
        default = OutlierDetection()
        policy = OutlierDetection(
            consecutive_5xx=recorded["consecutive_5xx"],
            interval=float(recorded.get("interval", "10s").rstrip("s")),
            base_ejection_time=float(recorded.get("base_ejection_time", "30s").rstrip("s")),
            max_ejection_percent=recorded.get("max_ejection_percent", default.max_ejection_percent),
        )
        addresses = [host.key.rpartition(":") for host in hosts_of(seen["virtual_host"])]
        hosts = tuple(Endpoint(address, int(port)) for address, _, port in addresses)
        builder = AvailableBuilder(
            RingHashBuilder(), panic_threshold=settings["common_lb_config"]["healthy_panic_threshold"]["value"]
        )
        self.clock = Clock()
        self.upstreams = Upstreams(self.clock, lambda pool: None)
        self.upstreams.update({"c": Cluster("c", hosts, builder, builder.build(hosts), outliers=policy)})
        self.state: Any = self.upstreams.clusters["c"]
        return seen

    def key_of(self, address: str) -> int:
        """The hash of some key that leads to an endpoint while all are healthy."""
        keys = (xxh64(b"k%d" % number) for number in range(1000))
        return next(key for key in keys if self.state.cluster.balancer.pick(key, 0).address == address)

    def strike(self, key: int, *statuses: int) -> list[str]:
        """The endpoints that requests with a key come to, and that answer with these statuses."""
        found = []
        for status in statuses:
            endpoint = self.state.balancer.pick(key, 0)
            found.append(endpoint.key)
            self.state.host(endpoint).monitor.responded(status)
            self.clock.advance(0)
        return found

    def ejected(self) -> int:
        active: int = self.upstreams.ejections.active
        return active

    def test_all_are_here(self) -> None:
        """These are all the observations."""
        names = [it["name"] for it in load("live-behaviour")["observations"] if it["name"].startswith("outlier/")]
        self.assertEqual(len(names), 8)

    def test_default_share(self) -> None:
        """With the default of 10 percent none of four hosts is ejected, however often one has failed."""
        seen = self.observe("default 10% of 4 hosts ejects nobody")
        failures = seen["given"]["detected"] * self.state.cluster.outliers.consecutive_5xx
        self.strike(self.key_of("127.0.77.1"), *[500] * failures)
        self.assertEqual([self.ejected(), sum(self.upstreams.ejections.by_reason.values())], seen["observed"])
        self.assertEqual(self.upstreams.ejections.spared, seen["given"]["detected"])

    def test_success(self) -> None:
        """A success in between ends a row."""
        seen = self.observe("success resets the counter")
        self.strike(self.key_of("127.0.77.1"), 500, 500, 200, 500, 500)
        self.assertEqual(self.ejected(), seen["observed"])

    def test_left_the_ring(self) -> None:
        """The key of an ejected host leads to another one, the recorded one for one of the hosts."""
        seen = self.observe("ejected host leaves the ring")
        others = set()
        for number in range(300):
            self.observe("ejected host leaves the ring")
            key = xxh64(b"u%d" % number)
            struck = self.strike(key, 500, 500, 500)
            self.assertEqual(len(set(struck)), 1)
            found = self.state.balancer.pick(key, 0).key
            self.assertNotIn(found, struck)
            others.add(found)
        self.assertIn(seen["observed"][0], others)
        self.assertEqual(self.ejected(), seen["observed"][1])

    def test_growing_time(self) -> None:
        """Each ejection lasts as many base times as there were, up to the tick after that, as was measured."""
        seen = self.observe("ejection time grows by one base time each")
        given = seen["given"]
        key = self.key_of("127.0.77.1")
        host = self.state.hosts[self.state.cluster.balancer.pick(key, 0)]
        for number, measured in enumerate(given["seconds"], 1):
            for _ in range(3):
                host.monitor.responded(500)
            begun = self.clock.seconds()
            while host.is_ejected:
                self.clock.advance(0.01)
            lasted = self.clock.seconds() - begun
            for seconds in (lasted, measured):
                self.assertTrue(number * given["base"] - 0.02 <= seconds <= number * given["base"] + given["interval"])
        self.assertEqual(seen["observed"], [True] * 4)

    def test_half(self) -> None:
        """With 50 percent two of four hosts are ejected, and the third one that fails is not."""
        seen = self.observe("50% of 4 hosts")
        for number in range(3):
            strikes = load("live-behaviour")["observations"]
            (recorded,) = [it["observed"] for it in strikes if it["name"] == f"outlier/50% strikes {number}"]
            keys = (xxh64(b"s%d" % count) for count in range(2000))
            address = recorded[0].rpartition(":")[0]
            key = next(key for key in keys if self.state.balancer.pick(key, 0).address == address)
            self.assertEqual(self.strike(key, 500, 500), recorded)
            self.clock.advance(TABLE_SECONDS)
        self.assertEqual([self.ejected(), self.upstreams.ejections.spared], seen["observed"])
