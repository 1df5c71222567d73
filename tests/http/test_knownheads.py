"""Heads that were read before: what comes of them the second time is what came of them the first time."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.knownheads import KnownHeads, KnownLine, KnownRequest
from meshproxy.http.reading import DEFAULT_SETTINGS
from meshproxy.http.requesthead import Refused
from meshproxy.http.requestreader import RequestReader
from meshproxy.limits import Limits, Underscores
from tests.fakes import Wire
from tests.http.test_requestreader import Receiver

FIELDS = b"Host: a.test\r\nAccept: b \r\naccept: c\r\nX-Forwarded-For: 1.2.3.4\r\nTE: trailers\r\nCookie: d=e\r\n\r\n"


class Settings:
    """Those of a gateway of its own."""

    def __init__(self, **limits: Any) -> None:
        self.normalize = DEFAULT_SETTINGS.normalize
        self.upgrades = DEFAULT_SETTINGS.upgrades
        self.limits = Limits(**limits)
        self.accept_http10 = False
        self.known_lines: KnownHeads[KnownLine] = KnownHeads()
        self.known_requests: KnownHeads[KnownRequest] = KnownHeads()


def read(settings: Settings, *pieces: bytes) -> Any:
    """What one connection's reader tells of what it is fed, or how it refuses it."""
    receiver = Receiver()
    reader = RequestReader(receiver, settings)
    try:
        for piece in pieces:
            reader.feed(piece)
    except Refused as refusal:
        return receiver.heads, receiver.completed, refusal.args
    return receiver.heads, receiver.completed, None


