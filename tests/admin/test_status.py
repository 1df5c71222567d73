"""The status page: what a process tells of itself, that of several processes as one, and that it holds nobody up."""

from __future__ import annotations

import json
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.admin import clusterstatus
from meshproxy.admin import shares as shares_module
from meshproxy.admin.clusterstatus import cluster_values, merged
from meshproxy.admin.recent import finish
from meshproxy.admin.shares import KnownShares
from meshproxy.admin.turns import TURN_SECONDS, Turns
from meshproxy.errors import ConfigError, Diagnostic, Location
from meshproxy.http import responsereader
from meshproxy.model import Cluster, Endpoint
from meshproxy.policies import Drain, OutlierDetection
from meshproxy.strategies.maglev import MaglevBuilder
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.upstream.hosts import Upstreams
from meshproxy.upstream.recent import UNITS, bucket_of
from tests.admin.test_pages import PagesTestCase
from tests.fakes import CLUSTER, CountedCookie, FixedBalancer, Wire, cluster, endpoints, route, snapshot
from tests.serving import snapshot as listening

GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
AT_ONCE = OutlierDetection(consecutive_5xx=1, base_ejection_time=10, max_ejection_percent=100)


def ringed(count: int = 3, **more: Any) -> Cluster:
    members = tuple(Endpoint(f"192.0.2.{n}", 8080, n, (("v", "1"),), "eu/a") for n in range(1, count + 1))
    return Cluster(CLUSTER, members, RingHashBuilder(), RingHashBuilder().build(members), **more)


class ValueTestCase(SynchronousTestCase):
    def told(self, wire: Wire, part: str = "", shares: KnownShares | None = None) -> list[dict[str, Any]]:
        """The clusters, at 1,000,000 seconds of Unix time."""
        wanted = cluster_values(wire.gateway, shares or KnownShares(), 1_000_000, part, Turns(wire.reactor))
        values: list[dict[str, Any]] = self.successResultOf(Deferred.fromCoroutine(wanted))
        json.dumps(values)
        return values


class ClusterTests(ValueTestCase):
    def test_endpoint(self) -> None:
        """An endpoint is told with all that was configured, and what share of the hashes it has."""
        (found,) = self.told(Wire(snapshot(ringed())))
        first = found["endpoints"][0]
        self.assertEqual(first["address"], "192.0.2.1:8080")
        self.assertEqual((first["weight"], first["labels"], first["locality"]), (1, {"v": "1"}, "eu/a"))
        self.assertEqual((first["state"], first["states"], first["priority"]), ("healthy", {"healthy": 1}, 0))
        shares = [endpoint["share"] for endpoint in found["endpoints"]]
        self.assertAlmostEqual(sum(shares), 1)
        self.assertEqual(sorted(shares), shares, "shares follow the weights")
        self.assertEqual(found["priorities"], [{"healthy_load": 100, "degraded_load": 0, "panic": False}])
        self.assertEqual((found["host"], found["subset"]), ("shop.example", ""))

    def test_without_hash(self) -> None:
        """Where no hash decides there are no shares."""
        (found,) = self.told(Wire())
        self.assertIsNone(found["endpoints"][0]["share"])

    def test_counts(self) -> None:
        """Requests are counted for the endpoint that they were sent to, with those that it answered 5xx as errors."""
        wire = Wire()
        client, endpoint = wire.pair(GET)
        (found,) = self.told(wire)
        self.assertEqual([found["endpoints"][0][name] for name in ("active", "requests", "errors")], [1, 1, 0])
        endpoint.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        for _ in range(2):
            client.send(GET)
            endpoint.send(b"HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n")
        (found,) = self.told(wire)
        self.assertEqual([found["endpoints"][0][name] for name in ("active", "requests", "errors")], [0, 3, 2])
        self.assertEqual((found["endpoints"][0]["connections"], found["endpoints"][0]["idle"]), (1, 1))

    def test_connection_failure(self) -> None:
        """A connection that is refused or breaks is an error; what the gateway answers itself is not one more."""
        wire = Wire()
        wire.client().send(GET)
        wire.refuse()
        _, endpoint = wire.pair(GET)
        endpoint.reset()
        (found,) = self.told(wire)
        self.assertEqual([found["endpoints"][0][name] for name in ("requests", "errors")], [1, 2])

    def test_ejection(self) -> None:
        """An ejected endpoint says why, since when and until when, in Unix time."""
        wire = Wire(snapshot(ringed(outliers=AT_ONCE)))
        wire.reactor.advance(100)
        (monitor, *_) = (host.monitor for host in wire.gateway.upstreams.clusters[CLUSTER].hosts.values())
        assert monitor is not None
        monitor.responded(500)
        wire.reactor.advance(4)
        first = self.told(wire)[0]["endpoints"][0]
        self.assertEqual((first["state"], first["reason"]), ("unhealthy", "consecutive_5xx"))
        self.assertEqual((first["since"], first["until"], first["ejections"]), (999_996, 1_000_006, 1))
        self.assertEqual(first["share"], 0)

    def test_part_of_a_name(self) -> None:
        """Only clusters that were asked for are told, and in order of their names."""
        wire = Wire(snapshot(cluster(name="b"), cluster(name="a"), cluster(name="ab")))
        self.assertEqual([it["name"] for it in self.told(wire)], ["a", "ab", "b"])
        self.assertEqual([it["name"] for it in self.told(wire, "b")], ["ab", "b"])

    def test_bound(self) -> None:
        """Endpoints beyond the bound are counted, so a page has an end."""
        wire = Wire(snapshot(cluster(5, name="a"), cluster(5, name="b")))
        self.patch(clusterstatus, "MOST_ENDPOINTS", 7)
        first, second = self.told(wire)
        self.assertEqual((len(first["endpoints"]), first["endpoints_left_out"]), (5, 0))
        self.assertEqual((len(second["endpoints"]), second["endpoints_left_out"]), (2, 3))


