"""What a client can hold: limits on time, numbers and sizes, each with its answer."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.limits import Limits, Underscores
from meshproxy.model import Snapshot
from tests.fakes import Peer, Wire, route, snapshot

GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
UPLOAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"


def limited(**limits: Any) -> Snapshot:
    """A configuration that answers 404 to everything but ``/ok``, with these limits."""
    return snapshot(routes=[route("/ok")], limits=Limits(**limits))


def wire(**limits: Any) -> Wire:
    """A gateway with limits that looks at its connections."""
    found = Wire(snapshot(limits=Limits(**limits)))
    found.gateway.start()
    return found


def wait(w: Wire, seconds: float) -> None:
    """Let time pass in steps as small as those of a round for four seconds."""
    w.reactor.pump([0.0625] * round(seconds * 16))


class HeadTime(SynchronousTestCase):
    """``requestHeadersTimeout``."""

    def test_late(self) -> None:
        """A head that is not complete in time is answered 408, not before, and that ends the connection."""
        w = wire(request_headers_timeout=4)
        client = w.client()
        for byte in GET[:16]:
            client.send(bytes((byte,)))
            wait(w, 0.25)
        self.assertEqual(client.take(), b"")
        wait(w, 1)
        (answer,) = client.responses()
        self.assertEqual((answer.status, answer.body), (408, b"request header timeout"))
        self.assertEqual(answer[b"connection"], b"close")
        self.assertTrue(client.transport.half_closed)
        (exchange,) = w.log.exchanges
        self.assertEqual((exchange.flags, exchange.details), (b"", b"request_header_timeout"))
        self.assertEqual(w.gateway.counters.protocol_errors_total, 0)

    def test_for_each_head(self) -> None:
        """The time is for one head: a client that keeps sending new ones is not ended."""
        w = wire(request_headers_timeout=4)
        client, endpoint = w.pair(GET % b"")
        endpoint.send(OK)
        for _ in range(8):
            client.send(GET[:9])
            wait(w, 1)
            client.send(GET[9:])
            endpoint.send(OK)
        self.assertEqual({response.status for response in client.responses()}, {200})

    def test_behind_an_answer(self) -> None:
        """While an answer is outstanding, the time of the head behind it does not run."""
        w = wire(request_headers_timeout=4)
        client, endpoint = w.pair(GET % b"" + GET[:9])
        wait(w, 9)
        endpoint.send(OK)
        client.send(GET[9:])
        endpoint.send(OK)
        self.assertEqual([response.status for response in client.responses()], [200, 200])

    def test_off(self) -> None:
        """0 is no limit."""
        w = wire(request_headers_timeout=0)
        client = w.client()
        client.send(GET[:9])
        wait(w, 400)
        self.assertFalse(client.closing)


class IdleTime(SynchronousTestCase):
    """``ISTIO_META_IDLE_TIMEOUT``."""

    def test_between_requests(self) -> None:
        """A connection without a request is closed without a word; each request begins the time anew."""
        w = wire(idle_timeout=4)
        client, endpoint = w.pair(GET % b"")
        endpoint.send(OK)
        wait(w, 3.9)
        client.send(GET % b"")
        endpoint.send(OK)
        client.responses()
        wait(w, 3.9)
        self.assertFalse(client.closing)
        wait(w, 0.6)
        self.assertEqual((client.closing, client.take()), (True, b""))

    def test_before_the_first(self) -> None:
        """One that never says anything, or nothing but line ends, is closed too."""
        w = wire(idle_timeout=4)
        silent, empty = w.client(), w.client()
        for _ in range(9):
            empty.send(b"\r\n")
            wait(w, 0.51)
        self.assertTrue(silent.closing)
        self.assertTrue(empty.closing)
        self.assertEqual(w.log.exchanges, [])

    def test_not_during_an_answer(self) -> None:
        """An exchange is not idleness, however long it takes."""
        w = wire(idle_timeout=4)
        client, _ = w.pair(GET % b"")
        wait(w, 20)
        self.assertFalse(client.closing)


class StreamIdleTime(SynchronousTestCase):
    """``streamIdleTimeout``."""

    def check(self, w: Wire, status: int) -> None:
        (exchange,) = w.log.exchanges
        self.assertEqual((exchange.status, exchange.flags), (status, b"SI"))
        self.assertEqual(exchange.details, b"stream_idle_timeout")
        self.assertEqual(w.gateway.counters.stream_idle_timeouts_total, 1)

    def test_endpoint_is_silent(self) -> None:
        """An endpoint that does not answer costs a 504 and its connection; the client's stays."""
        w = wire(stream_idle_timeout=4)
        client, endpoint = w.pair(GET % b"")
        wait(w, 3.9)
        self.assertEqual(client.take(), b"")
        wait(w, 0.7)
        (answer,) = client.responses()
        self.assertEqual((answer.status, answer.body), (504, b"stream timeout"))
        self.assertEqual((endpoint.transport.aborted, client.closing), (True, False))
        self.check(w, 504)

    def test_client_is_silent(self) -> None:
        """A client that stops in its body gets a 408, which ends its connection."""
        w = wire(stream_idle_timeout=4)
        client, endpoint = w.pair(UPLOAD + b"half")
        wait(w, 4.6)
        (answer,) = client.responses()
        self.assertEqual((answer.status, answer[b"connection"]), (408, b"close"))
        self.assertTrue(endpoint.transport.aborted)
        self.check(w, 408)

    def test_response_stops(self) -> None:
        """A response that stops in the middle is cut, so that it does not look whole."""
        w = wire(stream_idle_timeout=4)
        client, endpoint = w.pair(GET % b"")
        endpoint.send(HALF)
        wait(w, 4.6)
        self.assertFalse(client.responses()[0].complete)
        self.assertTrue(client.closing)
        self.check(w, 200)

    def test_slow_is_not_idle(self) -> None:
        """Anything that moves in either direction begins the time anew."""
        w = wire(stream_idle_timeout=4)
        client, endpoint = w.pair(UPLOAD)
        for byte in b"0123456789":
            client.send(bytes((byte,)))
            wait(w, 3)
        endpoint.send(HALF)
        for byte in b"456789":
            wait(w, 3)
            endpoint.send(bytes((byte,)))
        self.assertEqual(client.responses()[0].body, b"half456789")

    def test_behind_answers_that_nobody_takes(self) -> None:
        """A client that takes no answer is not answered once more; its connection is reset."""
        w = wire(stream_idle_timeout=4)
        client, endpoint = w.pair(GET % b"1" + GET % b"2")
        client.stop_reading()
        endpoint.send(OK)
        wait(w, 4.6)
        self.assertTrue(client.transport.aborted)