class RequestTests(SynchronousTestCase):
    def check(self, *pieces: bytes, learned: bytes = b"GET / HTTP/1.1\r\n" + FIELDS, known: int = 1) -> Any:
        """What is read by one who knows ``learned`` is what is read by one who knows nothing."""
        settings = Settings()
        read(settings, learned)
        self.assertEqual(len(settings.known_requests), known)
        afresh = read(Settings(), *pieces)
        self.assertEqual(read(settings, *pieces), afresh)
        self.assertEqual(read(settings, *pieces), afresh)
        return afresh

    def test_same_fields(self) -> None:
        """A first line that is another one does not matter, as long as it is a plain one."""
        for line in (
            b"GET /a/../b?c=%41 HTTP/1.1",
            b"HEAD /x HTTP/1.1",
            b"DELETE //x HTTP/1.1",
            b"GET http://b.test/c HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"POST / HTTP/1.1",
        ):
            heads, completed, refused = self.check(line + b"\r\n" + FIELDS)
            self.assertEqual((len(heads) + (refused is not None), completed + (refused is not None)), (1, 1), line)

    def test_wrong_first_line(self) -> None:
        """One that llhttp refuses is refused whatever follows it."""
        for line in (
            b"GET / HTTP/1.0",
            b"GET / HTTP/2.0",
            b"GET / HTTP/1.1 ",
            b"GET /\t HTTP/1.1",
            b"GET /\xff HTTP/1.1",
            b"GET /a b HTTP/1.1",
            b"get / HTTP/1.1",
            b"GET /",
            b"CONNECT a:1 HTTP/1.1",
            b"GET /%00 HTTP/1.1",
        ):
            _, _, refused = self.check(line + b"\r\n" + FIELDS)
            self.assertIsNotNone(refused, line)

    def test_line_in_front(self) -> None:
        """An empty line in front of a request does not make a first line one of the fields."""
        request = b"GET /one HTTP/1.1\r\n" + FIELDS
        heads, _, refused = self.check(b"GET /two HTTP/1.1\r\n" + request, learned=b"\r\n" + request, known=0)
        self.assertEqual((heads, refused is not None), ([], True))

    def test_pieces_and_pipelines(self) -> None:
        """What comes in pieces, or several at once, is read as ever."""
        request = b"GET / HTTP/1.1\r\n" + FIELDS
        for pieces in (
            (request, request),
            (request + request,),
            (request[:30], request[30:]),
            (request[:-2], request[-2:] + request),
            (request + request[:20], request[20:]),
        ):
            heads, _, refused = self.check(*pieces)
            self.assertIsNone(refused)
            self.assertEqual(len(heads), sum(map(len, pieces)) // len(request))

    def test_last_request(self) -> None:
        """Nothing is read behind a request that ends its connection."""
        last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        heads, _, refused = self.check(last, last, learned=last)
        self.assertEqual((len(heads), refused is not None), (1, True))
        self.assertFalse(heads[0]["keep_alive"])

    def test_what_is_not_remembered(self) -> None:
        """Fields that say more than what there is to pass on are read each time."""
        for fields in (
            b"Host: a\r\nContent-Length: 0\r\n\r\n",
            b"Host: a\r\nContent-Length: 3\r\n\r\nabc",
            b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Host: a\r\nExpect: 100-continue\r\n\r\n",
            b"Host: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            b"Host: a\r\nConnection: x-a\r\nX-A: 1\r\n\r\n",
            b"Host: a\r\nX-Long: " + b"x" * 2100 + b"\r\n\r\n",
            b"No-Host: a\r\n\r\n",
        ):
            request = b"GET / HTTP/1.1\r\n" + fields
            self.check(request, learned=request, known=0)

    def test_limits(self) -> None:
        """Those of a size hold for what is known, too."""
        settings = Settings(max_headers_bytes=300)
        self.assertIsNone(read(settings, b"GET / HTTP/1.1\r\n" + FIELDS)[2])
        self.assertIsNotNone(read(settings, b"GET /" + b"x" * 400 + b" HTTP/1.1\r\n" + FIELDS)[2])

    @given(st.lists(st.sampled_from((b"GET", b"/", b" ", b"HTTP/1.1", b"\r\n", b"Host: a", b"X: y", b"#", b"?"))))
    def test_anything(self, words: list[bytes]) -> None:
        """No sequence of words is read differently by who knows some heads."""
        data = b"".join(words) + b"\r\n\r\n"
        settings = Settings()
        for line in (b"", b"\r\n", b"GET / HTTP/1.1\r\n"):
            read(settings, line + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            read(settings, line + b"Host: a\r\n\r\n")
            read(settings, line + data)
        self.assertEqual(read(settings, data), read(Settings(), data))


class GenerationTests(SynchronousTestCase):
    def test_bounded(self) -> None:
        """What is not asked for is forgotten after a while, what is in use stays."""
        heads: KnownHeads[int] = KnownHeads()
        heads.remember(b"used", 1)
        heads.remember(b"unused", 2)
        for number in range(5000):
            heads.remember(b"%d" % number, number)
            self.assertEqual(heads[b"used"], 1)
        self.assertIsNone(heads[b"unused"])
        self.assertLessEqual(len(heads) + len(heads._older), 2048)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\n"


class ResponseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.client, self.endpoint = self.wire.pair(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    def got(self) -> bytes:
        """What the client got, without what changes from one answer to the other."""
        return re.sub(rb"(date|x-envoy-upstream-service-time): [^\r]*", rb"\1", self.client.take())

    def again(self, answer: bytes, request: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") -> bytes:
        """What the client gets for one more request."""
        self.client.take()
        self.client.send(request)
        self.endpoint.take()
        self.endpoint.send(answer)
        return self.got()

    def test_same_head(self) -> None:
        """A head that is known is passed on as it was the first time, with the body that it has now."""
        self.endpoint.send(OK + b"ab")
        first = self.got()
        self.assertEqual(len(self.wire.gateway.known_responses), 1)
        self.assertEqual(self.again(OK + b"cd"), first[:-2] + b"cd")
        self.assertEqual([exchange.bytes_sent for exchange in self.wire.log.exchanges], [2, 2])

    def test_body_in_pieces(self) -> None:
        """A body that comes later, or more of it than was announced, is read as ever."""
        self.endpoint.send(OK + b"ab")
        first = self.got()
        self.assertTrue(self.again(OK).endswith(b"\r\n\r\n"))
        self.endpoint.send(b"cd")
        self.assertEqual(self.client.take(), b"cd")
        self.assertEqual(self.again(OK + b"cdHTTP/1.1 200 OK\r\n"), first[:-2] + b"cd")
        self.assertTrue(self.endpoint.closing)

    def test_close(self) -> None:
        """A client that wants to end its connection is told that it ends."""
        self.endpoint.send(OK + b"ab")
        got = self.again(OK + b"ab", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        self.assertIn(b"connection: close\r\n", got)

    def test_head_request(self) -> None:
        """What is known of a GET does not give a HEAD its body."""
        self.endpoint.send(OK + b"ab")
        got = self.again(OK, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(got.endswith(b"\r\n\r\n"))
        self.assertIn(b"content-length: 2\r\n", got)

    def test_head_request_with_a_body(self) -> None:
        """Nor does an endpoint that sends one anyway: it is not passed on, and costs the endpoint its connection."""
        self.endpoint.send(OK + b"ab")
        got = self.again(OK + b"ab", b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(got.endswith(b"\r\n\r\n"))
        self.assertTrue(self.endpoint.closing)

    def test_what_asks_for_a_retry(self) -> None:
        """Whether a response is thrown away for another try is asked each time."""
        for field in (b"grpc-status: 14", b"x-envoy-ratelimited: true"):
            self.again(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%b\r\n\r\n" % field)
            self.assertEqual(len(self.wire.gateway.known_responses), 0)

    def test_interim(self) -> None:
        """The head of an interim response is not taken for that of the response behind it."""
        interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
        self.endpoint.send(interim + OK + b"ab")
        self.client.take()
        self.assertEqual(len(self.wire.gateway.known_responses), 0)
        self.assertTrue(self.again(interim + b"xy").startswith(b"HTTP/1.1 502 "))

    def test_lines_in_front(self) -> None:
        """Nor are empty lines in front of one."""
        self.endpoint.send(b"\r\n\r\n" + OK + b"ab")
        self.assertEqual(len(self.wire.gateway.known_responses), 0)

    def test_what_is_not_remembered(self) -> None:
        """A response without a length, or the last one of its connection, is read each time."""
        for answer in (
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        ):
            wire = Wire()
            _, endpoint = wire.pair(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            endpoint.send(answer)
            self.assertEqual(len(wire.gateway.known_responses), 0, answer)

    def test_other_limits(self) -> None:
        """What was right by other limits is read anew."""
        self.endpoint.send(OK + b"ab")
        gateway = self.wire.gateway
        gateway._limit(Limits(underscores=Underscores.DROP_HEADER))
        self.assertEqual(len(gateway.known_responses) + len(gateway.known_requests), 0)
