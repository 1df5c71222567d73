"""Time limits: for all tries together and for each."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.routes import HeaderOperations, RetryPolicy
from tests.fakes import Wire, cluster, route, snapshot
from tests.http.test_exchange import GET, OK, head_lines

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"


def wire(per_try: float | None = None, words: tuple[str, ...] = ("5xx",), attempts: int = 2, **forward: Any) -> Wire:
    """A gateway with a route that has limits."""
    retries = RetryPolicy(attempts, frozenset(words), per_try_timeout=per_try)
    return Wire(snapshot(cluster(3), routes=[route(retries=retries, **forward)]))


class Whole(SynchronousTestCase):
    """The route's timeout."""

    def check_timed_out(self, w: Wire, client: Any) -> None:
        (response,) = client.responses()
        self.assertEqual((response.status, response.body), (504, b"upstream request timeout"))
        (exchange,) = w.log.exchanges
        self.assertEqual((exchange.flags, exchange.details), (b"UT", b"response_timeout"))
        self.assertEqual(w.gateway.counters.upstream_timeouts_total, 1)
        self.assertFalse(client.closing)

    def test_no_response(self) -> None:
        """An endpoint that does not answer in time costs a 504 and its connection."""
        w = wire(timeout=0.3)
        client, endpoint = w.pair(GET)
        w.reactor.advance(0.299)
        self.assertEqual(client.take(), b"")
        w.reactor.advance(0.001)
        self.check_timed_out(w, client)
        self.assertTrue(endpoint.transport.aborted)

    def test_while_connecting(self) -> None:
        """The time runs also while there is no connection."""
        w = wire(timeout=0.3)
        client = w.client()
        client.send(GET)
        w.reactor.advance(0.3)
        self.check_timed_out(w, client)
        w.refuse()
        self.assertEqual(w.attempts, [])

    def test_over_all_tries(self) -> None:
        """It spans all tries, and the waits between them; then none follows."""
        w = wire(timeout=0.3, attempts=100)
        client = w.client()
        client.send(GET)
        elapsed = 0.0
        while elapsed < 0.3:
            if w.attempts:
                w.refuse()
            w.reactor.advance(0.01)
            elapsed += 0.01
        self.check_timed_out(w, client)
        self.assertEqual(w.timers, [])

    def test_from_the_end_of_the_request(self) -> None:
        """A slow upload does not count."""
        w = wire(timeout=0.3)
        client, endpoint = w.pair(POST + b"a")
        w.reactor.advance(5)
        client.send(b"b")
        w.reactor.advance(0.2)
        endpoint.send(OK)
        self.assertEqual([r.status for r in client.responses()], [200])

    def test_in_the_middle_of_a_response(self) -> None:
        """A response that takes too long is cut."""
        w = wire(timeout=0.3)
        client, endpoint = w.pair(GET)
        endpoint.send(OK[:-1])
        w.reactor.advance(0.3)
        self.assertTrue(client.closing)
        self.assertTrue(endpoint.transport.aborted)
        (exchange,) = w.log.exchanges
        self.assertEqual((exchange.status, exchange.flags, exchange.details), (200, b"UT", b"response_timeout"))

    def test_in_time(self) -> None:
        """An exchange that is done has no deadline any more."""
        w = wire(timeout=0.3)
        client, endpoint = w.pair(GET)
        endpoint.send(OK)
        client.take()
        w.reactor.advance(10)
        self.assertEqual((client.take(), len(w.log.exchanges)), (b"", 1))
        self.assertEqual(w.timers, [])

    def test_none(self) -> None:
        """There is none by default, nor a timer."""
        w = Wire()
        client, _ = w.pair(GET)
        self.assertEqual(w.timers, [])
        w.reactor.advance(3600)
        self.assertEqual(client.take(), b"")

    def test_client_leaves(self) -> None:
        """A client that leaves takes the deadline along."""
        w = wire(timeout=0.3)
        client, _ = w.pair(GET)
        client.close()
        w.reactor.advance(1)
        self.assertEqual([exchange.flags for exchange in w.log.exchanges], [b"DC"])


