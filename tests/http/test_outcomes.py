"""How each try ends is told to the endpoint, once, where the cluster ejects endpoints that fail."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.policies import OutlierDetection
from meshproxy.routes import Mirror, RetryPolicy
from meshproxy.upstream.outliers import Monitor
from tests.fakes import Wire, cluster, route, snapshot
from tests.http.test_exchange import GET, OK
from tests.http.test_upgrading import agreeing, asking

FAILING = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


class Heard:
    """Stands for the monitor of every endpoint, and notes what it hears, with the last part of the address."""

    def __init__(self, wire: Wire) -> None:
        self.all: list[str] = []
        self.connections = 0
        for state in wire.gateway.upstreams.clusters.values():
            for host in state.hosts.values():
                host.monitor = self.monitor(host.address.rpartition(".")[2])

    def monitor(self, name: str) -> Any:
        heard = self

        class Noting(Monitor):
            def __init__(self) -> None:
                self.ejected_at = None

            def connected(self) -> None:
                heard.connections += 1

            def responded(self, status: int, grpc_status: int | None = None) -> None:
                heard.all.append(f"{name} {status}" if grpc_status is None else f"{name} {status} gRPC {grpc_status}")

            def failed(self) -> None:
                heard.all.append(f"{name} failed")

            def timed_out(self) -> None:
                heard.all.append(f"{name} timed out")

        return Noting()


class OutcomeTests(SynchronousTestCase):
    def wire(self, count: int = 1, **forward: Any) -> Wire:
        found = Wire(snapshot(cluster(count), routes=[route(**forward)]))
        self.heard = Heard(found)
        return found

    def test_response(self) -> None:
        """A response is told by its status when its head is there; its end is not."""
        client, endpoint = self.wire().pair(GET)
        endpoint.send(b"HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\n")
        self.assertEqual(self.heard.all, ["1 404"])
        endpoint.send(b"abc")
        self.assertEqual(self.heard.all, ["1 404"])
        client.send(GET)
        endpoint.send(OK)
        self.assertEqual((self.heard.all, self.heard.connections), (["1 404", "1 200"], 2))

    def test_cut(self) -> None:
        """One that breaks off is a failure too."""
        _, endpoint = self.wire().pair(GET)
        endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        endpoint.close()
        self.assertEqual(self.heard.all, ["1 200", "1 failed"])

    def test_garbage(self) -> None:
        """What is not HTTP is a failure, in a head and behind one, and so is a head that breaks off."""
        for sent, expected in (
            ([b"HELLO\r\n\r\n"], ["1 failed"]),
            ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\n"], ["1 200", "1 failed"]),
        ):
            _, endpoint = self.wire().pair(GET)
            endpoint.send(*sent)
            self.assertEqual(self.heard.all, expected)
        _, endpoint = self.wire().pair(GET)
        endpoint.send(b"HTTP/1.1 2")
        endpoint.close()
        self.assertEqual(self.heard.all, ["1 failed"])

    def test_retried_response(self) -> None:
        """A response that is thrown away for another try is told, and so is that of the other try."""
        wire = self.wire(2, retries=RetryPolicy(1, frozenset({"5xx"}), backoff=0.001))
        _, endpoint = wire.pair(GET)
        endpoint.send(FAILING)
        wire.reactor.advance(0.1)
        wire.accept().send(OK)
        self.assertEqual(self.heard.all, ["1 500", "2 200"])

    def test_no_connection(self) -> None:
        """A connection that cannot be made is a failure of each endpoint that was tried, a slow one too."""
        wire = self.wire(2, retries=RetryPolicy(1))
        wire.client().send(GET)
        wire.refuse()
        wire.reactor.advance(1)
        wire.refuse(ConnectTimeout())
        self.assertEqual((self.heard.all, self.heard.connections), (["1 failed", "2 failed"], 0))

    def test_client_gone(self) -> None:
        """What nobody waits for any more says nothing of the endpoint."""
        wire = self.wire()
        client = wire.client()
        client.send(GET)
        client.close()
        wire.refuse()
        client, endpoint = wire.pair(GET)
        client.close()
        endpoint.settle()
        self.assertEqual(self.heard.all, [])

    def test_lost(self) -> None:
        """A connection that ends before a response is a failure, unless the request is repeated on a fresh one."""
        wire = self.wire()
        client, endpoint = wire.pair(GET)
        endpoint.send(OK)
        client.send(GET)
        endpoint.close()
        self.assertEqual(self.heard.all, ["1 200"])
        wire.accept().close()
        self.assertEqual(self.heard.all, ["1 200", "1 failed"])

    def test_timeouts(self) -> None:
        """Time that runs out is a timeout while a response is waited for, but not before there is a connection."""
        wire = self.wire(timeout=2.0)
        wire.pair(GET)
        wire.reactor.advance(2)
        self.assertEqual(self.heard.all, ["1 timed out"])
        wire = self.wire(timeout=2.0)
        wire.client().send(GET)
        wire.reactor.advance(2)
        self.assertEqual(self.heard.all, [])
        wire = self.wire(2, retries=RetryPolicy(1, frozenset({"5xx"}), per_try_timeout=1.0))
        wire.pair(GET)
        wire.reactor.advance(1)
        wire.reactor.advance(0.1)
        wire.accept()
        wire.reactor.advance(1)
        self.assertEqual(self.heard.all, ["1 timed out", "2 timed out"])

    def test_timeout_in_a_response(self) -> None:
        """A response that takes too long to end was a response."""
        wire = self.wire(timeout=2.0)
        _, endpoint = wire.pair(GET)
        endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        wire.reactor.advance(2)
        self.assertEqual(self.heard.all, ["1 200"])

    def test_grpc(self) -> None:
        """The gRPC status of a head counts for a request of gRPC only."""
        for content_type, expected in ((b"application/grpc+proto", "1 200 gRPC 503"), (b"text/plain", "1 200")):
            wire = self.wire(retries=None)
            _, endpoint = wire.pair(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Type: %b\r\n\r\n" % content_type)
            endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nGrpc-Status: 14\r\n\r\n")
            self.assertEqual(self.heard.all, [expected])

    def test_other_protocol(self) -> None:
        """An endpoint that agrees to another protocol has answered; it fails if it is the one who ends that."""
        for ends, expected in (
            (("endpoint.close", "client.close"), ["1 101", "1 failed"]),
            (("client.close", "endpoint.close"), ["1 101"]),
            (("endpoint.reset",), ["1 101", "1 failed"]),
            (("client.reset",), ["1 101"]),
        ):
            client, endpoint = self.wire().pair(asking())
            endpoint.send(agreeing())
            for end in ends:
                who, _, how = end.partition(".")
                getattr({"client": client, "endpoint": endpoint}[who], how)()
            self.assertEqual(self.heard.all, expected, ends)

    def test_mirrors(self) -> None:
        """Copies of requests tell as requests do."""
        for ending, expected in (
            (lambda wire, mirror: mirror.send(FAILING), ["1 500"]),
            (lambda wire, mirror: mirror.close(), ["1 failed"]),
            (lambda wire, mirror: wire.reactor.advance(60), ["1 timed out"]),
        ):
            wire = Wire(snapshot(cluster(), cluster(name="copies"), routes=[route(mirrors=(Mirror("copies"),))]))
            self.heard = Heard(wire)
            wire.gateway.upstreams.clusters[cluster().name].host(cluster().endpoints[0]).monitor = None
            wire.client().send(GET)
            ending(wire, wire.accept())
            self.assertEqual(self.heard.all, expected)
        wire = Wire(snapshot(cluster(), cluster(name="copies"), routes=[route(mirrors=(Mirror("copies"),))]))
        self.heard = Heard(wire)
        wire.client().send(GET)
        wire.refuse()
        self.assertEqual(self.heard.all, ["1 failed"])


class EjectionTests(SynchronousTestCase):
    def test_next_request(self) -> None:
        """An endpoint that answered with 500 too often gets no further request; without any the answer is 503."""
        rule = OutlierDetection(consecutive_5xx=2, max_ejection_percent=100)
        wire = Wire(snapshot(evolve(cluster(), outliers=rule)))
        client, endpoint = wire.pair(GET)
        endpoint.send(FAILING)
        client.send(GET)
        endpoint.send(FAILING)
        client.take()
        wire.reactor.advance(0)
        client.send(GET)
        (response,) = client.responses()
        self.assertEqual((response.status, response.body), (503, b"no healthy upstream"))
        self.assertEqual(wire.log.exchanges[-1].flags, b"UH")

    def test_retry(self) -> None:
        """A retry does not come to an endpoint that was ejected since its first try."""
        rule = OutlierDetection(consecutive_5xx=1, max_ejection_percent=100)
        policy = RetryPolicy(1, frozenset({"5xx"}), backoff=0.001, avoid_previous_hosts=False)
        wire = Wire(snapshot(evolve(cluster(2), outliers=rule), routes=[route(retries=policy)]))
        _, endpoint = wire.pair(GET)
        endpoint.send(FAILING)
        wire.reactor.advance(0)
        wire.reactor.advance(0.01)
        self.assertEqual(wire.attempts, ["192.0.2.2:8080"])
