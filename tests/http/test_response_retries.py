"""Trying again what was sent: responses that are thrown away, connections that end, bodies that are sent once more."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.routes import RetryPolicy
from tests.fakes import CountedCookie, FixedBalancer, Peer, Wire, cluster, endpoints, route, snapshot
from tests.http.test_exchange import GET, OK, RESET, head_lines

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy"


def wire(*words: str, attempts: int = 2, count: int = 3, **policy: Any) -> Wire:
    """A gateway whose route is retried on these words."""
    retries = RetryPolicy(attempts, frozenset(words), **policy)
    return Wire(snapshot(cluster(count), routes=[route(retries=retries)]))


def next_try(wire: Wire) -> Peer:
    """The endpoint that the next try reaches."""
    wire.reactor.advance(1)
    return wire.accept()


class Responses(SynchronousTestCase):
    def test_thrown_away(self) -> None:
        """The client sees nothing of a response that is retried; the next endpoint hears which try it is."""
        w = wire("5xx")
        client, first = w.pair(GET)
        first.send(UNAVAILABLE)
        self.assertEqual(client.take(), b"")
        self.assertTrue(first.closing)
        second = next_try(w)
        self.assertEqual(second.transport.getPeer().host, "192.0.2.2")
        self.assertIn(b"x-envoy-attempt-count: 2", head_lines(second.take()))
        second.send(OK)
        self.assertEqual([(r.status, r.body) for r in client.responses()], [(200, b"ok")])
        (exchange,) = w.log.exchanges
        self.assertEqual((exchange.flags, exchange.bytes_sent), (b"", 2))
        self.assertEqual(w.gateway.counters.responses_5xx, 0)

    def test_spent(self) -> None:
        """The response to the last try is the client's, whatever it is, and the log says so."""
        w = wire("gateway-error", attempts=1)
        client, first = w.pair(GET)
        first.send(UNAVAILABLE)
        next_try(w).send(UNAVAILABLE)
        self.assertEqual([(r.status, r.body) for r in client.responses()], [(503, b"busy")])
        (exchange,) = w.log.exchanges
        self.assertEqual((exchange.flags, exchange.details), (b"URX", b"via_upstream"))

    def test_others(self) -> None:
        """A status that is not meant is passed on at once, without a flag."""
        w = wire("gateway-error")
        client, first = w.pair(GET)
        first.send(UNAVAILABLE.replace(b"503", b"500"))
        self.assertEqual([r.status for r in client.responses()], [500])
        self.assertEqual(w.log.exchanges[0].flags, b"")

    def test_grpc_status(self) -> None:
        """By default a gRPC status of 14 is retried and a 503 is not."""
        w = Wire(snapshot(cluster(2)))
        client, first = w.pair(GET)
        first.send(b"HTTP/1.1 200 OK\r\ngrpc-status: 14\r\nContent-Length: 0\r\n\r\n")
        next_try(w).send(UNAVAILABLE)
        self.assertEqual([r.status for r in client.responses()], [503])

    def test_head(self) -> None:
        """A response to HEAD, which has a length and no body, is retried as any other."""
        w = wire("5xx")
        client, first = w.pair(GET.replace(b"GET", b"HEAD"))
        first.send(UNAVAILABLE[:-4])
        next_try(w).send(OK[:-2])
        self.assertTrue(client.take().startswith(b"HTTP/1.1 200 OK"))

    def test_in_pieces(self) -> None:
        """A response that is thrown away may come in any pieces; what comes late has nowhere to go."""
        w = wire("5xx")
        client, first = w.pair(GET)
        first.send(UNAVAILABLE[:10], UNAVAILABLE[10:-3], UNAVAILABLE[-3:])
        self.assertEqual(client.take(), b"")
        next_try(w).send(OK)
        self.assertEqual([r.status for r in client.responses()], [200])

    def test_hash_anew(self) -> None:
        """Each try asks the keys anew; the client gets the cookies of all tries."""
        key, balancer = CountedCookie(), FixedBalancer(endpoints(2), uses_hash=True)
        retries = RetryPolicy(1, frozenset({"5xx"}))
        w = Wire(snapshot(cluster(2, balancer=balancer), routes=[route(retries=retries, hash_policy=(key,))]))
        client, first = w.pair(GET)
        first.send(UNAVAILABLE)
        next_try(w).send(OK)
        self.assertEqual(client.responses()[0].values(b"set-cookie"), [b"id=1", b"id=2"])

    def test_client_leaves(self) -> None:
        """A client that leaves between two tries ends them."""
        w = wire("5xx")
        client, first = w.pair(GET)
        first.send(UNAVAILABLE)
        client.close()
        self.assertEqual(w.timers, [])
        self.assertEqual(w.log.exchanges[0].flags, b"DC")


