"""Messages that two readers could read differently, from clients and from endpoints: whatever is wrong goes no further.

Each payload is in a table with a name. What a table says of it holds for one read and for byte after byte.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import Wire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED_ANSWER = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SECOND = OK + b"Content-Length: 6\r\n\r\nHACKED"

REFUSED = (
    ("cr before request", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("cr cr lf before", b"\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("lf before", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("space before", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("vt in target", b"GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("ff sep", b"GET\x0c/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("tab sep", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("trailing space after version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    ("http/1.1 lowercase", b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    ("HTTP/1.1x", b"GET / HTTP/1.1x\r\nHost: a\r\n\r\n"),
    ("HTTP/01.1", b"GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
    ("PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("method unknown", b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("method w/ chars", b'GE"T / HTTP/1.1\r\nHost: a\r\n\r\n'),
    ("abs userinfo", b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("abs backslash host", b"GET http://b\\@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("scheme ws", b"GET ws://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("authority target GET", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("star GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("host twice diff case", GET + b"hOST: a\r\n\r\n"),
    ("host path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("host [::1", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    ("host ip6 zone", b"GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n"),
    ("host with colon 3", b"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
    ("host nul", b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n"),
    ("host 8bit", b"GET / HTTP/1.1\r\nHost: \xe4\r\n\r\n"),
    ("first header fold", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("fold empty line", GET + b"X: 1\r\n \r\n\r\n"),
    ("fold tab", GET + b"X: 1\r\n\tb\r\n\r\n"),
    ("cr in value", GET + b"X: a\rb\r\n\r\n"),
    ("cr at value start", GET + b"X:\rb\r\n\r\n"),
    ("cr cr lf end", GET + b"X: a\r\r\n\r\n"),
    ("cr before colon", GET + b"X\r: a\r\n\r\n"),
    ("lf end head", GET + b"X: a\r\n\n"),
    ("cr end head", GET + b"X: a\r\n\r" + NEXT),
    ("lf line", GET + b"X: a\nY: b\r\n\r\n"),
    ("nul name", GET + b"X\x00: a\r\n\r\n"),
    ("del value", GET + b"X: a\x7fb\r\n\r\n"),
    ("ctl value", GET + b"X: a\x01b\r\n\r\n"),
    ("8bit name", GET + b"X\xe4: a\r\n\r\n"),
    ("name paren", GET + b"X(: a\r\n\r\n"),
    ("name slash", GET + b"X/y: a\r\n\r\n"),
    ("name at", GET + b"@X: a\r\n\r\n"),
    ("no colon", GET + b"nocolon\r\n\r\n"),
    ("space colon", GET + b"X : a\r\n\r\n"),
    ("tab colon", GET + b"X\t: a\r\n\r\n"),
    ("empty name", GET + b": a\r\n\r\n"),
    ("cl hex", POST + b"Content-Length: 0x5\r\n\r\nhello"),
    ("cl underscore", POST + b"Content-Length: 1_0\r\n\r\nhello"),
    ("cl space digits", POST + b"Content-Length: 1 0\r\n\r\nhello"),
    ("cl empty", POST + b"Content-Length: \r\n\r\nhello"),
    ("cl fullwidth", POST + b"Content-Length: \xef\xbc\x95\r\n\r\nhello"),
    ("cl 5;", POST + b"Content-Length: 5;\r\n\r\nhello"),
    ("cl 2^64", POST + b"Content-Length: 18446744073709551616\r\n\r\nhello"),
    ("cl 2^64-1", POST + b"Content-Length: 18446744073709551615\r\n\r\nhello"),
    ("cl list same", POST + b"Content-Length: 5,5\r\n\r\nhello"),
    ("cl float", POST + b"Content-Length: 5.0\r\n\r\nhello"),
    ("cl exp", POST + b"Content-Length: 5e0\r\n\r\nhello"),
    ("cl vt", POST + b"Content-Length: \x0b5\r\n\r\nhello"),
    ("cl twice equal", POST + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello"),
    ("te then cl", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    ("te empty", POST + b"Transfer-Encoding:\r\n\r\n"),
    ("te empty + cl", POST + b"Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello"),
    ("te quoted", POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'),
    ("te comma", POST + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"),
    ("te trailing comma", POST + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
    ("te ;q", POST + b"Transfer-Encoding: chunked;q=0.5\r\n\r\n0\r\n\r\n"),
    ("te vt", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    ("te nbsp", POST + b"Transfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n"),
    ("te twice", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("te twice id", POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("te trailing tab", POST + b"Transfer-Encoding: chunked\t \r\n\r\n0\r\n\r\n"),
    ("chunk size +", CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n"),
    ("chunk size -", CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n"),
    ("chunk size space front", CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n"),
    ("chunk size space behind", CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n"),
    ("chunk size tab behind", CHUNKED + b"3\t\r\nabc\r\n0\r\n\r\n"),
    ("chunk size empty", CHUNKED + b"\r\nabc\r\n0\r\n\r\n"),
    ("chunk size 0x", CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n"),
    ("chunk size _", CHUNKED + b"1_0\r\nabc\r\n0\r\n\r\n"),
    ("chunk 17 hex", CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("chunk lf", CHUNKED + b"3\nabc\n0\n\n"),
    ("chunk lf after size", CHUNKED + b"3\nabc\r\n0\r\n\r\n"),
    ("chunk cr only", CHUNKED + b"3\rabc\r0\r\r"),
    ("chunk wrong end", CHUNKED + b"3\r\nabcX\r\n0\r\n\r\n"),
    ("chunk no crlf", CHUNKED + b"3\r\nabc0\r\n\r\n"),
    ("chunk short", CHUNKED + b"3\r\nab\r\n0\r\n\r\n"),
    ("chunk lf data end", CHUNKED + b"3\r\nabc\n0\r\n\r\n"),
    ("ext lf", CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    ("ext cr", CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    ("ext nul", CHUNKED + b"3;a\x00\r\nabc\r\n0\r\n\r\n"),
    ("ext quoted crlf", CHUNKED + b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n'),
    ("ext unclosed quote", CHUNKED + b'3;a="b\r\nabc\r\n0\r\n\r\n'),
    ("ext bare semicolon", CHUNKED + b"3;\r\nabc\r\n0\r\n\r\n"),
    ("ext bws", CHUNKED + b"3 ; a = b\r\nabc\r\n0\r\n\r\n"),
    ("trailer cl", CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n" + NEXT),
    ("trailer te", CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n" + NEXT),
    ("trailer bad", CHUNKED + b"0\r\nX y\r\n\r\n" + NEXT),
    ("trailer fold", CHUNKED + b"0\r\nX: 1\r\n y\r\n\r\n" + NEXT),
    ("trailer lf", CHUNKED + b"0\r\nX: 1\n\r\n" + NEXT),
    ("trailer nul", CHUNKED + b"0\r\nX: \x00\r\n\r\n" + NEXT),
    ("trailer lf end", CHUNKED + b"0\r\n\n" + NEXT),
    ("http/0.9 body", b"GET /\r\n" + NEXT),
    ("cl then \\0 name", POST + b"\x00Content-Length: 5\r\n\r\nhello"),
    ("dup te cl obs", POST + b"Content-Length: 5\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("bom", b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
)
BAD_ANSWERS = (
    ("lf only", b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc"),
    ("lf in head", OK + b"X: 1\nContent-Length: 3\r\n\r\nabc"),
    ("cr in value", OK + b"X: 1\rY: 2\r\nContent-Length: 3\r\n\r\nabc"),
    ("cr before", b"\rHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("lf before", b"\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("crlf before", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("fold", OK + b"X: 1\r\n 2\r\nContent-Length: 3\r\n\r\nabc"),
    ("fold first", OK + b" X: 1\r\nContent-Length: 3\r\n\r\nabc"),
    ("nul value", OK + b"X: \x00\r\nContent-Length: 3\r\n\r\nabc"),
    ("cr reason", b"HTTP/1.1 200 O\rX: y\r\nContent-Length: 3\r\n\r\nabc"),
    ("two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("status 0", b"HTTP/1.1 000 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("status 099", b"HTTP/1.1 099 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("status +20", b"HTTP/1.1 +20 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("http/1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("http/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("http/1", b"HTTP/1 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("lower", b"http/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("RTSP", b"RTSP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("ICY", b"ICY 200 OK\r\n\r\nabc"),
    ("two spaces", b"HTTP/1.1  200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("tab", b"HTTP/1.1\t200\tOK\r\nContent-Length: 3\r\n\r\nabc"),
    ("http/0.9", b"<html>hello</html>"),
    ("cl two differ", OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    ("cl two same", OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    ("cl list", OK + b"Content-Length: 3, 3\r\n\r\nabc"),
    ("cl +", OK + b"Content-Length: +3\r\n\r\nabc"),
    ("cl -1", OK + b"Content-Length: -1\r\n\r\nabc"),
    ("cl hex", OK + b"Content-Length: 0x3\r\n\r\nabc"),
    ("cl empty", OK + b"Content-Length:\r\n\r\nabc"),
    ("cl big", OK + b"Content-Length: 99999999999999999999\r\n\r\nabc"),
    ("cl 2^63", OK + b"Content-Length: 9223372036854775808\r\n\r\nabc"),
    ("cl te", OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("te gzip", OK + b"Transfer-Encoding: gzip\r\n\r\nabc"),
    ("te gzip chunked", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("te chunked gzip", OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nabc"),
    ("te identity", OK + b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc"),
    ("te xchunked", OK + b"Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("te twice", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("te vt", OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("te space colon", OK + b"Transfer-Encoding : chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("te in 1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("chunk lf", CHUNKED_ANSWER + b"3\nabc\n0\n\n"),
    ("chunk bad size", CHUNKED_ANSWER + b"zz\r\nabc\r\n0\r\n\r\n"),
    ("chunk neg", CHUNKED_ANSWER + b"-3\r\nabc\r\n0\r\n\r\n"),
    ("chunk 17", CHUNKED_ANSWER + b"11111111111111113\r\nabc\r\n0\r\n\r\n"),
    ("chunk end", CHUNKED_ANSWER + b"3\r\nabcX\r\n0\r\n\r\n"),
    ("chunk ext cr", CHUNKED_ANSWER + b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    ("chunk trailer cl", CHUNKED_ANSWER + b"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n"),
    ("chunk trailer lf", CHUNKED_ANSWER + b"3\r\nabc\r\n0\r\nX: y\n\r\n"),
    ("102 x 17", b"HTTP/1.1 102 P\r\n\r\n" * 17 + OK + b"Content-Length: 3\r\n\r\nabc"),
    ("101 unasked", b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nxxx"),
    ("name space", OK + b"X Y: 1\r\nContent-Length: 3\r\n\r\nabc"),
    ("name colon sp", OK + b"X : 1\r\nContent-Length: 3\r\n\r\nabc"),
    ("name empty", OK + b": 1\r\nContent-Length: 3\r\n\r\nabc"),
    ("name 8bit", OK + b"X\xe4: 1\r\nContent-Length: 3\r\n\r\nabc"),
    ("name ctl", OK + b"X\x01: 1\r\nContent-Length: 3\r\n\r\nabc"),
    ("value ctl", OK + b"X: a\x01\r\nContent-Length: 3\r\n\r\nabc"),
    ("value del", OK + b"X: a\x7f\r\nContent-Length: 3\r\n\r\nabc"),
    ("no colon", OK + b"XY\r\nContent-Length: 3\r\n\r\nabc"),
)
# What an endpoint may get of a request that is odd and all the same clear, without the fields of the gateway's own.
PASSED_ON = (
    ("another authority", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nhost: b\r\n\r\n"),
    ("a query alone", b"GET HTTP://b?x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /?x HTTP/1.1\r\nhost: b\r\n\r\n"),
    ("a fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("encoded line ends", b"GET /%0d%0a HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /%0d%0a HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("empty lines in front", b"\r\n\r\n" + GET + b"\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("octal length", POST + b"Content-Length: 010\r\n\r\n0123456789", b"content-length: 10\r\n\r\n0123456789"),
    ("zeros", POST + b"Content-Length: %b1\r\n\r\n0" % (b"0" * 5000), b"content-length: 1\r\n\r\n0"),
    ("nothing but zeros", POST + b"Content-Length: 00\r\n\r\n", b"content-length: 0\r\n\r\n"),
    ("tab behind length", POST + b"Content-Length: 1\t\r\n\r\n0", b"content-length: 1\r\n\r\n0"),
    ("GET with a body", GET + b"Content-Length: 3\r\n\r\nabc", b"content-length: 3\r\n\r\nabc"),
    ("length as hop-by-hop", POST + b"Connection: content-length\r\nContent-Length: 1\r\n\r\n0", b"length: 1\r\n\r\n0"),
    ("cookie as hop-by-hop", GET + b"Connection: cookie\r\nCookie: a=b\r\n\r\n", b"cookie: a=b\r\n\r\n"),
    ("zeros in a size", CHUNKED + b"000003\r\nabc\r\n00\r\n\r\n", b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("extensions", CHUNKED + b'3;a="b"\r\nabc\r\n0;c\r\n\r\n', b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("trailers", CHUNKED + b"3\r\nabc\r\n0\r\nHost: b\r\n\r\n", b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
)


def without_own(head: bytes) -> bytes:
    """A message without the lines that the gateway adds."""
    own = (b"x-forwarded-", b"x-envoy-", b"x-request-id", b"date:", b"server:")
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(own))


def in_bytes(data: bytes) -> Iterable[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


class ClientTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """What is ambiguous gets one answer, the last of its connection, and nothing of it whole to an endpoint."""
        for name, data in REFUSED:
            for pieces in ([data], in_bytes(data)):
                wire = Wire()
                client = wire.client()
                client.send(*pieces)
                if wire.reactor.tcpClients:
                    sent = wire.accept().take()
                    broken_off = b"chunked" in sent and not sent.endswith(b"\r\n0\r\n\r\n")
                    self.assertTrue(broken_off or not sent, name)
                answers = client.responses()
                self.assertEqual([answer.status // 100 for answer in answers], [4 if answers[0].status < 500 else 5])
                self.assertIn(answers[0].status, (400, 501), name)
                self.assertIn((b"connection", b"close"), answers[0].headers, name)

    def test_half_a_line_end_between_requests(self) -> None:
        """It is noticed across reads."""
        for pieces in ([GET + b"\r\n", b"\n" + NEXT], [GET + b"\r\n", b"\r", NEXT], [GET + b"\r\n", b"\r\r\n" + NEXT]):
            wire = Wire()
            client = wire.client()
            client.send(*pieces)
            endpoint = wire.accept()
            endpoint.send(OK + b"Content-Length: 0\r\n\r\n")
            self.assertEqual([answer.status for answer in client.responses()], [200, 400])
            self.assertEqual(endpoint.take().count(b"HTTP/1.1"), 1)

    def test_passed_on(self) -> None:
        """What is odd but clear goes on in a form that nobody can mistake."""
        for name, data, expected in PASSED_ON:
            for pieces in ([data], in_bytes(data)):
                wire = Wire()
                client = wire.client()
                client.send(*pieces)
                got = without_own(wire.accept().take())
                if b"chunked" in got:
                    got = got.replace(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n", b"3\r\nabc\r\n")
                self.assertTrue(got.endswith(expected), (name, got))


class EndpointTests(SynchronousTestCase):
    def test_bad_answers(self) -> None:
        """The client gets a 502, or sees that its answer is cut, and the connection to the endpoint ends."""
        for name, data in BAD_ANSWERS:
            for pieces in ([data], in_bytes(data)):
                wire = Wire()
                client, endpoint = wire.pair(GET + b"\r\n")
                endpoint.send(*pieces)
                got = client.take()
                whole = got.startswith(b"HTTP/1.1 502 ")
                self.assertTrue(whole or client.closing, (name, got))
                self.assertFalse(not whole and got.endswith(b"0\r\n\r\n"), (name, got))
                self.assertTrue(endpoint.closing, name)

    def test_surplus(self) -> None:
        """Bytes behind an answer reach nobody, and no other request follows on that connection."""
        for answer in (
            b"HTTP/1.1 204 No Content\r\n\r\n" + SECOND,
            b"HTTP/1.1 304 Not Modified\r\n\r\n" + SECOND,
            OK + b"Content-Length: 3\r\n\r\nabc" + SECOND,
            CHUNKED_ANSWER + b"3\r\nabc\r\n0\r\n\r\n" + SECOND,
        ):
            wire = Wire()
            client, endpoint = wire.pair(GET + b"\r\n")
            endpoint.send(answer)
            self.assertNotIn(b"HACKED", client.take())
            self.assertTrue(endpoint.closing)

    def test_cut(self) -> None:
        """An answer that breaks off never looks whole."""
        for answer in (
            OK + b"Content-Length: 3\r\n\r\nab",
            CHUNKED_ANSWER + b"3\r\nab",
            CHUNKED_ANSWER + b"3\r\nabc\r\n0",
        ):
            wire = Wire()
            client, endpoint = wire.pair(GET + b"\r\n")
            endpoint.send(answer)
            endpoint.close()
            self.assertFalse(client.take().endswith(b"0\r\n\r\n"))
            self.assertTrue(client.closing)

    def test_octal_length(self) -> None:
        """A length has one reading."""
        wire = Wire()
        client, endpoint = wire.pair(GET + b"\r\n")
        endpoint.send(OK + b"Content-Length: 010\r\n\r\n0123456789")
        self.assertIn(b"content-length: 10\r\n", client.take())