class RecentTests(ValueTestCase):
    def finished(self, *processes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = merged(json.loads(json.dumps(processes)))
        self.successResultOf(Deferred.fromCoroutine(finish(found, Turns(Clock()))))
        return found

    def keyed(self, *hashes: int) -> Wire:
        """A gateway of two endpoints after requests with these hashes, each of which was answered."""
        key = CountedCookie()
        shop = cluster(2, balancer=FixedBalancer(endpoints(2), uses_hash=True))
        wire = Wire(snapshot(shop, routes=[route(hash_policy=(key,))]))
        for key.hash in hashes:
            _, endpoint = wire.pair(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            endpoint.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        return wire

    def test_sessions(self) -> None:
        """Sessions are counted at the endpoint that serves them, over all processes, each of them once."""
        told = [self.told(wire) for wire in (self.keyed(2, 3, 5, 5), self.keyed(2, 4, 7))]
        (found,) = self.finished(*told)
        self.assertEqual([endpoint["sessions"] for endpoint in found["endpoints"]], [2, 3])
        self.assertEqual(found["sessions"], 5)

    def test_without_key(self) -> None:
        """A request without a key is no session; where no hash decides there are none to count."""
        (found,) = self.finished(self.told(Wire(snapshot(ringed()))))
        self.assertEqual((found["sessions"], found["endpoints"][0]["sessions"]), (0, 0))
        (found,) = self.finished(self.told(Wire()))
        self.assertEqual((found["sessions"], found["endpoints"][0]["sessions"]), (None, None))

    def test_times(self) -> None:
        """How long answers took is told of all processes together; None without answers. Nothing else is left over."""
        told = [self.told(self.keyed(0)) for _ in range(2)]
        told[0][0]["endpoints"][0]["_times"] = {str(bucket_of(UNITS)): 98}
        told[1][0]["endpoints"][0]["_times"] = {str(bucket_of(2 * UNITS)): 2}
        (found,) = self.finished(*told)
        first, second = found["endpoints"]
        self.assertLess(abs(first["p50"] - 1), 0.13)
        self.assertLess(abs(first["p99"] - 2), 0.25)
        self.assertEqual((second["p50"], second["p99"]), (None, None))
        self.assertEqual([name for name in (*found, *first) if name.startswith("_")], [])

    def test_answers_are_counted(self) -> None:
        """Each answer of an endpoint counts, of a head that is known too, and however long it took."""
        wire = self.keyed(0, 0, 0)
        self.patch(responsereader, "_monotonic", lambda: time.monotonic() + 100)
        _, endpoint = wire.pair(GET)
        endpoint.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        (found,) = self.told(wire)
        times = found["endpoints"][0]["_times"]
        self.assertEqual(sum(times.values()), 4)
        self.assertEqual(times[str(bucket_of(100 * UNITS))], 1)


class ShareTests(ValueTestCase):
    def test_once_for_a_balancer(self) -> None:
        """A balancer is sampled once, however often the page is asked for, and anew when another one serves."""
        members = ringed().endpoints
        balancer = FixedBalancer(members, uses_hash=True)
        wire, shares = Wire(snapshot(cluster(3, balancer=balancer))), KnownShares()
        self.told(wire, shares=shares)
        asked = len(balancer.asked)
        self.assertGreater(asked, 0)
        self.told(wire, shares=shares)
        self.told(wire, "none of them", shares)
        self.told(wire, shares=shares)
        self.assertEqual(len(balancer.asked), asked)
        wire.gateway.install(snapshot(cluster(2, balancer=FixedBalancer(members[:2], uses_hash=True))))
        (found,) = self.told(wire, shares=shares)
        self.assertEqual([round(it["share"], 2) for it in found["endpoints"]], [0.5, 0.5])

    def test_bound(self) -> None:
        """One page samples only so many balancers; the others follow with the next one."""
        self.patch(shares_module, "MOST_PICKS", 1_500)
        balancers = [FixedBalancer(ringed().endpoints, uses_hash=True) for _ in range(2)]
        wire = Wire(snapshot(cluster(3, "a", balancers[0]), cluster(3, "b", balancers[1])))
        shares = KnownShares()
        known = [[it["endpoints"][0]["share"] is not None for it in self.told(wire, shares=shares)] for _ in range(2)]
        self.assertEqual(known, [[True, False], [True, True]])

    def test_failing_strategy(self) -> None:
        """A strategy that fails has no shares, is logged once, and the rest of the page is there."""

        class Failing(FixedBalancer):
            def pick(self, hash: int, attempt: int) -> Endpoint | None:
                raise RuntimeError("no")

        wire, shares = Wire(snapshot(cluster(balancer=Failing((), uses_hash=True)))), KnownShares()
        for _ in range(2):
            self.assertIsNone(self.told(wire, shares=shares)[0]["endpoints"][0]["share"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class TurnTests(SynchronousTestCase):
    def test_others_have_turns(self) -> None:
        """Thousands of endpoints are told in many turns of the reactor, none of which takes long."""
        passing = Passing()
        members = tuple(Endpoint("10.0.0.1", port) for port in range(1, 3001))
        builder = MaglevBuilder(5003)
        wire = Wire(snapshot(Cluster(CLUSTER, members, builder, builder.build(members))))
        done = Deferred.fromCoroutine(cluster_values(wire.gateway, KnownShares(), 0, "", Turns(passing)))
        passing.advance(0)
        self.assertGreater(passing.turns, 40)
        self.assertEqual(len(self.successResultOf(done)[0]["endpoints"]), 3000)

    def test_short_work(self) -> None:
        """Work that is soon done is done in one turn."""
        self.assertIsNone(self.successResultOf(Deferred.fromCoroutine(Turns(Clock()).pause())))


class Passing(Clock):
    """A clock on which each look at it takes half a turn; it counts what it was asked to call."""

    turns = 0

    def callLater(self, delay: float, callable: Any, *args: object, **kwargs: object) -> Any:
        self.turns += 1
        return super().callLater(delay, callable, *args, **kwargs)

    def seconds(self) -> float:
        self.rightNow += TURN_SECONDS / 2
        return self.rightNow


class MergeTests(ValueTestCase):
    def test_sums_and_worst_state(self) -> None:
        """Figures of processes are added; one process that has ejected an endpoint shows, with its reason."""
        wires = [Wire(snapshot(ringed(outliers=AT_ONCE))) for _ in range(3)]
        for wire in wires:
            wire.client().send(GET)
            wire.accept()
        host = next(iter(wires[1].gateway.upstreams.clusters[CLUSTER].hosts.values()))
        assert host.monitor is not None
        host.monitor.responded(503)
        (found,) = merged([self.told(wire) for wire in wires])
        first = found["endpoints"][0]
        self.assertEqual((first["state"], first["reason"]), ("unhealthy", "consecutive_5xx"))
        self.assertEqual(first["states"], {"healthy": 2, "unhealthy": 1})
        self.assertEqual(sum(endpoint["requests"] for endpoint in found["endpoints"]), 3)
        self.assertEqual((found["requests"], found["connections"]), (3, 3))
        self.assertEqual(len(found["endpoints"]), 3)

    def test_draining(self) -> None:
        """An endpoint that drains shows as such, whoever says so: its documents, or somebody at run time."""
        for configured in (True, False):
            wires = [Wire(snapshot(ringed(draining=(Drain("192.0.2.2"),) if configured else ()))) for _ in range(2)]
            if not configured:
                wires[1].gateway.upstreams.drains.start(Drain("192.0.2.2"))
            (found,) = merged([self.told(wire) for wire in wires])
            states = [endpoint["state"] for endpoint in found["endpoints"]]
            self.assertEqual(states, ["healthy", "draining", "healthy"], configured)

    def test_other_clusters(self) -> None:
        """Clusters and endpoints that only some processes have are there too."""
        first, second = Wire(snapshot(cluster(1))), Wire(snapshot(cluster(2), cluster(1, "a")))
        found = merged([self.told(first), self.told(second)])
        self.assertEqual([(it["name"], len(it["endpoints"])) for it in found], [("a", 1), (CLUSTER, 2)])


class PageTests(PagesTestCase):
    def status(self, query: str = "") -> dict[str, Any]:
        status, body = self.answer("GET", f"/status{query}")
        self.assertEqual(status, 200)
        told: dict[str, Any] = json.loads(body)
        return told

    def serve(self, *clusters: Cluster) -> None:
        self.next = snapshot(*clusters)
        self.answer("POST", "/reload")

    def test_document(self) -> None:
        """What is served: listeners with their hosts and routes, the configuration, all clusters."""
        self.serve(ringed(), cluster(2, "other"))
        self.reactor.advance(50)
        told = self.status()
        self.assertEqual((told["version"], told["ready"], told["processes"], told["uptime"]), (1, True, 1, 50))
        (listener,) = told["listeners"]
        self.assertEqual((listener["port"], listener["routes"]), (80, 1))
        (host,) = listener["virtual_hosts"]
        self.assertEqual((host["host"], host["routes"], host["routes_left_out"]), ("*", 1, 0))
        (route,) = host["route_list"]
        self.assertEqual((route["matches"], route["does"]), ('path starts with "/"', f"to {CLUSTER}"))
        self.assertEqual(told["configuration"]["generation"], 2)
        self.assertEqual(told["configuration"]["last_reload"]["result"], "installed")
        self.assertEqual([it["name"] for it in told["clusters"]], ["other", CLUSTER])
        self.assertEqual([len(it["endpoints"]) for it in told["clusters"]], [2, 3])
        self.assertEqual([it["name"] for it in self.status("?cluster=oth")["clusters"]], ["other"])

    def test_failed_reload(self) -> None:
        """Findings of a failed reload are there with their places until one succeeds, but no line of a file is."""
        self.assertIsNone(self.status()["configuration"]["last_reload"])
        place = Location("mesh.yaml", 3, 5)
        self.next = ConfigError([Diagnostic("no such field", place, "did you mean it?", excerpt="key: cuttlefish")])
        self.answer("POST", "/reload")
        last = self.status()["configuration"]["last_reload"]
        self.assertEqual(last["result"], "failed")
        (finding,) = last["findings"]
        self.assertEqual((finding["file"], finding["line"], finding["column"]), ("mesh.yaml", 3, 5))
        self.assertEqual((finding["message"], finding["hint"]), ("no such field", "did you mean it?"))
        self.assertEqual(last["error"], "mesh.yaml:3:5: no such field (did you mean it?)")
        self.assertNotIn("cuttlefish", json.dumps(last))
        self.next = listening(80, digest="other")
        self.answer("POST", "/reload")
        self.assertEqual(self.status()["configuration"]["last_reload"]["findings"], [])

    def test_head(self) -> None:
        """HEAD has the length of what GET would bring."""
        response = self.ask("HEAD", "/status").value().decode().lower()
        self.assertIn("content-type: application/json\r\n", response)
        self.assertRegex(response, r"content-length: \d\d\d+\r\n")
        self.assertTrue(response.endswith("\r\n\r\n"))

    def test_failure(self) -> None:
        """A page that cannot be made is 500, and logged."""
        del self.service.gateway.upstreams.clusters
        self.assertEqual(self.answer("GET", "/status")[0], 500)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)


class HostCountTests(SynchronousTestCase):
    def test_outlive_a_reload(self) -> None:
        """What an endpoint has counted outlives a reload that leaves it in place."""
        upstreams = Upstreams(Clock(), lambda pool: None)
        upstreams.update({CLUSTER: cluster(1)})
        next(iter(upstreams.clusters[CLUSTER].hosts.values())).requests = 7
        upstreams.update({CLUSTER: cluster(2)})
        self.assertEqual([host.requests for host in upstreams.clusters[CLUSTER].hosts.values()], [7, 0])
