"""One health check over sockets: what passes it, what does not, and what is left behind."""

from __future__ import annotations

from errno import ECONNREFUSED
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Endpoint
from meshproxy.net.probing import KEPT_SECONDS, Prober
from meshproxy.policies import HealthCheck, HttpProbe
from meshproxy.upstream.checking import ProbeFailed

ENDPOINT = Endpoint("192.0.2.7", 8080)
HTTP = HealthCheck(HttpProbe("/healthz?a=1", "shop.example", headers=(("x-probe", "1"),)))


class ProbingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.prober = Prober(self.reactor)

    def accept(self) -> tuple[Any, StringTransport]:
        """The endpoint accepts; the protocol and its transport."""
        factory = self.reactor.tcpClients[-1][2]
        protocol = factory.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def why(self, probing: Deferred[None]) -> tuple[str, bool]:
        """Why a check was not passed, and whether that is definite."""
        error: Any = self.failureResultOf(probing, ProbeFailed).value
        return str(error), error.definite


class TcpTests(ProbingTestCase):
    def test_connection(self) -> None:
        """A connection is enough; it is closed at once."""
        probing = self.prober(ENDPOINT, HealthCheck(timeout=3))
        host, port, _, timeout, _ = self.reactor.tcpClients[0]
        self.assertEqual((host, port, timeout), ("192.0.2.7", 8080, 3))
        _, transport = self.accept()
        self.successResultOf(probing)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(transport.value(), b"")

    def test_refused(self) -> None:
        """No connection is a failure with its reason in words."""
        probing = self.prober(ENDPOINT, HealthCheck())
        self.reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(ConnectError(osError=ECONNREFUSED)))
        self.assertEqual(self.why(probing), ("connection refused", False))

    def test_places(self) -> None:
        """The check may have a port of its own; IPv6 and UNIX sockets are reached as they are."""
        self.prober(Endpoint("2001:db8::7", 80), HealthCheck(port=9000))
        self.assertEqual(self.reactor.tcpClients[0][:2], ("2001:db8::7", 9000))
        self.prober(Endpoint("@abstract", 0), HealthCheck())
        self.prober(Endpoint("/run/app.sock", 0), HealthCheck())
        self.assertEqual([it[0] for it in self.reactor.unixClients], ["\0abstract", "/run/app.sock"])