class Failures(SynchronousTestCase):
    def test_lost(self) -> None:
        """A connection that ends without a response is retried under reset, and not by default."""
        w = wire("reset", attempts=1)
        client, first = w.pair(GET)
        first.close()
        next_try(w).close()
        (response,) = client.responses()
        self.assertEqual(response.body, RESET + b"retried and the latest reset reason: connection termination")
        self.assertEqual(w.log.exchanges[0].flags, b"URX,UC")

    def test_garbage(self) -> None:
        """So is a response that is none."""
        w = wire("5xx")
        client, first = w.pair(GET)
        first.send(b"garbage\r\n\r\n")
        next_try(w).send(OK)
        self.assertEqual([r.status for r in client.responses()], [200])

    def test_not_in_the_middle(self) -> None:
        """Nothing is retried once the client has got something of a response."""
        w = wire("5xx", "reset")
        client, first = w.pair(GET)
        first.send(OK[:-1])
        first.close()
        self.assertEqual(w.attempts, [])
        self.assertTrue(client.closing)
        self.assertEqual(w.timers, [])

    def test_no_policy(self) -> None:
        """Without a policy there is one try."""
        w = Wire(snapshot(cluster(2), routes=[route(retries=None)]))
        client = w.client()
        client.send(GET)
        w.refuse()
        self.assertEqual([r.status for r in client.responses()], [503])
        self.assertEqual(w.log.exchanges[0].flags, b"UF")


class Bodies(SynchronousTestCase):
    def test_sent_again(self) -> None:
        """A body is sent again from its beginning, also what of it came after the failure."""
        w = wire("5xx")
        client, first = w.pair(POST % 6 + b"ab")
        client.send(b"cd")
        first.send(UNAVAILABLE)
        client.send(b"ef")
        second = next_try(w)
        self.assertTrue(second.take().endswith(b"\r\n\r\nabcdef"))
        second.send(UNAVAILABLE)
        third = next_try(w)
        self.assertTrue(third.take().endswith(b"\r\n\r\nabcdef"))
        third.send(OK)
        self.assertEqual([r.status for r in client.responses()], [200])

    def test_goes_on(self) -> None:
        """A body that is still coming goes on with the next try."""
        w = wire("5xx")
        client, first = w.pair(POST % 6 + b"ab")
        first.send(UNAVAILABLE)
        second = next_try(w)
        self.assertTrue(second.take().endswith(b"\r\n\r\nab"))
        client.send(b"cd", b"ef")
        self.assertEqual(second.take(), b"cdef")

    def test_chunked(self) -> None:
        """So is a chunked one."""
        w = wire("5xx")
        _, first = w.pair(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        )
        first.send(UNAVAILABLE)
        self.assertTrue(next_try(w).take().endswith(b"\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"))

    def test_up_to_a_mebibyte(self) -> None:
        """A body of 1 MiB is sent again, a larger one never: its response is passed on, and there is no flag."""
        for size, repeated in ((1 << 20, True), ((1 << 20) + 1, False)):
            w = wire("5xx")
            client, first = w.pair(POST % size)
            for _ in range(16):
                client.send(bytes(1 << 16))
            client.send(bytes(size - (1 << 20)))
            first.send(UNAVAILABLE)
            w.reactor.advance(1)
            self.assertEqual(len(w.attempts), repeated)
            if repeated:
                self.assertEqual(len(w.accept().take().partition(b"\r\n\r\n")[2]), size)
            else:
                self.assertEqual([r.status for r in client.responses()], [503])
                self.assertEqual(w.log.exchanges[0].flags, b"")

    def test_forgotten(self) -> None:
        """What was kept of a body is let go when the response comes."""
        w = wire("5xx")
        client, first = w.pair(POST % 2 + b"ab")
        exchange = client.protocol._current
        self.assertEqual(exchange._kept, [b"ab"])
        first.send(OK[:-1])
        self.assertIsNone(exchange._kept)
