"""Asking for another protocol: what goes to the endpoint, which answers are an agreement, and what all others are."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import UpgradeSettings
from meshproxy.routes import (
    CorsPolicy,
    DirectResponse,
    Fault,
    HeaderMatch,
    HeaderOperations,
    Mirror,
    RetryPolicy,
    Rewrite,
    Route,
    RouteMatch,
)
from tests.fakes import CountedCookie, FixedBalancer, Peer, Wire, cluster, endpoints, route, snapshot
from tests.http.test_downstream import GET, OK
from tests.routed import PRESENT, exact


def asking(*lines: bytes, protocol: bytes = b"websocket", path: bytes = b"/ws") -> bytes:
    """A request for another protocol with more header lines."""
    fields = (b"Host: a", b"Connection: Upgrade", b"Upgrade: " + protocol, *lines)
    return b"\r\n".join((b"GET " + path + b" HTTP/1.1", *fields)) + b"\r\n\r\n"


def agreeing(*lines: bytes, protocol: bytes = b"websocket") -> bytes:
    """An endpoint's agreement with more header lines."""
    return b"\r\n".join((b"HTTP/1.1 101 Yes", b"Connection: upgrade", b"Upgrade: " + protocol, *lines)) + b"\r\n\r\n"


def head_of(data: bytes) -> dict[bytes, bytes]:
    """The fields of the only head in ``data``, which may not repeat any."""
    head, _, _ = data.partition(b"\r\n\r\n")
    pairs = [tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")[1:]]
    assert len({name for name, _ in pairs}) == len(pairs), pairs
    return dict(pairs)  # type: ignore[arg-type]


class Asking(SynchronousTestCase):
    """The request, as the endpoint gets it."""

    def forwarded(self, request: bytes, wire: Wire | None = None) -> dict[bytes, bytes]:
        wire = wire or Wire()
        wire.client().send(request)
        return head_of(wire.accept().take())

    def test_head(self) -> None:
        """It asks for what the client asks for, in the client's spelling, and for nothing else of that connection."""
        request = asking(b"Sec-WebSocket-Key: k", b"X-Mine: 1", b"Keep-Alive: 5", protocol=b"WebSocket")
        found = self.forwarded(request.replace(b"Connection: Upgrade", b"Connection: keep-alive, UPGRADE, X-Mine"))
        self.assertEqual((found[b"connection"], found[b"upgrade"]), (b"Upgrade", b"WebSocket"))
        self.assertEqual(found[b"sec-websocket-key"], b"k")
        self.assertNotIn(b"x-mine", found)
        self.assertNotIn(b"keep-alive", found)

    def test_not_asking(self) -> None:
        """Without ``Connection: Upgrade`` an ``Upgrade`` asks nobody for anything, and is left out."""
        found = self.forwarded(asking().replace(b"Connection: Upgrade\r\n", b""))
        self.assertNotIn(b"upgrade", found)
        self.assertNotIn(b"connection", found)

    def test_allowed_protocols(self) -> None:
        """Which protocols may be asked for is the configuration's decision, not by letter case."""
        allowed = UpgradeSettings(frozenset({b"example/1.0"}))
        found = self.forwarded(asking(protocol=b"Example/1.0"), Wire(snapshot(upgrades=allowed)))
        self.assertEqual(found[b"upgrade"], b"Example/1.0")
        client = Wire(snapshot(upgrades=allowed)).client()
        client.send(asking())
        self.assertEqual([r.status for r in client.responses()], [403])

    def test_found_by_what_it_asks_for(self) -> None:
        """A route may be for requests that ask for a protocol, as the client spells it; no other request is its."""
        for name, value in ((b"upgrade", "WebSocket"), (b"connection", "Upgrade")):
            match = RouteMatch(headers=(HeaderMatch(name, exact(value)),))
            wire = Wire(snapshot(routes=[Route(match, DirectResponse(418)), route()]))
            client = wire.client()
            client.send(asking(protocol=b"WebSocket"))
            self.assertEqual([response.status for response in client.responses()], [418])
            self.forwarded(GET, wire)

    def test_changed_by_the_route(self) -> None:
        """Header operations and rewrites hold as for any request; they cannot touch what the upgrade consists of."""
        operations = HeaderOperations(
            set=((b"x-set", "%REQ(upgrade)%, %REQ(connection)%"), (b"upgrade", "foo"), (b"connection", "close")),
            remove=(b"upgrade", b"x-gone"),
        )
        destination = {"request_headers": (operations,), "rewrite": Rewrite("/new", whole=True)}
        wire = Wire(snapshot(routes=[route("/ws", destination=destination)]))
        wire.client().send(asking(b"X-Gone: 1"))
        data = wire.accept().take()
        self.assertTrue(data.startswith(b"GET /new HTTP/1.1\r\n"), data)
        found = head_of(data)
        self.assertEqual((found[b"upgrade"], found[b"connection"]), (b"websocket", b"Upgrade"))
        self.assertEqual(found[b"x-set"], b"websocket, Upgrade")
        self.assertNotIn(b"x-gone", found)

    def test_bytes_wait_for_the_agreement(self) -> None:
        """What the client says too early is kept, and no more of it is read, until the endpoint has agreed."""
        wire = Wire()
        client = wire.client()
        client.send(asking() + b"one")
        self.assertTrue(client.paused)
        endpoint = wire.accept()
        self.assertTrue(endpoint.take().endswith(b"\r\n\r\n"))
        endpoint.send(agreeing())
        self.assertEqual(endpoint.take(), b"one")
        self.assertFalse(client.paused)

    def test_bytes_in_a_later_read(self) -> None:
        """So it is when they come after the head."""
        client, endpoint = Wire().pair(asking())
        self.assertFalse(client.paused)
        client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(client.paused)
        self.assertEqual(endpoint.take(), b"")
        endpoint.send(agreeing() + b"hello")
        self.assertTrue(client.take().endswith(b"\r\n\r\nhello"))
        self.assertEqual(endpoint.take(), b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")

    def test_behind_other_requests(self) -> None:
        """It waits for its turn, and what follows it in the same read belongs to the other protocol."""
        wire = Wire()
        client, endpoint = wire.pair(GET % b"1" + asking() + b"early")
        self.assertEqual(endpoint.take(), b"")
        endpoint.send(OK)
        self.assertEqual([r.status for r in client.responses()], [200])
        self.assertEqual(head_of(endpoint.take())[b"upgrade"], b"websocket")
        endpoint.send(agreeing())
        self.assertEqual(endpoint.take(), b"early")
        self.assertFalse(client.paused)

    def test_client_leaves(self) -> None:
        """A client that leaves before the answer takes its request along."""
        wire = Wire()
        client, endpoint = wire.pair(asking() + b"early")
        client.close()
        self.assertTrue(endpoint.transport.aborted)
        self.assertEqual([(e.status, e.flags) for e in wire.log.exchanges], [(0, b"DC")])
        self.assertEqual(wire.gateway.counters.tunnels_total, 0)


class Agreeing(SynchronousTestCase):
    """A 101."""

    def answered(self, *pieces: bytes, request: bytes = b"", wire: Wire | None = None) -> tuple[Peer, Peer, Wire]:
        wire = wire or Wire()
        client, endpoint = wire.pair(request or asking())
        endpoint.send(*pieces)
        return client, endpoint, wire

    def test_head(self) -> None:
        """The client gets the endpoint's head without what is the endpoint's own, and no service time."""
        lines = (b"Sec-WebSocket-Accept: k", b"Server: mine", b"Keep-Alive: 5", b"Content-Length: 0", b"Date: D ")
        answer = agreeing(*lines)
        client, _, _ = self.answered(answer)
        self.assertEqual(
            client.take(),
            b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: k\r\ndate: D\r\n"
            b"connection: Upgrade\r\nupgrade: websocket\r\nserver: istio-envoy\r\n\r\n",
        )

    def test_in_pieces(self) -> None:
        """However the head is cut, what follows it is the other protocol's."""
        data = agreeing(b"X-A: 1") + b"hello"
        for at in range(1, len(data)):
            client, _, _ = self.answered(data[:at], data[at:])
            head, _, first = client.take().partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 101 "))
            self.assertEqual(first, b"hello")

    def test_changed_by_the_route(self) -> None:
        """Header operations, CORS and sticky cookies hold for it."""
        value = "%RESPONSE_CODE% %REQ(upgrade)% %RESP(upgrade)% %RESP(connection)% %RESP(server)%"
        operations = HeaderOperations(
            set=((b"x-seen", value), (b"upgrade", "foo")), remove=(b"x-gone", b"connection", b"upgrade")
        )
        balancer = FixedBalancer(endpoints(), uses_hash=True)
        found = route(
            destination={"response_headers": (operations,)},
            hash_policy=(CountedCookie(),),
            cors=CorsPolicy(origins=(PRESENT,), credentials=True),
        )
        wire = Wire(snapshot(cluster(balancer=balancer), routes=[found]))
        client, _, _ = self.answered(
            agreeing(b"X-Gone: 1", b"Server: b"), request=asking(b"Origin: http://b"), wire=wire
        )
        fields = head_of(client.take())
        seen = b"101 websocket websocket Upgrade b"
        self.assertEqual((fields[b"x-seen"], fields[b"set-cookie"], fields[b"server"]), (seen, b"id=1", b"istio-envoy"))
        self.assertEqual((fields[b"upgrade"], fields[b"connection"]), (b"websocket", b"Upgrade"))
        self.assertEqual(fields[b"access-control-allow-origin"], b"http://b")
        self.assertNotIn(b"x-gone", fields)

    def test_after_100(self) -> None:
        """A 100 in front of it is passed on."""
        client, _, _ = self.answered(b"HTTP/1.1 100 Continue\r\n\r\n" + agreeing() + b"x")
        self.assertEqual(client.take().count(b"HTTP/1.1 10"), 2)

    def test_no_agreement(self) -> None:
        """A 101 that switches to something else, says so not fully, or has a body is a 502; nothing of it passes."""
        for answer in (
            agreeing(protocol=b"foo"),
            agreeing(protocol=b"websocket, foo"),
            agreeing(b"Upgrade: websocket"),
            agreeing(b"Content-Length: 5") + b"hello",
            agreeing(b"Content-Length: 00"),
            agreeing(b"Transfer-Encoding: chunked"),
            agreeing().replace(b"Upgrade: websocket\r\n", b""),
            agreeing().replace(b"Connection: upgrade\r\n", b""),
            agreeing().replace(b"Connection: upgrade", b"Connection: close"),
            agreeing().replace(b"HTTP/1.1", b"HTTP/1.0"),
            agreeing(b"X: " + b"x" * 61 * 1024),
        ):
            client, endpoint, wire = self.answered(answer)
            (response,) = client.responses()
            self.assertEqual((response.status, response[b"connection"]), (502, b"close"), answer[:80])
            self.assertTrue(endpoint.transport.aborted)
            self.assertEqual(wire.gateway.counters.tunnels_total, 0)
            (exchange,) = wire.log.exchanges
            self.assertEqual(exchange.flags, b"UPE")

    def test_nobody_asked(self) -> None:
        """One to a request that asked for nothing, or whose offer of HTTP/2 was ignored, is a 502."""
        for request in (GET % b"x", asking(protocol=b"h2c")):
            client, endpoint, _ = self.answered(agreeing() + OK, request=request)
            self.assertEqual([r.status for r in client.responses()], [502])
            self.assertTrue(endpoint.transport.aborted)


class OtherAnswers(SynchronousTestCase):
    """Everything but a 101."""

    def test_ordinary_response(self) -> None:
        """It passes like any other; both connections end with it, and nothing that came behind the request is read."""
        for status, early in ((b"426 No", b""), (b"401 No", b"x"), (b"200 OK", GET % b"smuggled")):
            wire = Wire()
            client, endpoint = wire.pair(asking() + early)
            endpoint.send(b"HTTP/1.1 %b\r\nContent-Length: 2\r\nSec-WebSocket-Version: 13\r\n\r\nno" % status)
            (response,) = client.responses()
            self.assertEqual((response.status, response.body), (int(status[:3]), b"no"))
            self.assertEqual((response[b"connection"], response[b"sec-websocket-version"]), (b"close", b"13"))
            client.send(GET % b"next")
            self.assertEqual((client.take(), endpoint.take()), (b"", b""))
            self.assertTrue(endpoint.closing)
            self.assertEqual(client.transport.half_closed, bool(early))  # more of it may be on the way
            (exchange,) = wire.log.exchanges
            self.assertEqual((exchange.details, exchange.flags), (b"via_upstream", b""))

    def test_of_the_gateway(self) -> None:
        """So does an answer of the gateway's own."""
        client = Wire(snapshot(routes=[])).client()
        client.send(asking())
        (response,) = client.responses()
        self.assertEqual((response.status, response[b"connection"]), (404, b"close"))

    def test_fault(self) -> None:
        """Faults hit it like any request."""
        fault = Fault(abort_status=418, abort_share=1_000_000)
        client = Wire(snapshot(routes=[route(fault=fault)])).client()
        client.send(asking())
        self.assertEqual([r.status for r in client.responses()], [418])


class Tries(SynchronousTestCase):
    """Retries, time limits and mirrors."""

    def wire(self, **forward: Any) -> Wire:
        return Wire(snapshot(cluster(3), cluster(name="mirror"), routes=[route(**forward)]))

    def test_retries(self) -> None:
        """Until an endpoint has agreed, other tries follow as for any request; the client's bytes wait meanwhile."""
        w = self.wire(retries=RetryPolicy(3, frozenset({"5xx"})))
        client = w.client()
        client.send(asking() + b"early")
        w.refuse()
        w.reactor.advance(1)
        second = w.accept()
        second.take()
        second.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        w.reactor.advance(1)
        third = w.accept()
        third.take()
        third.close()
        w.reactor.advance(1)
        last = w.accept()
        found = head_of(last.take())
        self.assertEqual((found[b"upgrade"], found[b"x-envoy-attempt-count"]), (b"websocket", b"4"))
        last.send(agreeing())
        self.assertEqual(last.take(), b"early")
        self.assertEqual([r.status for r in client.responses()], [101])

    def test_kept_connection_that_had_been_closed(self) -> None:
        """The request is repeated on a fresh connection like any other that is safe to repeat."""
        w = Wire()
        _, endpoint = w.pair(GET % b"1")
        endpoint.send(OK)
        client = w.client()
        client.send(asking())
        endpoint.close()
        fresh = w.accept()
        fresh.send(agreeing())
        self.assertEqual([r.status for r in client.responses()], [101])

    def test_timeout_before_the_agreement(self) -> None:
        """The route's time limits hold until the endpoint has answered."""
        for limit in ({"timeout": 0.3}, {"retries": RetryPolicy(0, frozenset(), per_try_timeout=0.3)}):
            w = self.wire(**limit)
            client, endpoint = w.pair(asking())
            w.reactor.advance(0.3)
            self.assertEqual([r.status for r in client.responses()], [504])
            self.assertTrue(endpoint.transport.aborted)

    def test_timeout_of_a_tunnel(self) -> None:
        """They do not hold any more once it has agreed."""
        w = self.wire(timeout=0.3, retries=RetryPolicy(0, frozenset(), per_try_timeout=0.2))
        client, endpoint = w.pair(asking())
        endpoint.send(agreeing())
        client.take()
        w.reactor.advance(3600)
        endpoint.send(b"still there")
        self.assertEqual(client.take(), b"still there")
        self.assertEqual(w.log.exchanges, [])

    def test_no_mirrors(self) -> None:
        """A copy of it goes nowhere: nobody would speak the other protocol to a mirror."""
        w = self.wire(mirrors=(Mirror("mirror", 1_000_000),))
        w.client().send(asking())
        self.assertEqual(w.attempts, ["192.0.2.1:8080"])
        w.client().send(GET % b"x")
        self.assertEqual(len(w.attempts), 3)
