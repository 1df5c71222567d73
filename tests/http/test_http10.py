"""Clients of HTTP/1.0: refused by default, served where the configuration says so."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.routes import DirectResponse
from tests.fakes import Peer, Wire, answer, route, snapshot

GET = b"GET / HTTP/1.0\r\nHost: a\r\n%b\r\n"
KEEP = b"Connection: keep-alive\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: x\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: x\r\n\r\n2\r\nok\r\n"


def serving() -> Wire:
    return Wire(snapshot(routes=[answer(DirectResponse(200, b"here"), "/here"), route()], accept_http10=True))


def lines(client: Peer) -> tuple[list[bytes], bytes]:
    """The head's lines and the body of what a client got."""
    head, _, body = client.take().partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


class Served(SynchronousTestCase):
    def test_closed(self) -> None:
        """Without a wish to keep the connection, the response is HTTP/1.0 and ends it."""
        w = serving()
        client, endpoint = w.pair(GET % b"")
        endpoint.send(OK)
        head, body = lines(client)
        self.assertEqual((head[0], body), (b"HTTP/1.0 200 OK", b"ok"))
        self.assertIn(b"connection: close", head)
        self.assertTrue(client.closing)
        self.assertFalse(endpoint.closing)
        self.assertEqual(w.log.exchanges[0].protocol, b"HTTP/1.0")

    def test_kept(self) -> None:
        """With it, the response says that the connection stays, and it does."""
        client, endpoint = serving().pair(GET % KEEP)
        endpoint.send(OK)
        self.assertIn(b"connection: keep-alive", lines(client)[0])
        client.send(GET % b"")
        self.assertIn(b"GET / HTTP/1.1\r\n", endpoint.take())
        endpoint.send(OK)
        self.assertIn(b"connection: close", lines(client)[0])

    def test_never_chunked(self) -> None:
        """A response of unknown length comes without framing and ends with the connection."""
        client, endpoint = serving().pair(GET % KEEP)
        endpoint.send(CHUNKED)
        self.assertFalse(client.closing)
        endpoint.send(b"4\r\nmore\r\n0\r\n\r\n")
        head, body = lines(client)
        self.assertEqual(body, b"okmore")
        self.assertIn(b"connection: close", head)
        self.assertFalse([line for line in head if line.startswith(b"transfer-encoding")])
        self.assertEqual((client.closing, client.transport.aborted), (True, False))

    def test_until_the_endpoint_closes(self) -> None:
        """The same where the endpoint's response ends with its connection."""
        client, endpoint = serving().pair(GET % b"")
        endpoint.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        endpoint.close()
        self.assertEqual(lines(client)[1], b"hello")
        self.assertEqual((client.closing, client.transport.aborted), (True, False))

    def test_cut(self) -> None:
        """A response that breaks off is reset: its end would look like the end of the body."""
        client, endpoint = serving().pair(GET % b"")
        endpoint.send(CHUNKED)
        endpoint.close()
        self.assertTrue(client.transport.aborted)

    def test_head(self) -> None:
        """The response to HEAD has no framing of HTTP/1.1 either."""
        client, endpoint = serving().pair(b"HEAD / HTTP/1.0\r\nHost: a\r\n\r\n")
        endpoint.send(CHUNKED[: CHUNKED.index(b"\r\n\r\n") + 4])
        head, body = lines(client)
        self.assertFalse([line for line in head if line.startswith(b"transfer-encoding")])
        self.assertEqual(body, b"")

    def test_no_interim_response(self) -> None:
        """100 Continue does not reach a client of HTTP/1.0 (RFC 9110, 15.2)."""
        post = b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        client, endpoint = serving().pair(post)
        endpoint.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(client.take(), b"")
        client.send(b"hi")
        endpoint.send(OK)
        self.assertEqual(lines(client)[1], b"ok")

    def test_own_answers(self) -> None:
        """The gateway's own answers are HTTP/1.0, too."""
        client = serving().client()
        client.send(GET.replace(b"/", b"/here", 1) % KEEP)
        head, body = lines(client)
        self.assertEqual((head[0], body), (b"HTTP/1.0 200 OK", b"here"))
        self.assertIn(b"connection: keep-alive", head)

    def test_version_of_each_request(self) -> None:
        """A request in HTTP/1.1 behind one in HTTP/1.0 is answered in HTTP/1.1."""
        client, endpoint = serving().pair(GET % KEEP)
        endpoint.send(OK)
        client.take()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        endpoint.send(CHUNKED + b"0\r\n\r\n")
        head, _ = lines(client)
        self.assertEqual(head[0], b"HTTP/1.1 200 OK")
        self.assertIn(b"transfer-encoding: chunked", head)


class Refused(SynchronousTestCase):
    def statuses(self, w: Wire, request: bytes) -> list[int]:
        client = w.client()
        client.send(request)
        found = [int(line[9:12]) for line in client.take().split(b"\r\n") if line.startswith(b"HTTP/")]
        self.assertTrue(client.transport.half_closed or client.closing)
        return found

    def test_by_default(self) -> None:
        """426, as Istio's gateway answers."""
        self.assertEqual(self.statuses(Wire(), GET % b""), [426])
        self.assertEqual(self.statuses(Wire(), GET % KEEP), [426])

    def test_without_host(self) -> None:
        """400 all the same: there is no default host."""
        self.assertEqual(self.statuses(serving(), b"GET / HTTP/1.0\r\n\r\n"), [400])

    def test_chunked(self) -> None:
        """A transfer coding in HTTP/1.0 means different things to different readers (RFC 9112, 6.1)."""
        request = b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        self.assertEqual(self.statuses(serving(), request), [400])

    def test_other_versions(self) -> None:
        """Other versions are refused in any case."""
        for version in (b"0.9", b"1.2", b"2.0"):
            self.assertEqual(self.statuses(serving(), GET.replace(b"1.0", version) % b""), [426])

    def test_upgrade(self) -> None:
        """A wish for another protocol means nothing in HTTP/1.0 (RFC 9110, 7.8)."""
        wish = b"Connection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n"
        client, endpoint = serving().pair(GET % wish)
        endpoint.send(OK)
        client.send(GET % wish)
        self.assertNotIn(b"upgrade", endpoint.take())
        endpoint.send(OK)
        self.assertEqual(client.take().count(b"HTTP/1.0 200 OK"), 2)
