"""Sessions on the wire: persistence by cookie, weights that stick, and what becomes of both when endpoints change."""

from __future__ import annotations

from collections import Counter
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.interfaces import IHashKey
from meshproxy.policies import Drain
from tests.config.loading import GATEWAY, compiled, istio, routes
from tests.config.test_backend_policy import policy
from tests.config.test_persistence import SECRET
from tests.config.test_persistence import A as KEY_A
from tests.fakes import Peer, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BROKEN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
SPEC = "host: app.test\npersistence: {cookie: {name: sid%s}, secrets: [" + KEY_A + "]}"
KEEPING = policy(SPEC % "")


def service(*numbers: int) -> str:
    endpoints = "".join(f"- {{address: 10.0.0.{it}, labels: {{version: v{it % 2}}}}}\n" for it in numbers)
    spec = "hosts: [app.test]\nresolution: STATIC\nports: [{number: 80, name: http, protocol: HTTP}]\nendpoints:\n"
    return istio("ServiceEntry", "app", spec + endpoints)


def route(http: str = "route: [{destination: {host: app.test}}]") -> str:
    return istio("VirtualService", "vs", f"hosts: ['*']\ngateways: [gw]\nhttp: [{{{http}}}]")


def rule(policy: str = "loadBalancer: {simple: ROUND_ROBIN}") -> str:
    subsets = "subsets: [{name: v0, labels: {version: v0}}, {name: v1, labels: {version: v1}}]"
    return istio("DestinationRule", "dr", f"host: app.test\ntrafficPolicy: {{{policy}}}\n{subsets}")


def weighted(one: int, other: int) -> str:
    return route(
        f"route: [{{destination: {{host: app.test, subset: v0}}, weight: {one}}},"
        f" {{destination: {{host: app.test, subset: v1}}, weight: {other}}}]"
    )


