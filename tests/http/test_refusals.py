"""Requests that are not accepted: what is wrong with them, and how they are answered."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.requesthead import Refused
from tests.http.test_requestreader import head, read


class Refusals(SynchronousTestCase):
    """What is not accepted, and how it is answered."""

    def refused(self, *pieces: bytes) -> tuple[int, bytes, bytes]:
        with self.assertRaises(Refused) as raised:
            read(*pieces)
        refusal = raised.exception
        return refusal.status, refusal.body, refusal.details

    def test_codec_errors(self) -> None:
        """Everything doubtful in a message is 400."""
        expected = (400, b"Bad Request", b"http1.codec_error")
        for message in (
            b"GET\r\n\r\n",
            b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"NOSUCH / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/11\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.10\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\n\n",
            head(b"X y: 1"),
            head(b"X : 1"),
            head(b": 1"),
            head(b"X: \x00"),
            head(b"X: 1\r\n folded"),
            head(b"X: 1\ny: 2"),
            head(host=b"Host: a\r\nHost: a"),
            head(host=b"Host: user@a"),
            head(host=b"Host: a b"),
            head(host=b"Host: a:80x"),
            head(first=b"GET http:///x HTTP/1.1"),
            head(first=b"GET http://a@b/ HTTP/1.1"),
            head(b"Content-Length: 1, 1"),
            head(b"Content-Length: 1", b"Content-Length: 1"),
            head(b"Content-Length: +1"),
            head(b"Content-Length: 1", b"Transfer-Encoding: chunked"),
            head(b"Transfer-Encoding: chunked") + b"5\nhello\n0\n\n",
            head(b"Transfer-Encoding: chunked") + b"0x5\r\nhello\r\n0\r\n\r\n",
        ):
            self.assertEqual(self.refused(message), expected, message)

    def test_transfer_codings(self) -> None:
        """A transfer coding other than one ``chunked`` is 501, or 400 where the framing itself is doubtful."""
        for value in (b"gzip", b"gzip, chunked", b"identity", b"chunked, chunked", b"xchunked"):
            status = self.refused(head(b"Transfer-Encoding: " + value, first=b"POST / HTTP/1.1"))[0]
            self.assertIn(status, (400, 501), value)
        self.assertEqual(
            self.refused(head(b"Transfer-Encoding: gzip, chunked", first=b"POST / HTTP/1.1")),
            (501, b"Not Implemented", b"http1.invalid_transfer_encoding"),
        )

    def test_versions(self) -> None:
        """Every version but HTTP/1.1 is asked to upgrade, whatever it says about keep-alive."""
        expected = (426, b"Upgrade Required", b"low_version")
        self.assertEqual(self.refused(head(first=b"GET / HTTP/1.0")), expected)
        self.assertEqual(self.refused(head(b"Connection: keep-alive", first=b"GET / HTTP/1.0")), expected)
        self.assertEqual(self.refused(b"GET / HTTP/1.0\r\n\r\n"), expected)
        self.assertEqual(self.refused(b"GET /\r\n\r\n"), expected)
        for version in (b"0.9", b"1.2", b"1.9", b"2.0", b"3.0", b"9.9"):
            self.assertEqual(self.refused(head(first=b"GET / HTTP/" + version)), expected, version)

    def test_missing_host(self) -> None:
        """A request without Host is 400 without a body."""
        self.assertEqual(self.refused(b"GET / HTTP/1.1\r\n\r\n"), (400, b"", b"missing_host_header"))

    def test_targets(self) -> None:
        """``OPTIONS *`` and CONNECT find no route; https to a plain-text port is forbidden; NUL has no normal form."""
        self.assertEqual(self.refused(head(first=b"OPTIONS * HTTP/1.1")), (404, b"", b"absolute_path_rejected"))
        self.assertEqual(self.refused(head(first=b"CONNECT a:443 HTTP/1.1")), (404, b"", b"route_not_found"))
        self.assertEqual(
            self.refused(head(first=b"GET https://a/ HTTP/1.1")),
            (403, b"Forbidden", b"http1.https_url_on_plaintext_connection"),
        )
        self.assertEqual(self.refused(head(first=b"GET /%00 HTTP/1.1")), (400, b"", b"path_normalization_failed"))

    def test_upgrade(self) -> None:
        """Protocols that are not allowed are refused, several at once and the same one twice among them."""
        for lines in (
            (b"Upgrade: foo",),
            (b"Upgrade: foo", b"Content-Length: 5"),
            (b"Upgrade: websocket/13",),
            (b"Upgrade: websocket, foo",),
            (b"Upgrade: h2c, websocket",),
            (b"Upgrade: websocket", b"Upgrade: websocket"),
            (b"Upgrade: h2c", b"Upgrade: websocket"),
        ):
            offer = head(b"Connection: upgrade", *lines, first=b"POST / HTTP/1.1")
            self.assertEqual(self.refused(offer + b"hello"), (403, b"", b"upgrade_failed"), lines)
        self.assertEqual(read(head(b"Upgrade: foo")).completed, 1)

    def test_upgrade_with_a_body(self) -> None:
        """Who asks for another protocol may not have a body: where it ends, nobody could say for sure."""
        for framing in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
            offer = head(b"Connection: upgrade", b"Upgrade: websocket", framing, first=b"POST / HTTP/1.1")
            self.assertEqual(self.refused(offer + b"5\r\nhello\r\n"), (400, b"Bad Request", b"http1.codec_error"))

    def test_upgrade_in_another_version(self) -> None:
        """HTTP/1.0 knows no other protocols."""
        offer = head(b"Connection: upgrade", b"Upgrade: websocket", first=b"GET / HTTP/1.0")
        self.assertEqual(self.refused(offer)[0], 426)

    def test_field_count(self) -> None:
        """A hundred fields pass, Host being one of them; one more is 431."""
        self.assertEqual(read(head(*[b"X-A: 1"] * 99)).completed, 1)
        self.assertEqual(
            self.refused(head(*[b"X-A: 1"] * 100)),
            (431, b"Request Header Fields Too Large", b"http1.too_many_headers"),
        )

    def test_too_large(self) -> None:
        """A head of more than 60 KiB is 431, in one piece or in many, finished or not, in a field or in the target."""
        expected = (431, b"Request Header Fields Too Large", b"http1.headers_too_large")
        size = 60 * 1024
        self.assertEqual(self.refused(head(b"X: " + b"x" * size)), expected)
        self.assertEqual(self.refused(head(first=b"GET /" + b"x" * size + b" HTTP/1.1")), expected)
        self.assertEqual(self.refused(*[b"GET / HTTP/1.1\r\nX: ", *[b"x" * 1000] * 70]), expected)
        self.assertEqual(self.refused(head()[:-2], *[b"X: " + b"x" * 997 + b"\r\n"] * 70), expected)

    def test_just_small_enough(self) -> None:
        """59 KiB of head pass in any pieces, also where the same read brings much of a body."""
        message = head(b"X: " + b"x" * 59 * 1024, b"Content-Length: 65536", first=b"POST / HTTP/1.1")
        self.assertEqual(read(message + bytes(65536)).completed, 1)
        self.assertEqual(read(message[:1000], message[1000:] + bytes(65536)).completed, 1)

    def test_small_head_at_the_end_of_a_large_read(self) -> None:
        """What came before a head in the same read does not count for it, but what comes after does."""
        upload = head(b"Content-Length: 200000", first=b"PUT / HTTP/1.1") + bytes(200000)
        self.assertEqual(read(upload + head()[:20], head()[20:]).completed, 2)
        self.assertEqual(read(upload + head()[:20], *[head()[n : n + 1] for n in range(20, len(head()))]).completed, 2)
        endless = (b"X: " + b"x" * 997 + b"\r\n" for _ in range(70))
        self.assertEqual(self.refused(upload + head()[:-2], *endless)[0], 431)
