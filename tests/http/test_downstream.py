"""The client's side: answers in order, when connections stay and how they end."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.listeners import FIRST_REQUEST_SECONDS
from meshproxy.model import Snapshot
from tests.fakes import Wire, route, snapshot

GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UPLOAD = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"


def nowhere() -> Snapshot:
    """A configuration that answers 404 to everything but ``/ok``."""
    return snapshot(routes=[route("/ok")])


class KeepingAlive(SynchronousTestCase):
    """Connections that stay."""

    def test_two_requests(self) -> None:
        """A second request on the connection is answered, over the same endpoint connection."""
        wire = Wire()
        client, endpoint = wire.pair(GET % b"1")
        endpoint.send(OK)
        client.send(GET % b"2")
        self.assertIn(b"GET /2 ", endpoint.take())
        endpoint.send(OK)
        self.assertEqual([(r.status, r.body) for r in client.responses()], [(200, b"ok"), (200, b"ok")])
        self.assertEqual(wire.attempts, [])
        self.assertFalse(client.closing)

    def test_both_sides_without_delay(self) -> None:
        """Nagle's algorithm is off on both sides."""
        client, endpoint = Wire().pair(GET % b"")
        self.assertTrue(client.transport.no_delay)
        self.assertTrue(endpoint.transport.no_delay)

    def test_connection_close(self) -> None:
        """``Connection: close`` is answered with the same, and the connection ends."""
        client, endpoint = Wire().pair(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        endpoint.send(OK)
        self.assertEqual(client.responses()[0][b"connection"], b"close")
        self.assertTrue(client.closing)
        self.assertFalse(endpoint.closing)

    def test_answer_leaves_in_one_write(self) -> None:
        """Head and body of a small answer are one write, as are those of a small request."""
        wire = Wire()
        client = wire.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        endpoint = wire.accept()
        self.assertEqual(endpoint.transport.writes, 1)
        self.assertTrue(endpoint.take().endswith(b"\r\n\r\nhi"))
        endpoint.send(OK)
        self.assertEqual(client.transport.writes, 1)


class RefusedBehind(SynchronousTestCase):
    """A message that is refused while a request before it waits for its answer."""

    def test_in_turn(self) -> None:
        """The request before it is answered as if nothing had come, then the refusal, then the end."""
        refused = {
            b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n": 403,
            b"GET / HTTP/1.0\r\n\r\n": 426,
            b"GET / HTTP/1.1\r\n\r\n": 400,
            b"BAD\r\n\r\n": 400,
            b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n": 404,
        }
        for message, status in refused.items():
            for pieces in ([GET % b"1" + message], [GET % b"1", message]):
                wire = Wire()
                client = wire.client()
                client.send(*pieces)
                endpoint = wire.accept()
                self.assertEqual(client.take(), b"", message)
                endpoint.send(OK)
                self.assertEqual([response.status for response in client.responses()], [200, status], message)


class Pipelining(SynchronousTestCase):
    """Several requests before an answer."""

    def test_order(self) -> None:
        """Answers come in the order of the requests, one exchange at a time, and reading waits meanwhile."""
        wire = Wire(nowhere())
        client = wire.client()
        client.send(GET % b"missing1" + GET % b"ok1" + GET % b"missing2" + GET % b"ok2")
        self.assertEqual([r.status for r in client.responses()], [404])
        self.assertTrue(client.paused)
        endpoint = wire.accept()
        self.assertIn(b"GET /ok1 ", endpoint.take())
        endpoint.send(OK)
        self.assertEqual([r.status for r in client.responses()], [200, 404])
        self.assertFalse(client.paused)
        self.assertIn(b"GET /ok2 ", endpoint.take())
        endpoint.send(OK)
        self.assertEqual([r.status for r in client.responses()], [200])
        self.assertEqual(wire.gateway.counters.requests_active, 0)

    def test_many_answers_at_once(self) -> None:
        """A long pipeline that is answered without an endpoint does not recurse."""
        wire = Wire(nowhere())
        client = wire.client()
        client.send((GET % b"x") * 3000)
        self.assertEqual(len(client.responses()), 3000)
        self.assertFalse(client.paused)

    def test_nothing_behind_a_last_request(self) -> None:
        """What is pipelined behind ``Connection: close`` is not looked at."""
        wire = Wire()
        client, endpoint = wire.pair(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET % b"2")
        endpoint.send(OK)
        self.assertEqual(len(client.responses()), 1)
        self.assertEqual(endpoint.take(), b"")
        self.assertEqual(wire.gateway.counters.requests_total, 1)

    def test_nothing_behind_a_last_request_of_ours(self) -> None:
        """Nor when the gateway answers by itself."""
        client = Wire(nowhere()).client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET % b"2")
        self.assertEqual(len(client.responses()), 1)
        self.assertTrue(client.closing)

    def test_close_while_more_may_be_unread(self) -> None:
        """A connection whose reading waits is not closed at once: unread input would reset it and lose the answer."""
        wire = Wire()
        client, endpoint = wire.pair(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET % b"2")
        self.assertTrue(client.paused)
        endpoint.send(OK)
        self.assertEqual((client.transport.half_closed, client.closing, client.paused), (True, False, False))

    def test_refusal_in_turn(self) -> None:
        """A message that cannot be read is answered after the requests before it, and ends the connection."""
        wire = Wire()
        client, endpoint = wire.pair(GET % b"1" + b"nonsense\r\n\r\n" + GET % b"2")
        self.assertEqual(client.take(), b"")
        endpoint.send(OK)
        self.assertEqual([r.status for r in client.responses()], [200, 400])
        self.assertTrue(client.transport.half_closed)
        client.send(GET % b"3")
        self.assertEqual((client.take(), endpoint.take()), (b"", b""))

    def test_refused_upgrade_in_turn(self) -> None:
        """So is a request for another protocol; what follows in that protocol is not read."""
        wire = Wire()
        upgrade = b"GET /u HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n"
        client, endpoint = wire.pair(GET % b"1" + upgrade + GET % b"2")
        endpoint.send(OK)
        self.assertEqual([r.status for r in client.responses()], [200, 403])
        self.assertEqual(endpoint.take(), b"")
        self.assertEqual(wire.log.exchanges[1].path, b"/u")