class HttpTests(ProbingTestCase):
    def answer(self, *pieces: bytes, check: HealthCheck = HTTP) -> tuple[Deferred[None], Any, StringTransport]:
        """A check to which the endpoint has answered this."""
        probing = self.prober(ENDPOINT, check)
        protocol, transport = self.accept()
        for piece in pieces:
            protocol.dataReceived(piece)
        return probing, protocol, transport

    def test_request(self) -> None:
        """The request is as configured, to the endpoint's address."""
        _, _, transport = self.answer()
        head = transport.value().lower()
        self.assertTrue(head.startswith(b"get /healthz?a=1 http/1.1\r\n"))
        for line in (b"host: shop.example", b"x-probe: 1", b"user-agent: meshproxy-health-check"):
            self.assertEqual(head.count(b"\r\n" + line + b"\r\n"), 1, line)

    def test_kept(self) -> None:
        """The next check of an endpoint takes the connection of the one before, while that is kept; without cookies."""
        whole = b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
        probing, protocol, transport = self.answer(whole)
        self.successResultOf(probing)
        transport.clear()
        probing = self.prober(ENDPOINT, HTTP)
        self.assertEqual(len(self.reactor.tcpClients), 1)
        self.assertTrue(transport.value().startswith(b"GET /healthz"))
        self.assertNotIn(b"cookie", transport.value().lower())
        protocol.dataReceived(whole)
        self.successResultOf(probing)
        self.reactor.advance(KEPT_SECONDS)
        self.assertTrue(transport.disconnecting)
        self.prober(ENDPOINT, HTTP)
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_kept_and_closed(self) -> None:
        """A kept connection that the endpoint closes as it is used is no failure; there is a new one."""
        probing, protocol, _ = self.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        self.successResultOf(probing)
        probing = self.prober(ENDPOINT, HTTP)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertNoResult(probing)
        self.assertEqual(len(self.reactor.tcpClients), 2)
        self.accept()[0].dataReceived(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        self.successResultOf(probing)

    def test_not_kept(self) -> None:
        """Each place has connections of its own; none is kept for what might not be repeated, nor at a UNIX socket."""
        posted = evolve(HTTP, http=evolve(HTTP.http, method="POST"))
        places = [(ENDPOINT, HTTP), (ENDPOINT, evolve(HTTP, port=9)), (Endpoint("192.0.2.8", 8080), HTTP)]
        for number, (endpoint, check) in enumerate([*places, (ENDPOINT, posted), (ENDPOINT, posted)]):
            probing = self.prober(endpoint, check)
            self.assertEqual(len(self.reactor.tcpClients), number + 1)
            self.accept()[0].dataReceived(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            self.successResultOf(probing)
        for _ in range(2):
            self.prober(Endpoint("@abstract", 0), HTTP)
        self.assertEqual(len(self.reactor.unixClients), 2)

    def test_close(self) -> None:
        """After all there is neither a connection nor a timer."""
        probing, protocol, transport = self.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        self.successResultOf(probing)
        closing = self.prober.close()
        protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(closing)
        self.assertTrue(transport.disconnected or transport.disconnecting)
        self.assertEqual([call for call in self.reactor.getDelayedCalls() if call.getTime() > 31], [])

    def test_expected(self) -> None:
        """An expected status passes once the response is there whole."""
        probing, protocol, _ = self.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwe")
        self.assertNoResult(probing)
        protocol.dataReceived(b"ll")
        self.successResultOf(probing)

    def test_redirect(self) -> None:
        """A redirect is not followed: it is a status like any other."""
        moved = b"HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n"
        self.assertEqual(self.why(self.answer(moved)[0]), ("status 302", True))
        allowed = evolve(HTTP, http=evolve(HTTP.http, statuses=((200, 399),)))
        self.prober = Prober(self.reactor)
        self.successResultOf(self.answer(moved, check=allowed)[0])
        self.assertEqual(len(self.reactor.tcpClients), 2)

    def test_unexpected(self) -> None:
        """Another status is a definite failure, whatever comes of the body; the connection is closed."""
        probing, _, transport = self.answer(b"HTTP/1.1 503 No\r\ncontent-length: 400\r\n\r\nx")
        self.assertEqual(self.why(probing), ("status 503", True))
        self.assertTrue(transport.disconnecting)

    def test_endless_body(self) -> None:
        """A body without end is not read to its end."""
        probing, protocol, transport = self.answer(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 30_000] * 3)
        self.assertTrue(transport.disconnecting)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(probing)

    def test_no_response(self) -> None:
        """An endpoint that closes without an answer, or says what is no HTTP, has failed."""
        probing, protocol, _ = self.answer()
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.why(probing), ("no response", False))
        probing, protocol, _ = self.answer(b"nonsense\r\n\r\n")
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertFalse(self.why(probing)[1])

    def test_cancelled(self) -> None:
        """A check that is cancelled leaves no connection: before it is there, before the answer, and in its body."""
        probing = self.prober(ENDPOINT, HTTP)
        probing.addErrback(lambda failure: None)
        probing.cancel()
        self.assertEqual(self.reactor.connectors[-1].stoppedConnecting, True)
        for pieces in ((), (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwe",)):
            probing, _, transport = self.answer(*pieces)
            probing.addErrback(lambda failure: failure.check(CancelledError, ProbeFailed))
            probing.cancel()
            self.assertTrue(transport.disconnecting or transport.disconnected, pieces)
            self.successResultOf(probing)
