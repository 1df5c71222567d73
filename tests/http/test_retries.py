"""Trying again: connections that cannot be made, and kept ones that die under a request."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.routes import RetryPolicy
from tests.fakes import Wire, cluster, route, snapshot
from tests.http.test_exchange import GET, OK, RESET, head_lines


class Retries(SynchronousTestCase):
    """Connections that cannot be made."""

    def test_next_endpoint(self) -> None:
        """A failed connection is tried elsewhere after a back-off of under 25 ms, and the endpoint hears which try."""
        wire = Wire(snapshot(cluster(3)))
        client = wire.client()
        client.send(GET)
        self.assertEqual(wire.attempts, ["192.0.2.1:8080"])
        wire.refuse()
        wire.reactor.advance(0.025)
        self.assertEqual(wire.attempts, ["192.0.2.2:8080"])
        endpoint = wire.accept()
        self.assertIn(b"x-envoy-attempt-count: 2", head_lines(endpoint.take()))
        endpoint.send(OK)
        self.assertEqual(client.responses()[0].status, 200)
        self.assertEqual(wire.gateway.counters.upstream_retries_total, 1)

    def test_back_off_grows(self) -> None:
        """The longest back-off doubles with each try, up to 250 ms."""
        longest: list[float] = []
        for bits in (0, 0xFFFFFFFF, 12345):
            wire = Wire(snapshot(routes=[route(retries=RetryPolicy(6))]))
            wire.gateway.getrandbits = lambda _, bits=bits: bits
            wire.client().send(GET)
            for number in range(6):
                wire.refuse()
                (call,) = wire.timers
                delay = call.getTime() - wire.reactor.seconds()
                self.assertLess(delay, min(0.025 * 2**number, 0.25))
                longest.append(delay)
                wire.reactor.advance(delay)
        self.assertGreater(max(longest), 0.1)

    def test_same_host_allowed(self) -> None:
        """Where retries do not avoid hosts, each asks for the first choice again."""
        same_host = route(retries=RetryPolicy(avoid_previous_hosts=False))
        wire = Wire(snapshot(cluster(3), routes=[same_host]))
        wire.client().send(GET)
        wire.refuse()
        wire.reactor.advance(0.025)
        self.assertEqual(wire.attempts, ["192.0.2.1:8080"])

    def test_spent(self) -> None:
        """When all tries failed the client gets a 503 that says so; its connection stays."""
        wire = Wire(snapshot(cluster(3)))
        client = wire.client()
        client.send(GET)
        for _ in range(3):
            wire.refuse()
            wire.reactor.advance(1)
        (response,) = client.responses()
        self.assertEqual(response.status, 503)
        self.assertEqual(response.body, RESET + b"retried and the latest reset reason: remote connection failure")
        self.assertFalse(client.closing)
        (exchange,) = wire.log.exchanges
        self.assertEqual(exchange.flags, b"URX,UF")
        self.assertEqual(exchange.transport_failure, b"delayed_connect_error:_Connection_refused")
        self.assertEqual(exchange.upstream_host, b"192.0.2.3:8080")
        self.assertEqual(wire.gateway.counters.upstream_connect_failures_total, 3)

    def test_lost_after_a_retry(self) -> None:
        """URX stands for spent retries only, while the body tells of any."""
        wire = Wire(snapshot(cluster(3)))
        client = wire.client()
        client.send(GET)
        wire.refuse()
        wire.reactor.advance(1)
        wire.accept().close()
        (response,) = client.responses()
        self.assertEqual(response.body, RESET + b"retried and the latest reset reason: connection termination")
        self.assertEqual(wire.log.exchanges[0].flags, b"UC")

    def test_body_waits(self) -> None:
        """What came of a body during the tries goes to the endpoint that is reached, once."""
        wire = Wire(snapshot(cluster(2)))
        client = wire.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab", b"cd")
        wire.refuse()
        client.send(b"ef")
        wire.reactor.advance(1)
        self.assertTrue(wire.accept().take().endswith(b"\r\n\r\nabcdef"))


class Replays(SynchronousTestCase):
    """Kept connections that die under a request."""

    def kept(self, wire: Wire) -> tuple[Any, Any]:
        client, endpoint = wire.pair(GET)
        endpoint.send(OK)
        client.take()
        return client, endpoint

    def test_idempotent(self) -> None:
        """A GET goes once more, to the same endpoint, over a fresh connection, and the client notices nothing."""
        for end in ("close", "reset"):
            wire = Wire(snapshot(cluster(2)))
            client, endpoint = self.kept(wire)
            client.send(GET)
            first = endpoint.take()
            getattr(endpoint, end)()
            self.assertEqual(wire.attempts, ["192.0.2.1:8080"])
            again = wire.accept()
            self.assertEqual(again.take(), first)
            again.send(OK)
            self.assertEqual([r.status for r in client.responses()], [200])
            self.assertEqual(wire.gateway.counters.upstream_replays_total, 1)

    def test_body_at_hand(self) -> None:
        """So does a PUT whose whole body was sent and is still at hand."""
        wire = Wire()
        client, endpoint = self.kept(wire)
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        endpoint.close()
        self.assertTrue(wire.accept().take().endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))

    def check_not_repeated(self, wire: Wire, client: Any) -> None:
        self.assertEqual(wire.attempts, [])
        self.assertEqual([r.status for r in client.responses()], [503])
        self.assertEqual(wire.log.exchanges[-1].flags, b"UC")
        self.assertEqual(
            wire.log.exchanges[-1].details, b"upstream_reset_before_response_started{connection_termination}"
        )

    def test_not_idempotent(self) -> None:
        """A POST is never repeated."""
        wire = Wire()
        client, endpoint = self.kept(wire)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        endpoint.close()
        self.check_not_repeated(wire, client)

    def test_body_gone(self) -> None:
        """Nor is a PUT whose body is incomplete or larger than what is kept."""
        for size, sent in ((100, 10), (70000, 70000)):
            wire = Wire()
            client, endpoint = self.kept(wire)
            client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + bytes(sent))
            endpoint.close()
            self.check_not_repeated(wire, client)

    def test_fresh_connection(self) -> None:
        """Nor is anything on a connection that was made for it."""
        wire = Wire()
        client, endpoint = wire.pair(GET)
        endpoint.close()
        self.check_not_repeated(wire, client)

    def test_once(self) -> None:
        """A second loss is not followed by a second repetition."""
        wire = Wire()
        client, endpoint = self.kept(wire)
        client.send(GET)
        endpoint.close()
        wire.accept().close()
        self.check_not_repeated(wire, client)

    def test_once_over_a_retry(self) -> None:
        """Not even when a failure to connect came between, and the retry met another kept connection."""
        wire = Wire()
        other = wire.client()
        client, endpoint = wire.pair(GET)
        other.send(GET)
        kept = wire.accept()
        kept.send(OK)
        endpoint.send(OK)
        client.take()
        client.send(GET)
        endpoint.close()
        wire.refuse()
        wire.reactor.advance(1)
        self.assertIn(b"GET ", kept.take())
        kept.close()
        self.assertEqual(wire.attempts, [])
        self.assertEqual([r.status for r in client.responses()], [503])

    def test_not_after_a_word(self) -> None:
        """Nothing is repeated after the endpoint has said anything, be it a 100."""
        wire = Wire()
        client, endpoint = self.kept(wire)
        client.send(GET)
        endpoint.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        endpoint.close()
        client.take()
        self.assertEqual(wire.attempts, [])
        self.assertEqual(wire.log.exchanges[-1].status, 503)
