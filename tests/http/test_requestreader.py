"""Reading requests: the head in whatever pieces it comes, what happens to header lines, framing of bodies."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.requesthead import Refused
from meshproxy.http.requestreader import RequestReader

REQUEST = (
    b"POST /a/../b%41?q=%41 HTTP/1.1\r\nHost: Shop.example:80\r\nX-One: 1\r\nAccept: a \r\naccept: b\r\nX-Two:\t2\t\r\n"
    b"Content-Length: 5\r\nUser-Agent: probe\r\n\r\nhello"
)


class Receiver:
    """Keeps what a reader tells."""

    def __init__(self) -> None:
        self.heads: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.completed = 0
        self.upgrades: list[tuple[bytes, bytes]] = []

    def head_received(self, reader: RequestReader) -> None:
        names = ("method", "authority", "path", "query", "chunked", "length", "keep_alive")
        more = ("expects_continue", "forwarded_for", "forwarded_proto")
        found = {name: getattr(reader, name) for name in (*names, *more)}
        self.heads.append({**found, "headers": list(zip(reader.shape.names, reader.values, strict=True))})
        self.bodies.append(b"")

    def body_received(self, data: bytes) -> None:
        self.bodies[-1] += data

    def request_completed(self) -> None:
        self.completed += 1

    def upgrade_received(self, protocol: bytes, early: bytes) -> None:
        self.upgrades.append((protocol, early))


def read(*pieces: bytes) -> Receiver:
    """What a reader tells when it is fed these pieces."""
    receiver = Receiver()
    reader = RequestReader(receiver)
    for piece in pieces:
        reader.feed(piece)
    return receiver


def head(*lines: bytes, first: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    """A request without body that has these header lines."""
    return b"\r\n".join((first, host, *lines)) + b"\r\n\r\n"


class Heads(SynchronousTestCase):
    """A well-formed head."""

    def check(self, receiver: Receiver) -> None:
        """Everything about ``REQUEST`` is as it should be."""
        (found,) = receiver.heads
        self.assertEqual((found["method"], found["authority"]), (b"POST", b"Shop.example:80"))
        self.assertEqual((found["path"], found["query"]), (b"/bA", b"?q=%41"))
        self.assertEqual(
            found["headers"],
            [
                (b"x-one", b"1"),
                (b"accept", b"a,b"),
                (b"x-two", b"2"),
                (b"content-length", b"5"),
                (b"user-agent", b"probe"),
            ],
        )
        self.assertEqual((found["length"], found["chunked"], found["keep_alive"]), (5, False, True))
        self.assertEqual((receiver.bodies, receiver.completed), ([b"hello"], 1))

    def test_split_anywhere(self) -> None:
        """The result does not depend on where a head is cut in two."""
        for at in range(1, len(REQUEST)):
            self.check(read(REQUEST[:at], REQUEST[at:]))

    def test_byte_by_byte(self) -> None:
        """Nor does it when each byte comes alone."""
        self.check(read(*[REQUEST[at : at + 1] for at in range(len(REQUEST))]))

    def test_pipelined(self) -> None:
        """Several requests in one read are told in order, and state of one does not leak into the next."""
        receiver = read(REQUEST + head(b"X-Last: 1") + REQUEST[:20], REQUEST[20:])
        self.assertEqual([found["method"] for found in receiver.heads], [b"POST", b"GET", b"POST"])
        second = receiver.heads[1]
        self.assertEqual(second["headers"], [(b"x-last", b"1")])
        self.assertEqual((second["length"], second["query"]), (None, b""))
        self.assertEqual(receiver.bodies, [b"hello", b"", b"hello"])

    def test_empty_lines_in_front(self) -> None:
        """Empty lines before a request line are skipped (RFC 9112, 2.2)."""
        self.assertEqual(read(b"\r\n\r\n" + head()).completed, 1)

    def test_absolute_form(self) -> None:
        """The host of an absolute-form target replaces that of the Host header."""
        found = read(head(first=b"GET http://b:81/x?y HTTP/1.1")).heads[0]
        self.assertEqual((found["authority"], found["path"], found["query"]), (b"b:81", b"/x", b"?y"))
        found = read(head(first=b"GET http://b?y HTTP/1.1")).heads[0]
        self.assertEqual((found["authority"], found["path"], found["query"]), (b"b", b"/", b"?y"))

    def test_fragment(self) -> None:
        """A fragment is cut off."""
        self.assertEqual(read(head(first=b"GET /a#b?c HTTP/1.1")).heads[0]["path"], b"/a")

    def test_connection_close(self) -> None:
        """``Connection: close`` in any case ends keep-alive."""
        self.assertFalse(read(head(b"Connection: Close")).heads[0]["keep_alive"])
        self.assertTrue(read(head(b"Connection: keep-alive")).heads[0]["keep_alive"])


class Lines(SynchronousTestCase):
    """What becomes of header lines."""

    def headers(self, *lines: bytes) -> list[tuple[bytes, bytes]]:
        return list(read(head(*lines)).heads[0]["headers"])

    def test_joined(self) -> None:
        """Repeated single-valued headers are joined at the first one's place; others stay apart."""
        self.assertEqual(
            self.headers(b"Accept: 1", b"X-A: 1", b"ACCEPT: 2", b"x-a: 2", b"Cookie: a=1", b"Cookie: b=2"),
            [(b"accept", b"1,2"), (b"x-a", b"1"), (b"x-a", b"2"), (b"cookie", b"a=1"), (b"cookie", b"b=2")],
        )

    def test_joined_with_nothing(self) -> None:
        """An empty line of a header that is one value adds nothing to it, wherever it stands."""
        for values in ((b"1", b"", b"2"), (b"", b"1", b"2"), (b"1", b"2", b"", b"")):
            self.assertEqual(self.headers(*(b"Via: " + value for value in values)), [(b"via", b"1,2")])
        self.assertEqual(self.headers(b"Via:", b"via: "), [(b"via", b"")])
        lines = (b"X-Forwarded-For: ", b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-For:")
        self.assertEqual(read(head(*lines)).heads[0]["forwarded_for"], b"1.1.1.1")

    def test_hop_by_hop(self) -> None:
        """Hop-by-hop headers go no further."""
        lines = (b"Keep-Alive: 5", b"Proxy-Connection: x", b"Connection: keep-alive", b"Upgrade: foo")
        self.assertEqual(self.headers(*lines, b"HTTP2-Settings: x", b"Trailer: x"), [(b"trailer", b"x")])

    def test_nominated(self) -> None:
        """Headers that Connection names go no further, joined ones included; the place of others is not mixed up."""
        self.assertEqual(
            self.headers(b"Accept: 1", b"X-Own: 1", b"User-Agent: u", b"Connection: close, X-OWN ,accept"),
            [(b"user-agent", b"u")],
        )

    def test_never_nominated(self) -> None:
        """A client cannot have framing, host, cookies or addresses removed by naming them."""
        receiver = read(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nCookie: c\r\nX-Forwarded-For: 1.2.3.4\r\n"
            b"Connection: content-length, cookie, x-forwarded-for, host\r\n\r\nx"
        )
        found = receiver.heads[0]
        self.assertEqual(found["headers"], [(b"content-length", b"1"), (b"cookie", b"c")])
        self.assertEqual((found["authority"], found["forwarded_for"]), (b"a", b"1.2.3.4"))

    def test_te(self) -> None:
        """``TE`` is reduced to ``trailers`` or dropped, however many lines of it there are."""
        self.assertEqual(self.headers(b"TE: gzip, Trailers"), [(b"te", b"trailers")])
        self.assertEqual(self.headers(b"TE: gzip"), [])
        self.assertEqual(self.headers(b"TE: gzip", b"TE: trailers", b"te: trailers, x"), [(b"te", b"trailers")])

    def test_not_from_clients(self) -> None:
        """What only the gateway may say is not taken from a client; an unknown ``x-envoy-`` name passes."""
        lines = (b"X-Envoy-Max-Retries: 9", b"X-Request-Id: mine", b"X-Envoy-External-Address: 1.1.1.1")
        self.assertEqual(
            self.headers(*lines, b"X-Forwarded-Client-Cert: x", b"X-Envoy-Custom: y"), [(b"x-envoy-custom", b"y")]
        )

    def test_forwarded(self) -> None:
        """Addresses of proxies in front are kept apart from the other headers, in order."""
        found = read(head(b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-For: 2.2.2.2", b"X-Forwarded-Proto: https"))
        self.assertEqual(found.heads[0]["forwarded_for"], b"1.1.1.1,2.2.2.2")
        self.assertEqual(found.heads[0]["forwarded_proto"], b"https")
        self.assertEqual(found.heads[0]["headers"], [])

    def test_expect(self) -> None:
        """``Expect`` passes, and 100-continue is noticed."""
        found = read(head(b"Expect: 100-Continue")).heads[0]
        self.assertEqual((found["headers"], found["expects_continue"]), ([(b"expect", b"100-Continue")], True))
        self.assertFalse(read(head(b"Expect: more")).heads[0]["expects_continue"])

    def test_in_front(self) -> None:
        """Whole line ends may stand in front of a request, cut anywhere; a bare line feed may not."""
        request = head()
        for front in (b"\r\n", b"\r\n\r\n"):
            for at in range(len(front) + 1):
                receiver = read(*filter(None, ((front + request)[:at], (front + request)[at:])), request)
                self.assertEqual(receiver.completed, 2)
        for front in (b"\n", b"\n\n", b"\r\n\n", b"\n\r\n"):
            for at in range(len(front) + 1):
                pieces = [*filter(None, ((front + request)[:at], (front + request)[at:]))]
                self.assertRaises(Refused, read, *pieces)
                self.assertRaises(Refused, read, request, *pieces)


class Bodies(SynchronousTestCase):
    """Framing of bodies."""

    CHUNKED = head(b"Transfer-Encoding: Chunked", first=b"POST / HTTP/1.1")

    def test_chunked(self) -> None:
        """Chunks are put together; extensions and trailers are forgotten."""
        body = b"5;x=y\r\nhello\r\n0006\r\n world\r\n0\r\nX-Trailer: 1\r\nAccept: 2\r\nHost: b\r\n\r\n"
        for at in range(len(body)):
            receiver = read(self.CHUNKED + body[:at], body[at:] + head(b"X-Next: 1"))
            self.assertEqual(receiver.bodies, [b"hello world", b""])
            self.assertTrue(receiver.heads[0]["chunked"])
            self.assertEqual(receiver.heads[0]["headers"], [])
            self.assertEqual(receiver.heads[1]["headers"], [(b"x-next", b"1")])

    @given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(1, 200), max_size=5))
    @settings(max_examples=60, deadline=None)
    def test_any_chunks_in_any_pieces(self, chunks: list[bytes], cuts: list[int]) -> None:
        """Whatever the chunks are and however they are cut, the body is their concatenation."""
        data = self.CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
        places = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
        receiver = read(*[data[a:b] for a, b in pairwise(places)])
        self.assertEqual((receiver.bodies, receiver.completed), ([b"".join(chunks)], 1))

    def test_large_reads(self) -> None:
        """A body has no limit, however much of it one read brings."""
        megabyte = b"%x\r\n%b\r\n" % (1 << 20, bytes(1 << 20))
        receiver = read(self.CHUNKED, megabyte, megabyte, b"0\r\n\r\n")
        self.assertEqual((len(receiver.bodies[0]), receiver.completed), (2 << 20, 1))

    def test_endless_chunk_extension(self) -> None:
        """Chunk extensions and trailers get no more room than a head."""
        for start in (b"5;", b"0\r\nX: "):
            receiver = Receiver()
            reader = RequestReader(receiver)
            reader.feed(self.CHUNKED + start)
            with self.assertRaises(Refused) as raised:
                for _ in range(20):
                    reader.feed(b"x" * 4096)
            self.assertEqual(raised.exception.status, 400)

    def test_slow_stream_is_no_overhead(self) -> None:
        """Framing of many small chunks does not add up to an error."""
        receiver = read(self.CHUNKED, *[b"1\r\n", b"x", b"\r\n"] * 30000, b"0\r\n\r\n")
        self.assertEqual(receiver.bodies, [b"x" * 30000])

    def test_offer_of_h2c(self) -> None:
        """An offer to go on in HTTP/2 is ignored, be there a body or not, and the next request is read."""
        offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
        for framing, body in (
            ((), b""),
            ((b"Content-Length: 5",), b"hello"),
            ((b"Transfer-Encoding: chunked",), b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"),
        ):
            data = head(*offer, *framing, first=b"POST / HTTP/1.1") + body + head(b"X-Next: 1") + head(b"X-Third: 1")
            for at in range(1, len(data)):
                receiver = read(data[:at], data[at:])
                self.assertEqual(receiver.completed, 3)
                self.assertEqual(receiver.bodies, [b"hello" if body else b"", b"", b""])
                self.assertNotIn(b"upgrade", dict(receiver.heads[0]["headers"]))
                self.assertEqual(receiver.heads[1]["headers"], [(b"x-next", b"1")])
                self.assertEqual(receiver.heads[2]["headers"], [(b"x-third", b"1")])

    def test_another_protocol(self) -> None:
        """A request for another protocol is complete with its head; what follows is not read, but handed on."""
        data = head(b"X-A: 1", b"Connection: Upgrade", b"Upgrade: WebSocket ", b"Content-Length: 0")
        for at in range(1, len(data)):
            receiver = Receiver()
            reader = RequestReader(receiver)
            reader.feed(data[:at])
            reader.feed(data[at:] + b"GET nonsense")
            self.assertEqual((receiver.completed, receiver.upgrades), (1, [(b"WebSocket", b"GET nonsense")]))
            self.assertEqual(receiver.heads[0]["headers"], [(b"x-a", b"1"), (b"content-length", b"0")])