class EachTry(SynchronousTestCase):
    """``perTryTimeout``."""

    def test_next_try(self) -> None:
        """A try that takes too long is followed by another one, elsewhere."""
        w = wire(per_try=0.2)
        client, first = w.pair(GET)
        w.reactor.advance(0.2)
        self.assertTrue(first.transport.aborted)
        w.reactor.advance(0.025)
        second = w.accept()
        self.assertEqual(second.transport.getPeer().host, "192.0.2.2")
        second.send(OK)
        self.assertEqual([r.status for r in client.responses()], [200])

    def test_spent(self) -> None:
        """When all tries took too long it is a 504 with the flags of both."""
        w = wire(per_try=0.2, attempts=1)
        client, _ = w.pair(GET)
        w.reactor.advance(0.2)
        w.reactor.advance(0.025)
        w.accept()
        w.reactor.advance(0.2)
        (response,) = client.responses()
        self.assertEqual((response.status, response.body), (504, b"upstream request timeout"))
        (exchange,) = w.log.exchanges
        self.assertEqual((exchange.flags, exchange.details), (b"URX,UT", b"upstream_per_try_timeout"))

    def test_other_words(self) -> None:
        """A policy that does not retry resets does not retry this either."""
        w = wire(per_try=0.2, words=("connect-failure",))
        client, _ = w.pair(GET)
        w.reactor.advance(0.2)
        self.assertEqual([r.status for r in client.responses()], [504])
        self.assertEqual(w.log.exchanges[0].flags, b"UT")

    def test_not_while_connecting(self) -> None:
        """A try's time runs from when there is a connection and the whole request."""
        w = wire(per_try=0.2)
        client = w.client()
        client.send(POST + b"a")
        w.reactor.advance(1)
        endpoint = w.accept()
        w.reactor.advance(1)
        client.send(b"b")
        w.reactor.advance(0.1)
        self.assertFalse(endpoint.closing)
        w.reactor.advance(0.1)
        self.assertTrue(endpoint.transport.aborted)

    def test_response_begun(self) -> None:
        """It ends with the head of the response."""
        w = wire(per_try=0.2)
        client, endpoint = w.pair(GET)
        endpoint.send(OK[:-1])
        w.reactor.advance(1)
        endpoint.send(OK[-1:])
        self.assertTrue(client.responses()[0].complete)


class Told(SynchronousTestCase):
    """``x-envoy-expected-rq-timeout-ms``."""

    def told(self, w: Wire) -> list[bytes]:
        w.client().send(GET)
        return [line for line in head_lines(w.accept().take()) if line.startswith(b"x-envoy-expected")]

    def test_told(self) -> None:
        """The endpoint hears the time for a try, else that for all, else nothing."""
        name = b"x-envoy-expected-rq-timeout-ms: "
        self.assertEqual(self.told(wire(timeout=5)), [name + b"5000"])
        self.assertEqual(self.told(wire(timeout=5, per_try=0.25)), [name + b"250"])
        self.assertEqual(self.told(wire(timeout=5, per_try=6)), [name + b"5000"])
        self.assertEqual(self.told(wire()), [])

    def test_less_with_each_try(self) -> None:
        """Another try has what is left of the time for all, and no more than a try may have."""
        name = b"x-envoy-expected-rq-timeout-ms: "
        for per_try, told in ((None, (b"1000", b"740", b"480")), (0.75, (b"750", b"740", b"480"))):
            for headers in ((), (HeaderOperations(set=((b"x-envoy-expected-rq-timeout-ms", "77"),)),)):
                w = wire(per_try=per_try, timeout=1, destination={"request_headers": headers})
                w.gateway.getrandbits = lambda _: 0
                w.client().send(GET)
                expected = [b"77" if headers else told[0], *told[1:]]
                for milliseconds in expected:
                    endpoint = w.accept()
                    self.assertIn(name + milliseconds, head_lines(endpoint.take()))
                    w.reactor.advance(0.26)
                    endpoint.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
                    w.reactor.advance(0)