class Ending(SynchronousTestCase):
    """How connections end."""

    def test_linger(self) -> None:
        """After a refusal only our side is closed; what comes is thrown away; two seconds later all is closed.

        That close is an orderly one: a reset would destroy what a slow client has not received yet.
        """
        wire = Wire()
        client = wire.client()
        client.send(b"nonsense\r\n\r\n")
        (answer,) = client.responses()
        self.assertEqual((answer.status, answer[b"connection"]), (400, b"close"))
        self.assertTrue(client.transport.half_closed)
        client.send(b"more", GET % b"")
        self.assertEqual(client.take(), b"")
        wire.reactor.advance(1.9)
        self.assertFalse(client.closing)
        wire.reactor.advance(0.2)
        self.assertEqual((client.closing, client.transport.aborted), (True, False))

    def test_linger_ends_with_the_client(self) -> None:
        """A client that closes is not waited for, and leaves nothing behind."""
        wire = Wire()
        client = wire.client()
        client.send(b"nonsense\r\n\r\n")
        client.close()
        wire.reactor.advance(2)
        self.assertFalse(client.closing)
        self.assertEqual(wire.timers, [])
        self.assertEqual(wire.gateway.counters.connections_active, 0)

    def test_answer_before_the_request_is_complete(self) -> None:
        """A request that is answered without its body ends the connection, for the body may never come."""
        wire = Wire(nowhere())
        client = wire.client()
        client.send(UPLOAD)
        (answer,) = client.responses()
        self.assertEqual((answer.status, answer[b"connection"]), (404, b"close"))
        self.assertTrue(client.transport.half_closed)

    def test_client_leaves_in_each_phase(self) -> None:
        """Whenever the client goes, the exchange is accounted once, the endpoint's connection is aborted if it carried
        it, and nothing is left."""
        for phase in range(5):
            wire = Wire()
            client = wire.client()
            endpoint = None
            if phase >= 1:
                client.send(UPLOAD + b"x")
            if phase >= 2:
                endpoint = wire.accept()
            if phase >= 3 and endpoint:
                endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            if phase == 4 and endpoint:
                endpoint.stop_reading()
                client.stop_reading()
            client.reset()
            if phase == 1:
                endpoint = wire.accept()
                self.assertFalse(endpoint.closing)  # it is kept for the next request
                self.assertEqual(endpoint.take(), b"")
            elif endpoint:
                self.assertTrue(endpoint.transport.aborted, phase)
                endpoint.settle()
            counters = wire.gateway.counters
            self.assertEqual((counters.requests_active, counters.connections_active), (0, 0))
            self.assertEqual(counters.requests_total, int(phase > 0))
            self.assertEqual([e.flags for e in wire.log.exchanges], [b"DC"] * (phase > 0))
            self.assertEqual([e.details for e in wire.log.exchanges], [b"downstream_remote_disconnect"] * (phase > 0))
            self.assertEqual([e.status for e in wire.log.exchanges], [200 if phase > 2 else 0] * (phase > 0))
            self.assertEqual(wire.timers, [])
            (state,) = wire.gateway.upstreams.clusters.values()
            self.assertEqual([host.active for host in state.hosts.values()], [0])

    def test_client_leaves_between_tries(self) -> None:
        """A retry that waits is given up."""
        wire = Wire()
        client = wire.client()
        client.send(GET % b"")
        wire.refuse()
        client.close()
        wire.reactor.advance(1)
        self.assertEqual(wire.attempts, [])

    def test_body_is_broken(self) -> None:
        """A body that is not framed as it says is 400 before an answer began, a cut connection after."""
        chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"
        client, endpoint = Wire().pair(chunked)
        client.send(b"zz\r\n")
        self.assertEqual([(r.status, r.body) for r in client.responses()], [(400, b"Bad Request")])
        self.assertTrue(endpoint.transport.aborted)

        wire = Wire()
        client, endpoint = wire.pair(chunked)
        endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        client.send(b"zz\r\n")
        self.assertFalse(client.responses()[0].complete)
        self.assertTrue(client.closing)
        self.assertEqual(wire.log.exchanges[0].flags, b"DPE")

    def test_drain(self) -> None:
        """Draining ends idle connections at once and others with their answer, which says so."""
        wire = Wire()
        idle, endpoint = wire.pair(GET % b"")
        endpoint.send(OK)
        client = wire.client()
        client.send(GET % b"")
        done = wire.gateway.drain(30)
        self.assertTrue(idle.closing)
        self.assertFalse(client.closing)
        endpoint.send(OK)
        self.assertEqual(client.responses()[0][b"connection"], b"close")
        self.assertTrue(client.closing)
        idle.settle()
        client.settle()
        self.assertNoResult(done)
        wire.reactor.advance(0.1)
        self.successResultOf(done)

    def test_drain_waits_for_a_first_request(self) -> None:
        """A client that has connected and not asked yet cannot know: its request is answered, as its last one, also if
        it comes in pieces."""
        wire = Wire()
        client, other = wire.client(), wire.client()
        done = wire.gateway.drain(30)
        self.assertEqual((client.closing, other.closing), (False, False))
        request = GET % b""
        client.send(request[:10])
        client.send(request[10:])
        endpoint = wire.accept()
        endpoint.send(OK)
        (response,) = client.responses()
        self.assertEqual((response.status, response[b"connection"]), (200, b"close"))
        self.assertTrue(client.closing)
        wire.reactor.advance(FIRST_REQUEST_SECONDS)
        self.assertTrue(other.closing)
        client.settle()
        other.settle()
        wire.reactor.advance(0.1)
        self.successResultOf(done)

    def test_drain_refuses_newcomers(self) -> None:
        """A connection that is accepted while the gateway drains ends at once."""
        wire = Wire()
        wire.client()
        wire.gateway.drain(30)
        client = wire.client()
        self.assertTrue(client.closing)
        client.send(GET % b"")
        self.assertEqual((client.take(), wire.attempts), (b"", []))

    def test_drain_timeout(self) -> None:
        """What is left at the end of the time is aborted."""
        wire = Wire()
        client, _ = wire.pair(GET % b"")
        done = wire.gateway.drain(1)
        wire.reactor.pump([0.1] * 9)
        self.assertFalse(client.transport.aborted)
        wire.reactor.pump([0.1] * 2)
        self.assertTrue(client.transport.aborted)
        client.settle()
        wire.reactor.advance(0.1)
        self.successResultOf(done)
