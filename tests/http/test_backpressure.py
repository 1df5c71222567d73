"""What a connection lives through: slow ends on either side, and new configurations."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Snapshot
from tests.fakes import Wire, cluster, snapshot
from tests.http.test_downstream import GET, OK, UPLOAD, nowhere


class Backpressure(SynchronousTestCase):
    """Nothing buffers a whole body."""

    def test_endpoint_is_slow(self) -> None:
        """Reading from the client stops while the endpoint's buffer is full."""
        client, endpoint = Wire().pair(UPLOAD)
        endpoint.stop_reading()
        self.assertTrue(client.paused)
        endpoint.go_on_reading()
        self.assertFalse(client.paused)

    def test_last_piece_fills_the_buffer(self) -> None:
        """A client whose upload ended while the endpoint's buffer was full is read again."""
        client, endpoint = Wire().pair(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        write = endpoint.transport.write

        def write_and_be_full(data: bytes) -> None:
            write(data)
            endpoint.stop_reading()

        endpoint.transport.write = write_and_be_full  # type: ignore[method-assign]
        client.send(b"hello")
        self.assertFalse(client.paused)
        self.assertEqual(endpoint.take(), b"hello")
        endpoint.send(OK)
        client.send(GET % b"next")
        self.assertIn(b"GET /next ", endpoint.take())

    def test_connecting_is_slow(self) -> None:
        """While there is no connection yet, no more than a buffer of the body is taken."""
        wire = Wire()
        client = wire.client()
        client.send(UPLOAD)
        sent = 0
        while not client.paused:
            client.send(bytes(16384))
            sent += 16384
        self.assertLessEqual(sent, 128 * 1024)
        endpoint = wire.accept()
        self.assertEqual(len(endpoint.take().partition(b"\r\n\r\n")[2]), sent)
        self.assertFalse(client.paused)

    def test_pipeline_and_upload(self) -> None:
        """Two reasons to wait are two: reading goes on when neither holds."""
        wire = Wire()
        client, endpoint = wire.pair(GET % b"1" + UPLOAD)
        self.assertTrue(client.paused)
        endpoint.send(OK)
        self.assertFalse(client.paused)
        endpoint.stop_reading()
        self.assertTrue(client.paused)

    def test_answers_do_not_pile_up(self) -> None:
        """While a client does not read its answers, its next requests are neither started nor read."""
        wire = Wire(nowhere())
        client, endpoint = wire.pair(GET % b"ok1" + GET % b"no" + GET % b"ok2")
        client.stop_reading()
        endpoint.send(OK)
        self.assertEqual([r.status for r in client.responses()], [200])
        self.assertTrue(client.paused)
        client.go_on_reading()
        self.assertEqual([r.status for r in client.responses()], [404])
        self.assertIn(b"GET /ok2 ", endpoint.take())
        self.assertFalse(client.paused)

    def test_requests_one_by_one_without_reading(self) -> None:
        """So it is when each request comes after the answer to the one before, and with a body."""
        wire = Wire()
        client, endpoint = wire.pair(GET % b"1")
        endpoint.send(OK)
        client.stop_reading()
        self.assertFalse(client.paused)
        client.send(UPLOAD + b"x")
        self.assertTrue(client.paused)
        self.assertEqual(endpoint.take(), b"")
        client.go_on_reading()
        self.assertTrue(endpoint.take().endswith(b"\r\n\r\nx"))
        self.assertFalse(client.paused)

    def test_last_answer_to_a_slow_client(self) -> None:
        """A client that is refused while its buffer is full is read from until the end, so that it is not reset."""
        wire = Wire(nowhere())
        client = wire.client()
        client.send(GET % b"x")
        client.stop_reading()
        client.send(b"nonsense\r\n\r\n")
        self.assertFalse(client.paused)
        client.go_on_reading()
        self.assertEqual([r.status for r in client.responses()], [404, 400])
        self.assertEqual((client.transport.half_closed, client.paused), (True, False))

    def test_endpoint_vanishes_during_an_upload(self) -> None:
        """The client is answered, and what it goes on sending is not kept."""
        client, endpoint = Wire().pair(UPLOAD + b"x")
        endpoint.stop_reading()
        endpoint.reset()
        self.assertFalse(client.paused)
        (answer,) = client.responses()
        self.assertEqual((answer.status, answer[b"connection"]), (503, b"close"))
        client.send(bytes(100000))
        self.assertTrue(client.transport.half_closed)

    def test_early_answer(self) -> None:
        """An answer that comes before the upload is complete reaches the client; both connections end."""
        client, endpoint = Wire().pair(UPLOAD)
        endpoint.send(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(client.responses()[0].status, 413)
        self.assertTrue(client.transport.half_closed)
        self.assertTrue(endpoint.closing)
        self.assertIsNone(endpoint.transport.producer)

    def test_answer_while_uploading(self) -> None:
        """Both directions stream at the same time."""
        client, endpoint = Wire().pair(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        endpoint.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n")
        client.send(b"2\r\nbb\r\n")
        self.assertEqual(endpoint.take(), b"2\r\nbb\r\n")
        endpoint.send(b"2\r\nBB\r\n")
        client.send(b"0\r\n\r\n")
        self.assertEqual(endpoint.take(), b"0\r\n\r\n")
        endpoint.send(b"0\r\n\r\n")
        (answer,) = client.responses()
        self.assertEqual((answer.body, answer.complete), (b"ABB", True))
        self.assertFalse(client.closing)
        self.assertFalse(endpoint.closing)


class Installing(SynchronousTestCase):
    """A new configuration under open connections."""

    def test_routes_of_the_next_request(self) -> None:
        """A connection that is open goes by the new routes from its next request on."""
        wire = Wire(nowhere())
        client = wire.client()
        client.send(GET % b"x")
        wire.gateway.install(snapshot())
        client.send(GET % b"x")
        self.assertEqual([r.status for r in client.responses()], [404])
        self.assertEqual(wire.attempts, ["192.0.2.1:8080"])

    def test_exchange_keeps_its_snapshot(self) -> None:
        """A request under way is answered by the endpoint that it went to, which then keeps no connection."""
        wire = Wire()
        client, endpoint = wire.pair(GET % b"x")
        wire.gateway.install(snapshot(cluster(name="other"), routes=[]))
        endpoint.send(OK)
        self.assertEqual([r.status for r in client.responses()], [200])
        self.assertTrue(endpoint.closing)

    def test_idle_connections_of_a_removed_endpoint(self) -> None:
        """Idle connections to an endpoint that is gone close at once; those to one that stays are kept."""
        wire = Wire(snapshot(cluster(2)))
        _, endpoint = wire.pair(GET % b"x")
        endpoint.send(OK)
        wire.gateway.install(snapshot(cluster(3)))
        self.assertFalse(endpoint.closing)
        wire.gateway.install(snapshot(cluster(name="other"), routes=[]))
        self.assertTrue(endpoint.closing)

    def test_listener_leaves(self) -> None:
        """Connections of a listener that is gone end as if draining; a listener's factory outlives snapshots."""
        wire = Wire()
        client, endpoint = wire.pair(GET % b"")
        endpoint.send(OK)
        factory = wire.gateway.factory(("", 80))
        wire.gateway.install(snapshot())
        self.assertIs(wire.gateway.factory(("", 80)), factory)
        wire.gateway.install(Snapshot((), {}))
        self.assertTrue(client.closing)