class Site:
    """A gateway by texts of configuration, whose endpoints answer at once."""

    def __init__(self, *texts: str) -> None:
        self.wire = Wire(compiled(GATEWAY, *texts))
        self.texts = texts
        self.broken: set[str] = set()
        self.asked: list[str] = []
        self.now = 1_800_000_000.0
        self.wire.gateway.upstreams.wall = lambda: self.now

    def reload(self, *texts: str) -> None:
        """Serve by other texts."""
        self.wire.gateway.install(compiled(GATEWAY, *texts, previous=self.wire.gateway.snapshot))

    def get(self, cookie: str = "", headers: str = "") -> tuple[str, str, int]:
        """The endpoint that answered a request on a connection of its own, the session cookie that came, the status."""
        client = self.wire.client()
        line = f"Cookie: {cookie}\r\n" if cookie else ""
        client.send(f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{line}{headers}\r\n".encode())
        address = ""
        while self.wire.attempts:
            address = self.wire.attempts[0].partition(":")[0]
            self.asked.append(address)
            endpoint = self.wire.accept()
            endpoint.take()
            endpoint.send(BROKEN if address in self.broken else OK)
            endpoint.close()
            self.wire.reactor.advance(1)
        return address, *_answer(client)


def _answer(client: Peer) -> tuple[str, int]:
    (response,) = client.responses()
    cookies = [value.decode() for name, value in response.headers if name == b"set-cookie"]
    named = [it.partition(";")[0] for it in cookies if it.startswith("sid=")]
    assert len(set(named)) < 2, named
    return "".join(named[:1]), response.status


class PersistenceTests(SynchronousTestCase):
    def test_session_stays(self) -> None:
        """The first answer sets a cookie; whoever brings it back stays, and gets no other one."""
        site = Site(service(1, 2, 3), route(), rule(), SECRET, KEEPING)
        first, cookie, _ = site.get()
        self.assertTrue(cookie.startswith("sid="))
        self.assertEqual([site.get(f"a=b; {cookie}") for _ in range(6)], [(first, "", 200)] * 6)
        self.assertEqual({site.get()[0] for _ in range(6)}, {"10.0.0.1", "10.0.0.2", "10.0.0.3"})

    def test_endpoints_come(self) -> None:
        """However many endpoints come and go, a session stays while its own is there, and moves when it is gone."""
        site = Site(
            service(1, 2), route(), rule("loadBalancer: {consistentHash: {useSourceIp: true}}"), SECRET, KEEPING
        )
        first, cookie, _ = site.get()
        number = int(first[-1])
        site.reload(service(3, 4, 5, number, 6), route(), rule(), SECRET, KEEPING)
        self.assertEqual({site.get(cookie) for _ in range(9)}, {(first, "", 200)})
        site.reload(service(3, 4, 5, 6), route(), rule(), SECRET, KEEPING)
        second, other, _ = site.get(cookie)
        self.assertNotEqual((second, other), (first, ""))
        self.assertEqual(site.get(other), (second, "", 200))

    def test_forged(self) -> None:
        """A cookie that is not good is as good as none: the client gets another one."""
        site = Site(service(1, 2), route(), rule(), SECRET, KEEPING)
        for value in ("sid=x", "sid=" + "A" * 44, 'sid="10.0.0.1:80"'):
            self.assertTrue(site.get(value)[1].startswith("sid="))

    def test_expired(self) -> None:
        """When its time is over a session begins anew."""
        site = Site(service(1, 2), route(), rule(), SECRET, policy(SPEC % ", maxAge: 60s"))
        first, cookie, _ = site.get()
        site.now += 59
        self.assertEqual(site.get(cookie), (first, "", 200))
        site.now += 1
        self.assertTrue(site.get(cookie)[1].startswith("sid="))

    def test_ejected(self) -> None:
        """The session of an endpoint that is ejected moves, and gets a cookie for where it is now."""
        ejecting = "outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100}"
        site = Site(
            service(1, 2),
            route("retries: {attempts: 0}, route: [{destination: {host: app.test}}]"),
            rule(ejecting),
            SECRET,
            KEEPING,
        )
        first, cookie, _ = site.get()
        site.broken = {first}
        self.assertEqual(site.get(cookie), (first, "", 503))
        second, other, _ = site.get(cookie)
        self.assertNotEqual(second, first)
        self.assertEqual(site.get(other), (second, "", 200))

    def test_retried(self) -> None:
        """A retry goes elsewhere, and the client is told where it got its answer from, once."""
        http = "retries: {attempts: 3, retryOn: 5xx}, route: [{destination: {host: app.test}}]"
        for balancing in ("simple: ROUND_ROBIN", "consistentHash: {useSourceIp: true}"):
            site = Site(service(1, 2, 3), route(http), rule(f"loadBalancer: {{{balancing}}}"), SECRET, KEEPING)
            first, cookie, _ = site.get()
            site.broken, site.asked = {first}, []
            second, other, status = site.get(cookie)
            self.assertEqual((site.asked[0], status), (first, 200))
            self.assertNotEqual(second, first)
            site.broken = set()
            self.assertEqual(site.get(other), (second, "", 200))

    def test_beside_a_hash_cookie(self) -> None:
        """The cookie of a consistentHash is set as it is without persistence."""
        hashing = "loadBalancer: {consistentHash: {httpCookie: {name: ISTIOID, ttl: 60s}}}"
        site = Site(service(1, 2, 3), route(), rule(hashing), SECRET, KEEPING)
        client = site.wire.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        site.wire.accept().send(OK)
        (response,) = client.responses()
        names = [value.partition(b"=")[0] for name, value in response.headers if name == b"set-cookie"]
        self.assertEqual(names, [b"ISTIOID", b"sid"])

    def test_no_endpoint(self) -> None:
        """An answer of the gateway itself begins no session."""
        self.assertEqual(Site(service(), route(), rule(), SECRET, KEEPING).get(), ("", "", 503))

    def test_weighted(self) -> None:
        """A session stays at its endpoint whatever the weights become, as long as that destination has one."""
        site = Site(service(1, 2), weighted(90, 10), rule(), SECRET, KEEPING)
        begun = dict(site.get()[:2] for _ in range(60))
        self.assertEqual(set(begun), {"10.0.0.1", "10.0.0.2"})
        site.reload(service(1, 2), weighted(1, 99), rule(), SECRET, KEEPING)
        for address, cookie in begun.items():
            self.assertEqual({site.get(cookie) for _ in range(9)}, {(address, "", 200)})
        site.reload(service(1, 2), weighted(0, 100), rule(), SECRET, KEEPING)
        self.assertEqual({site.get(cookie)[0] for cookie in begun.values()}, {"10.0.0.1"})


class DrainingTests(SynchronousTestCase):
    def draining(self, address: str, until: str = "") -> str:
        return policy(SPEC % "" + f"\ndraining: [{{address: {address}{until}}}]")

    def test_sessions_stay(self) -> None:
        """An endpoint that drains takes no new sessions and keeps those it has, also beside ejected ones."""
        ejecting = (
            "outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100}, loadBalancer: {simple: RANDOM}"
        )
        http = "retries: {attempts: 0}, route: [{destination: {host: app.test}}]"
        site = Site(service(1, 2, 3), route(http), rule(ejecting), SECRET, KEEPING)
        first, cookie, _ = site.get()
        texts = (service(1, 2, 3), route(http), rule(ejecting), SECRET, self.draining(first))
        site.reload(*texts)
        self.assertEqual({site.get(cookie) for _ in range(9)}, {(first, "", 200)})
        others = {site.get()[0] for _ in range(20)}
        self.assertEqual(others, {"10.0.0.1", "10.0.0.2", "10.0.0.3"} - {first})
        site.broken = {min(others)}
        while site.get()[0] not in site.broken:
            pass
        self.assertEqual({site.get()[0] for _ in range(20)}, {max(others)})
        self.assertEqual(site.get(cookie), (first, "", 200))

    def test_end(self) -> None:
        """From its end on, a drain moves the sessions that are left."""
        site = Site(service(1, 2), route(), rule(), SECRET, KEEPING)
        first, cookie, _ = site.get()
        until = ", until: 2030-05-01T12:00:00Z"
        site.reload(service(1, 2), route(), rule(), SECRET, self.draining(first, until))
        site.now = 1903867199.0
        self.assertEqual(site.get(cookie), (first, "", 200))
        site.now += 1
        second, other, _ = site.get(cookie)
        self.assertNotEqual(second, first)
        self.assertEqual(site.get(other), (second, "", 200))

    def test_asked_for(self) -> None:
        """A drain that is asked for while serving does the same, with and without a table; a reload leaves it alone."""
        for balancing in ("simple: RANDOM", "consistentHash: {httpHeaderName: x-user}"):
            texts = (service(1, 2, 3), route(), rule(f"loadBalancer: {{{balancing}}}"), SECRET, KEEPING)
            site = Site(*texts)
            upstreams = site.wire.gateway.upstreams
            first, cookie, _ = site.get()
            every = {"10.0.0.1", "10.0.0.2", "10.0.0.3"}

            def spread(site: Site = site) -> set[str]:
                site.wire.reactor.advance(2)
                return {site.get(headers=f"X-User: {number}\r\n")[0] for number in range(40)}

            upstreams.drains.start(Drain(first))
            self.assertEqual(spread(), every - {first})
            self.assertEqual(site.get(cookie), (first, "", 200))
            site.reload(*texts[:1], route("name: x, route: [{destination: {host: app.test}}]"), *texts[2:])
            site.reload(service(1, 2, 3, 4), *texts[1:])
            self.assertEqual(spread(), (every | {"10.0.0.4"}) - {first})
            upstreams.drains.start(Drain(first, until=site.now))
            self.assertNotEqual(site.get(cookie)[0], first)
            self.assertFalse(upstreams.drains.stop(first, 80))
            self.assertTrue(upstreams.drains.stop(first, None))
            self.assertEqual(spread(), every | {"10.0.0.4"})

    def test_everything_drains(self) -> None:
        """Nobody is left for new sessions then."""
        site = Site(service(1), route(), rule(), SECRET, KEEPING)
        first, cookie, _ = site.get()
        site.reload(service(1), route(), rule(), SECRET, self.draining(first))
        self.assertEqual(site.get(cookie), (first, "", 200))
        self.assertEqual(site.get()[2], 503)


class StickyWeightTests(SynchronousTestCase):
    STICKY = policy("host: app.test\nstickyWeights: true")
    HASHING = rule("loadBalancer: {consistentHash: {httpHeaderName: x-user}}")

    def users(self, site: Site) -> list[str]:
        return [site.get(headers=f"X-User: u{number}\r\n")[0] for number in range(60)]

    def test_canary_stays(self) -> None:
        """A session has the same destination each time; a change of weights moves sessions one way only."""
        site = Site(service(1, 2), weighted(90, 10), self.HASHING, self.STICKY)
        before = self.users(site)
        self.assertEqual(self.users(site), before)
        self.assertEqual(set(before), {"10.0.0.1", "10.0.0.2"})
        site.reload(service(1, 2), weighted(60, 40), self.HASHING, self.STICKY)
        pairs = Counter(zip(before, self.users(site), strict=True))
        self.assertNotIn(("10.0.0.1", "10.0.0.2"), pairs)
        self.assertIn(("10.0.0.2", "10.0.0.1"), pairs)

    def test_without_key(self) -> None:
        """Requests without a key are drawn by weight; with persistence beside it, their cookie keeps them."""
        site = Site(service(1, 2), weighted(50, 50), self.HASHING, self.STICKY)
        self.assertEqual({site.get()[0] for _ in range(30)}, {"10.0.0.1", "10.0.0.2"})
        both = policy(SPEC % "" + "\nstickyWeights: true")
        site = Site(service(1, 2), weighted(50, 50), self.HASHING, SECRET, both)
        address, cookie, _ = site.get()
        self.assertEqual({site.get(cookie)[0] for _ in range(20)}, {address})

    def test_cookie_is_made(self) -> None:
        """Where the key is a cookie that the client gets, the first request already goes where the next ones go.

        So it is where endpoints are chosen by hash, and where the hash serves the weights alone.
        """
        keys = "consistentHash: {keys: [{httpCookie: {name: sid, ttl: 0s}}]}"
        hashing = rule("loadBalancer: {consistentHash: {httpCookie: {name: sid, ttl: 0s}}}")
        for texts in (
            (hashing, self.STICKY),
            (rule(), policy(f"host: app.test\nstickyWeights: true\n{keys}")),
        ):
            site = Site(service(1, 2), weighted(50, 50), *texts)
            for _ in range(8):
                address, cookie, _ = site.get()
                self.assertEqual({site.get(cookie)[0] for _ in range(4)}, {address})

    def test_failing_key(self) -> None:
        """A strategy that fails when the destination is chosen costs its request and nothing else."""
        site = Site(service(1, 2), weighted(50, 50), self.HASHING, self.STICKY)
        snapshot = site.wire.gateway.snapshot
        assert snapshot is not None
        (found,) = routes(snapshot, "*")
        site.wire.gateway.plans[found].hash_policy = (cast(IHashKey, object()),)
        self.assertEqual(site.get()[2], 500)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.assertEqual(site.wire.gateway.counters.strategy_errors_total, 1)