class Leaving(SynchronousTestCase):
    """Connections that are on their way out."""

    def test_last_answer_is_not_taken(self) -> None:
        """A client that takes nothing of its last answer for half a minute is reset; one that takes some is not."""
        w = wire()
        client, endpoint = w.pair(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        client.transport.dataBuffer = b"x" * 100
        endpoint.send(OK)
        self.assertTrue(client.closing)
        wait(w, 29)
        client.transport.dataBuffer = b"x" * 99
        wait(w, 29)
        self.assertFalse(client.transport.aborted)
        wait(w, 9)
        self.assertTrue(client.transport.aborted)


class Numbers(SynchronousTestCase):
    """Connections, and requests on them."""

    def test_connections(self) -> None:
        """What is accepted beyond the limit is closed at once and counted; when one leaves there is room again."""
        w = Wire(limited(max_connections=2))
        first = w.client()
        w.client()
        factory = w.gateway.factory(("", 80))
        self.assertIsNone(factory.buildProtocol(None))
        self.assertIsNone(factory.buildProtocol(None))
        self.assertEqual(w.gateway.counters.connections_refused_total, 2)
        first.close()
        self.assertIsNotNone(factory.buildProtocol(None))
        self.assertEqual(len(self.flushWarnings()), 0)

    def test_connections_of_several_processes(self) -> None:
        """Each process has its part of the limit, and all of it when the others are gone."""
        w = Wire(limited(max_connections=3))
        factory = w.gateway.factory(("", 80))
        w.gateway.processes = 2
        w.client()
        self.assertIsNotNone(factory.buildProtocol(None))
        w.client()
        self.assertIsNone(factory.buildProtocol(None))
        w.gateway.processes = 1
        self.assertIsNotNone(factory.buildProtocol(None))

    def test_requests(self) -> None:
        """The last request that a connection may have is answered with ``connection: close``."""
        client = Wire(limited(max_requests_per_connection=3)).client()
        client.send(GET % b"" * 5)
        answers = client.responses()
        self.assertEqual([answer.values(b"connection") for answer in answers], [[], [], [b"close"]])
        self.assertTrue(client.transport.half_closed or client.closing)

    def test_pipelined(self) -> None:
        """Of a pipeline no more is parsed than may wait, and all of it is answered in the end."""
        w = Wire(limited(max_pipelined_requests=5))
        client = w.client()
        client.send(GET % b"ok" + GET % b"no" * 1000)
        endpoint = w.accept()
        self.assertTrue(client.paused)
        self.assertLess(len(client.protocol._waiting), 5 + 4096 // len(GET))
        endpoint.send(OK)
        self.assertEqual([response.status for response in client.responses()], [200] + [404] * 1000)
        self.assertFalse(client.paused)
        client.send(GET % b"no")
        self.assertEqual(len(client.responses()), 1)

    def test_pipelined_bodies(self) -> None:
        """Bodies and what follows them come through whole, wherever parsing has to wait."""
        w = Wire(limited(max_pipelined_requests=1))
        client = w.client()
        body = b"\xff" * 10000
        framed = b"POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        sized = b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        client.send((sized + framed % (len(body), body)) * 3)
        endpoint = w.accept()
        for _ in range(6):
            self.assertEqual(endpoint.take().count(b"\xff"), 10000)
            endpoint.send(OK)
        self.assertEqual(len(client.responses()), 6)

    def test_refused_behind_a_pipeline(self) -> None:
        """What cannot be read behind requests that wait is refused in its turn."""
        w = Wire(limited(max_pipelined_requests=2))
        client = w.client()
        client.send(GET % b"no" * 300 + b"nonsense\r\n\r\n" + GET % b"no" * 300)
        self.assertEqual([response.status for response in client.responses()], [404] * 300 + [400])

    def test_client_leaves_a_pipeline(self) -> None:
        """Nothing of a pipeline is served for a client that is gone."""
        w = Wire(limited(max_pipelined_requests=2))
        client = w.client()
        client.send(GET % b"ok" + GET % b"no" * 1000)
        client.close()
        self.assertEqual(w.gateway.counters.requests_total, 1)


class Sizes(SynchronousTestCase):
    """Heads and buffers."""

    def statuses(self, client: Peer) -> list[tuple[int, bytes]]:
        return [(response.status, response.body) for response in client.responses()]

    def test_request_head(self) -> None:
        """A head that is too large, or has too many fields, is 431; the limit itself is not too large."""
        too_large = (431, b"Request Header Fields Too Large")
        for head in (b"X: " + b"x" * 1100 + b"\r\n", b"X: 1\r\n" * 5):
            client = Wire(limited(max_headers_bytes=1024, max_headers_count=5)).client()
            client.send(GET[:-2] % b"" + head + b"\r\n")
            self.assertEqual(self.statuses(client), [too_large])
        client = Wire(limited(max_headers_bytes=1024, max_headers_count=5)).client()
        client.send(GET[:-2] % b"" + b"X: 1\r\n" * 4 + b"\r\n")
        self.assertEqual(self.statuses(client), [(404, b"")])

    def test_response_head(self) -> None:
        """An endpoint's head has the same limits; beyond them it is a 502."""
        for head in (b"X: " + b"x" * 1100 + b"\r\n", b"X: 1\r\n" * 5):
            w = Wire(snapshot(limits=Limits(max_headers_bytes=1024, max_headers_count=5)))
            client, endpoint = w.pair(GET % b"")
            endpoint.send(OK[:17] + head + OK[17:])
            self.assertEqual([response.status for response in client.responses()], [502])
            self.assertTrue(endpoint.transport.aborted)

    def test_large_body_in_the_first_read(self) -> None:
        """What comes with a head is not counted as head, in either direction."""
        w = Wire(snapshot(limits=Limits(max_headers_bytes=1024)))
        client = w.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3000)
        w.accept().send(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3000)
        self.assertEqual(len(client.responses()[0].body), 3000)

    def test_buffers(self) -> None:
        """Both transports are told how much may wait; by default they are left as they are."""
        client, endpoint = Wire(snapshot(limits=Limits(buffer=4096))).pair(GET % b"")
        self.assertEqual((client.transport.limit, endpoint.transport.limit), (4096, 4096))
        client, endpoint = Wire().pair(GET % b"")
        self.assertEqual((client.transport.limit, endpoint.transport.limit), (None, None))

    def test_underscores(self) -> None:
        """A field whose name has an underscore passes, is left out, or costs a 400."""
        request = b"GET / HTTP/1.1\r\nHost: a\r\nX_One: 1\r\nX-Two: 2\r\n\r\n"
        for action, seen in ((Underscores.ALLOW, True), (Underscores.DROP_HEADER, False)):
            w = Wire(snapshot(limits=Limits(underscores=action)))
            w.client().send(request)
            head = w.accept().take()
            self.assertEqual((b"x_one: 1\r\n" in head, b"x-two: 2\r\n" in head), (seen, True))
        w = Wire(snapshot(limits=Limits(underscores=Underscores.REJECT_REQUEST)))
        client = w.client()
        client.send(request)
        self.assertEqual(self.statuses(client), [(400, b"Bad Request")])
        self.assertEqual(w.log.exchanges[0].details, b"http1.unexpected_underscore")


class Reloaded(SynchronousTestCase):
    """Limits that change."""

    def test_in_force_for_connections_that_exist(self) -> None:
        """A connection that exists has the new limits, its time counted from the change."""
        w = wire(idle_timeout=400)
        client = w.client()
        wait(w, 100)
        w.gateway.install(snapshot(limits=Limits(idle_timeout=4, max_requests_per_connection=1)))
        wait(w, 3.9)
        self.assertFalse(client.closing)
        client.send(GET % b"")
        w.accept().send(OK)
        self.assertEqual(client.responses()[0][b"connection"], b"close")
        other = w.client()
        wait(w, 8)
        self.assertTrue(other.closing)
