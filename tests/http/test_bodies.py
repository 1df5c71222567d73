"""Large bodies, which go past the parser: nothing is lost, nothing is added, and what follows them is read as ever."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.bodies import STREAMED_BODY
from tests.fakes import Wire

SIZE = STREAMED_BODY + 1000
BODY = bytes(number % 251 for number in range(SIZE))
POST = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE
GET = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


def cuts(most: int) -> Any:
    """Places to cut a text of so many bytes at."""
    return st.lists(st.integers(1, most - 1), max_size=5).map(lambda found: sorted({*found}))


def pieces(data: bytes, places: list[int]) -> list[bytes]:
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


class UploadTests(SynchronousTestCase):
    @given(cuts(len(POST) + SIZE + len(GET)))
    def test_pieces(self, places: list[int]) -> None:
        """However it is cut, the endpoint gets the body as it was sent, and the request behind it comes next."""
        wire = Wire()
        first, *others = pieces(POST + BODY + GET, places)
        client = wire.client()
        client.send(first)
        got = b""
        endpoint = None
        for piece in [*others, b""]:
            if endpoint is None and wire.attempts:
                endpoint = wire.accept()
            if piece:
                client.send(piece)
            if endpoint is not None:
                got += endpoint.take()
        assert endpoint is not None
        head, _, body = got.partition(b"\r\n\r\n")
        self.assertIn(b"content-length: %d" % SIZE, head)
        self.assertEqual(body, BODY)
        endpoint.send(OK % 0)
        self.assertTrue(endpoint.take().startswith(b"GET /next HTTP/1.1\r\n"))
        self.assertEqual(wire.log.exchanges[0].bytes_received, SIZE)

    def test_client_leaves(self) -> None:
        """One that breaks off ends the endpoint's connection."""
        wire = Wire()
        client = wire.client()
        client.send(POST + BODY[:-1])
        endpoint = wire.accept()
        client.close()
        self.assertTrue(endpoint.transport.aborted)
        self.assertEqual(wire.log.exchanges[0].flags, b"DC")

    def test_no_endpoint(self) -> None:
        """A client whose body could not be sent anywhere is read on, for its connection stays."""
        wire = Wire()
        client = wire.client()
        client.send(POST + BODY[:1000])
        client.send(BODY[1000:])
        self.assertTrue(client.paused)
        while wire.attempts:
            wire.refuse()
            wire.reactor.advance(1)
        self.assertIn(b"503", client.take())
        self.assertFalse(client.paused)
        client.send(GET)
        self.assertEqual(len(wire.attempts), 1)

    def test_early_answer(self) -> None:
        """An answer before the end of the body is passed on, and ends both connections."""
        wire = Wire()
        client = wire.client()
        client.send(POST + BODY[:-1])
        endpoint = wire.accept()
        endpoint.send(OK % 2 + b"no")
        self.assertTrue(client.take().endswith(b"no"))
        self.assertTrue(endpoint.transport.aborted)


class DownloadTests(SynchronousTestCase):
    @given(cuts(len(OK % SIZE) + SIZE))
    def test_pieces(self, places: list[int]) -> None:
        """However it is cut, the client gets the body as it was sent, and both connections stay in use."""
        wire = Wire()
        client, endpoint = wire.pair(GET)
        for piece in pieces(OK % SIZE + BODY, places):
            endpoint.send(piece)
        self.assertEqual(client.take().partition(b"\r\n\r\n")[2], BODY)
        self.assertEqual(wire.log.exchanges[0].bytes_sent, SIZE)
        client.send(GET)
        endpoint.take()
        endpoint.send(OK % 2 + b"ab")
        self.assertTrue(client.take().endswith(b"ab"))

    def test_surplus(self) -> None:
        """What comes behind it is not passed on, and costs the endpoint its connection."""
        wire = Wire()
        client, endpoint = wire.pair(GET)
        endpoint.send(OK % SIZE + BODY[:1000])
        endpoint.send(BODY[1000:] + b"HTTP/1.1 200 OK\r\n")
        self.assertEqual(client.take().partition(b"\r\n\r\n")[2], BODY)
        self.assertTrue(endpoint.closing)

    def test_cut(self) -> None:
        """One that breaks off is cut for the client, too."""
        wire = Wire()
        client, endpoint = wire.pair(GET)
        endpoint.send(OK % SIZE + BODY[:1000])
        endpoint.send(BODY[1000:-1])
        endpoint.close()
        self.assertTrue(client.closing)
        self.assertEqual(wire.log.exchanges[0].flags, b"UC")

    def test_head(self) -> None:
        """The length that a HEAD would have had announces no body."""
        wire = Wire()
        client, endpoint = wire.pair(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        endpoint.send(OK % SIZE)
        client.take()
        client.send(GET)
        endpoint.take()
        endpoint.send(OK % 2 + b"ab")
        self.assertTrue(client.take().endswith(b"ab"))
