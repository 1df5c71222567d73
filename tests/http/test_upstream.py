"""The endpoint's side: framing of responses, the pool, and endpoints that misbehave."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import Peer, Response, Wire, read_responses

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answer(*pieces: bytes, request: bytes = GET) -> tuple[Response, Peer, Peer, Wire]:
    """What a client gets for one request when the endpoint sends ``pieces``."""
    wire = Wire()
    client, endpoint = wire.pair(request)
    endpoint.send(*pieces)
    (response,) = read_responses(client.take(), lambda _: request.startswith(b"HEAD"))
    return response, client, endpoint, wire


class Framing(SynchronousTestCase):
    """Responses as endpoints frame them, and as the client gets them."""

    def test_content_length(self) -> None:
        """A length stays one, in whatever pieces the response comes."""
        data = b"HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nX-A: 1 \r\n\r\nhello"
        for at in range(1, len(data)):
            response, client, endpoint, _ = answer(data[:at], data[at:])
            self.assertEqual((response.status, response.reason, response.body), (200, b"OK", b"hello"))
            self.assertEqual((response[b"content-length"], response[b"x-a"]), (b"5", b"1"))
            self.assertTrue(response.complete)
            self.assertFalse(client.closing or endpoint.closing)

    def test_chunked(self) -> None:
        """Chunks are framed anew; extensions and trailers are left out; the connection is kept."""
        data = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"
        )
        for at in range(1, len(data)):
            response, client, endpoint, _ = answer(data[:at], data[at:])
            self.assertEqual((response.body, response.complete), (b"abcde", True))
            self.assertEqual(response.values(b"content-length") + response.values(b"x-trailer"), [])
            self.assertFalse(client.closing or endpoint.closing)

    def test_until_close(self) -> None:
        """A response that ends with the connection becomes chunked, and the client's connection is kept."""
        wire = Wire()
        client, endpoint = wire.pair(GET)
        endpoint.send(b"HTTP/1.1 200 OK\r\n\r\nabc", b"de")
        self.assertFalse(read_responses(client.transport.value())[0].complete)
        endpoint.close()
        (response,) = client.responses()
        self.assertEqual((response.body, response.complete), (b"abcde", True))
        self.assertFalse(client.closing)
        self.assertEqual(wire.log.exchanges[0].details, b"via_upstream")

    def test_until_reset(self) -> None:
        """When such a response ends with a reset, it is cut."""
        wire = Wire()
        client, endpoint = wire.pair(GET)
        endpoint.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        endpoint.reset()
        self.assertFalse(client.responses()[0].complete)
        self.assertTrue(client.closing)
        self.assertEqual(wire.log.exchanges[0].flags, b"UC")

    def test_head(self) -> None:
        """A response to HEAD has no body, whatever its head says, and the connection serves the next request."""
        for framing in (b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"):
            wire = Wire()
            client, endpoint = wire.pair(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            endpoint.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
            data = client.take()
            self.assertTrue(data.endswith(b"\r\n\r\n"))
            self.assertIn(framing.lower(), data)
            client.send(GET)
            endpoint.send(OK)
            self.assertEqual(client.responses()[0].body, b"ok")
            self.assertEqual(wire.attempts, [])

    def test_no_body_by_status(self) -> None:
        """204 and 304 have no body; 204 has no length either, 304 keeps it."""
        response, _, endpoint, _ = answer(b"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n")
        self.assertEqual((response.status, response.values(b"content-length")), (204, []))
        self.assertEqual(response.values(b"transfer-encoding"), [])
        self.assertFalse(endpoint.closing)
        response, _, endpoint, _ = answer(b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n")
        self.assertEqual((response.status, response[b"content-length"]), (304, b"5"))
        self.assertFalse(endpoint.closing)

    def test_http_1_0(self) -> None:
        """A response in HTTP/1.0 is passed on in HTTP/1.1, and its connection is not used again."""
        response, client, endpoint, _ = answer(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.assertEqual(response.body, b"ok")
        self.assertTrue(endpoint.closing)
        self.assertFalse(client.closing)

    def test_connection_close(self) -> None:
        """``Connection: close`` of an endpoint ends its connection, and is not the client's business."""
        response, client, endpoint, _ = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.assertEqual(response.values(b"connection"), [])
        self.assertTrue(endpoint.closing)
        self.assertFalse(client.closing)


class Interim(SynchronousTestCase):
    """1xx responses."""

    EXPECTING = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"

    def test_continue(self) -> None:
        """The endpoint's 100 reaches the client, then the body the endpoint, then the answer the client."""
        client, endpoint = Wire().pair(self.EXPECTING)
        endpoint.send(b"HTTP/1.1 100 Go on\r\nX-A: 1\r\n\r\n")
        self.assertEqual(client.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"hi")
        self.assertEqual(endpoint.take(), b"hi")
        endpoint.send(OK)
        (response,) = client.responses()
        self.assertEqual((response.status, response.values(b"connection")), (200, []))
        self.assertFalse(client.closing or endpoint.closing)

    def test_final_instead(self) -> None:
        """A final status instead of 100 ends both connections, for nobody knows whether the body will come."""
        response, client, endpoint, _ = answer(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", request=self.EXPECTING)
        self.assertEqual((response.status, response[b"connection"]), (417, b"close"))
        self.assertTrue(client.transport.half_closed)
        self.assertTrue(endpoint.closing)

    def test_others_are_dropped(self) -> None:
        """Other interim responses are not passed on."""
        response, _, _, _ = answer(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)
        self.assertEqual((response.status, response.values(b"link")), (200, []))

    def test_no_end_of_them(self) -> None:
        """Interim responses without end are an error."""
        wire = Wire()
        client, endpoint = wire.pair(GET)
        endpoint.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 50)
        self.assertEqual([r.status for r in client.responses()], [502])
        self.assertTrue(endpoint.transport.aborted)

    def test_switching_protocols(self) -> None:
        """101 without our asking is an error, and nothing behind it reaches the client."""
        response, _, endpoint, _ = answer(b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n" + OK)
        self.assertEqual(response.status, 502)
        self.assertTrue(endpoint.transport.aborted)


class Misbehaving(SynchronousTestCase):
    """Endpoints are not trusted."""

    def test_garbage(self) -> None:
        """What is not HTTP is 502; the client's connection stays, the endpoint's does not."""
        for data in (
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 200\n\n",
            b"HTTP/1.1 099 x\r\n\r\nbody",
            b"HTTP/1.1 000 x\r\nContent-Length: 4\r\n\r\nbody",
            b"HTTP/1.1 2000 x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000,
            b"HTTP/1.1 100 x\r\nContent-Length: 4\r\n\r\nbody",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ):
            wire = Wire()
            client, endpoint = wire.pair(GET)
            endpoint.send(data)
            responses = [r for r in client.responses() if r.status != 100]
            self.assertEqual([r.status for r in responses], [502], data)
            self.assertEqual(
                responses[0].body,
                b"upstream connect error or disconnect/reset before headers. reset reason: protocol error",
            )
            self.assertTrue(endpoint.transport.aborted)
            self.assertFalse(client.closing)
            self.assertEqual(wire.log.exchanges[0].flags, b"UPE")

    def test_closed_in_a_head(self) -> None:
        """A connection that ends in the middle of a head is 502."""
        wire = Wire()
        client, endpoint = wire.pair(GET)
        endpoint.send(b"HTTP/1.1 200 OK\r\nX-")
        endpoint.close()
        self.assertEqual([r.status for r in client.responses()], [502])

    def test_cut_responses(self) -> None:
        """A response that breaks off never looks whole: the client's connection ends without the rest."""
        for head, breakage in (
            (b"Content-Length: 10", None),
            (b"Transfer-Encoding: chunked", None),
            (b"Transfer-Encoding: chunked", b"zz\r\n"),
        ):
            wire = Wire()
            client, endpoint = wire.pair(GET)
            endpoint.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n2\r\nab\r\n")
            if breakage:
                endpoint.send(breakage)
            else:
                endpoint.close()
            (response,) = client.responses()
            self.assertFalse(response.complete)
            self.assertTrue(client.closing)
            (exchange,) = wire.log.exchanges
            self.assertEqual((exchange.status, exchange.flags), (200, b"UPE" if breakage else b"UC"))

    def test_surplus(self) -> None:
        """Bytes behind a response cost the connection and not the answer; they reach nobody."""
        for first in (OK + b"surplus", OK + OK, OK + b"HTTP/1.1 200 OK\r\n"):
            response, client, endpoint, _ = answer(first)
            self.assertEqual((response.body, response.complete), (b"ok", True))
            self.assertTrue(endpoint.closing)
            self.assertFalse(client.closing)

    def test_body_for_head(self) -> None:
        """A body in answer to HEAD reaches nobody and costs the connection."""
        response, _, endpoint, _ = answer(OK, request=b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual((response.body, response[b"content-length"]), (b"", b"2"))
        self.assertTrue(endpoint.closing)

    def test_speaking_while_idle(self) -> None:
        """An idle connection that says something, or is closed by the endpoint, leaves the pool."""
        for late in (b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n", None):
            _, client, endpoint, wire = answer(OK)
            if late:
                endpoint.send(late)
                self.assertTrue(endpoint.closing)
            else:
                endpoint.close()
            client.send(GET)
            self.assertEqual(wire.attempts, ["192.0.2.1:8080"])
            self.assertEqual(client.take(), b"")

    def test_slow_stream_is_no_overhead(self) -> None:
        """Framing of many small chunks does not add up to an error."""
        client, endpoint = Wire().pair(GET)
        endpoint.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        endpoint.send(*[b"1\r\n", b"x", b"\r\n"] * 30000, b"0\r\n\r\n")
        self.assertEqual(client.responses()[0].body, b"x" * 30000)

    def test_endless_trailers(self) -> None:
        """Trailers and chunk extensions of a response get no more room than a head."""
        for start in (b"0\r\nX: ", b"5;"):
            wire = Wire()
            client, endpoint = wire.pair(GET)
            endpoint.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n" + start)
            for _ in range(20):
                if not endpoint.closing:
                    endpoint.send(b"x" * 4096)
            self.assertTrue(endpoint.transport.aborted)
            self.assertFalse(client.responses()[0].complete)
            self.assertTrue(client.closing)


class Pool(SynchronousTestCase):
    """Connections that wait for the next request."""

    def test_most_recent_first(self) -> None:
        """Of several idle connections the one used last is taken, so that the others can grow old."""
        wire = Wire()
        first, one = wire.pair(GET)
        second, two = wire.pair(GET)
        two.send(OK)
        one.send(OK)
        first.send(GET)
        self.assertEqual((bool(one.take()), bool(two.take())), (True, False))
        second.send(GET)
        self.assertTrue(two.take())

    def test_active_requests(self) -> None:
        """A host counts the requests that are in flight there."""
        wire = Wire()
        _, endpoint = wire.pair(GET)
        (state,) = wire.gateway.upstreams.clusters.values()
        (host,) = state.hosts.values()
        self.assertEqual(host.active, 1)
        endpoint.send(OK)
        self.assertEqual(host.active, 0)

    def test_connection_for_nobody(self) -> None:
        """A connection that is made after its client left serves the next request."""
        wire = Wire()
        client = wire.client()
        client.send(GET)
        client.close()
        endpoint = wire.accept()
        wire.client().send(GET)
        self.assertTrue(endpoint.take())
        self.assertEqual(wire.attempts, [])


class Backpressure(SynchronousTestCase):
    """A client that reads slowly."""

    def test_client_is_slow(self) -> None:
        """Reading from the endpoint stops while the client's buffer is full, and goes on afterwards."""
        client, endpoint = Wire().pair(GET)
        endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000))
        client.stop_reading()
        self.assertTrue(endpoint.paused)
        client.go_on_reading()
        self.assertFalse(endpoint.paused)
        endpoint.send(bytes(999000))
        self.assertTrue(client.responses()[0].complete)

    def test_paused_to_the_end(self) -> None:
        """A connection whose last read filled the client's buffer is read again once it waits in the pool."""
        client, endpoint = Wire().pair(GET)
        endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + bytes(1000))
        client.stop_reading()
        endpoint.send(bytes(1000))  # was on its way
        self.assertFalse(endpoint.paused)
        self.assertFalse(endpoint.closing)
