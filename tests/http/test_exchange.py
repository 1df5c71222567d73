"""The exchange: headers both ways, and what is accounted."""

from __future__ import annotations

import re

from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import verify

from meshproxy.http import exchange as exchange_module
from meshproxy.http import request as request_module
from meshproxy.http import responsereader as reader_module
from meshproxy.interfaces import IRequest
from meshproxy.routes import Forward, Rewrite, Route, RouteMatch, WeightedDestination
from tests.fakes import (
    CLUSTER,
    CountedCookie,
    EmptyBalancer,
    FixedBalancer,
    Response,
    Wire,
    cluster,
    endpoints,
    route,
    snapshot,
)

GET = b"GET /x?y=1 HTTP/1.1\r\nHost: Shop.example:80\r\nUser-Agent: probe\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
RESET = b"upstream connect error or disconnect/reset before headers. "


def head_lines(data: bytes) -> list[bytes]:
    """The lines of a request's head."""
    return data.partition(b"\r\n\r\n")[0].split(b"\r\n")


class Upwards(SynchronousTestCase):
    """The request as the endpoint gets it."""

    def sent(self, request: bytes, trusted_proxies: int = 0) -> list[bytes]:
        wire = Wire(snapshot(trusted_proxies=trusted_proxies))
        wire.client().send(request)
        return head_lines(wire.accept().take())

    def test_head(self) -> None:
        """Host first, then the client's headers, then the gateway's."""
        lines = self.sent(GET[:-2] + b"X-A:  1\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n\r\n")
        request_id = lines.pop(7)
        self.assertEqual(
            lines,
            [
                b"GET /x?y=1 HTTP/1.1",
                b"host: Shop.example:80",
                b"user-agent: probe",
                b"x-a: 1",
                b"x-forwarded-for: 1.1.1.1,198.51.100.1",
                b"x-forwarded-proto: http",
                b"x-envoy-external-address: 198.51.100.1",
                b"x-envoy-attempt-count: 1",
            ],
        )
        self.assertRegex(
            request_id.decode(),
            "^x-request-id: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        )

    def test_chunked(self) -> None:
        """A chunked body stays chunked, piece by piece, and ends as one."""
        wire = Wire()
        client = wire.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        endpoint = wire.accept()
        head, _, body = endpoint.take().partition(b"\r\n\r\n")
        self.assertIn(b"transfer-encoding: chunked", head.split(b"\r\n"))
        self.assertEqual(body, b"3\r\nabc\r\n")
        client.send(b"2;x=y\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n")
        self.assertEqual(endpoint.take(), b"2\r\nde\r\n0\r\n\r\n")
        self.assertIsNone(endpoint.transport.producer)

    def test_trusted_proxies(self) -> None:
        """With trusted proxies the client's address and scheme are what they say; the peer is appended all the same."""
        lines = self.sent(
            GET[:-2] + b"X-Forwarded-For: 56.5.6.7, 72.9.5.6,98.1.2.3\r\nX-Forwarded-Proto: https\r\n\r\n", 2
        )
        self.assertIn(b"x-envoy-external-address: 72.9.5.6", lines)
        self.assertIn(b"x-forwarded-proto: https", lines)
        self.assertIn(b"x-forwarded-for: 56.5.6.7, 72.9.5.6,98.1.2.3,198.51.100.1", lines)

    def test_scheme_from_a_trusted_proxy(self) -> None:
        """A trusted proxy's scheme is the request's, as strategies see it; a stranger's is not."""
        for trusted, scheme in ((1, b"https"), (0, b"http")):
            key = CountedCookie()
            balancer = FixedBalancer(endpoints(), uses_hash=True)
            wire = Wire(
                snapshot(cluster(balancer=balancer), routes=[route(hash_policy=(key,))], trusted_proxies=trusted)
            )
            wire.client().send(GET[:-2] + b"X-Forwarded-Proto: https\r\n\r\n")
            self.assertEqual(key.requests[0].scheme, scheme)

    def test_too_few_proxies(self) -> None:
        """Where fewer proxies than are trusted left an address, or none, the peer is the client."""
        for value in (b"1.1.1.1", b"nonsense, 2.2.2.2"):
            lines = self.sent(GET[:-2] + b"X-Forwarded-For: " + value + b"\r\n\r\n", 2)
            self.assertIn(b"x-envoy-external-address: 198.51.100.1", lines)

    def test_what_a_strategy_sees(self) -> None:
        """A hash key sees the head as it goes upstream, by ``IRequest``."""
        key = CountedCookie()
        balancer = FixedBalancer(endpoints(), uses_hash=True)
        wire = Wire(snapshot(cluster(balancer=balancer), routes=[route(hash_policy=(key,))]))
        wire.client().send(GET[:-2] + b"X-Forwarded-For: 1.1.1.1\r\nX-A: 1\r\nx-a: 2\r\n\r\n")
        (request,) = key.requests
        verify.verifyObject(IRequest, request)
        self.assertEqual((request.method, request.scheme, request.path), (b"GET", b"http", b"/x?y=1"))
        self.assertEqual((request.authority, request.source_ip), (b"Shop.example:80", b"198.51.100.1"))
        self.assertEqual((request.remote, request.local), (b"198.51.100.1:50001", b"203.0.113.1:80"))
        for name, values in (
            (b"x-a", [b"1", b"2"]),
            (b"x-forwarded-for", [b"1.1.1.1,198.51.100.1"]),
            (b"host", [b"Shop.example:80"]),
            (b":authority", [b"Shop.example:80"]),
            (b":path", [b"/x?y=1"]),
            (b":method", [b"GET"]),
            (b":scheme", [b"http"]),
            (b"absent", []),
        ):
            self.assertEqual(list(request.header_values(name)), values)


class Downwards(SynchronousTestCase):
    """The response as the client gets it."""

    def got(self, head: bytes, wire: Wire | None = None) -> Response:
        client, endpoint = (wire or Wire()).pair(GET)
        endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + head + b"\r\n")
        (response,) = client.responses()
        return response

    def test_head(self) -> None:
        """The endpoint's headers, lower-cased and in order, then ours; hop-by-hop and private ones are dropped."""
        response = self.got(
            b"Server: x\r\nX-B: 1\r\nX-A: 2\r\nx-b: 3\r\nDate: then\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n"
            b"Upgrade: x\r\nConnection: X-A\r\nVia: v\r\nX-Envoy-Decorator-Operation: x\r\n"
            b"X-Envoy-Upstream-Service-Time: 77\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        )
        (time,) = response.values(b"x-envoy-upstream-service-time")
        self.assertLess(int(time), 77)
        self.assertEqual(
            [header for header in response.headers if header[0] != b"x-envoy-upstream-service-time"],
            [
                (b"content-length", b"0"),
                (b"x-b", b"1"),
                (b"x-a", b"2"),
                (b"x-b", b"3"),
                (b"date", b"then"),
                (b"via", b"v"),
                (b"set-cookie", b"a=1"),
                (b"set-cookie", b"b=2"),
                (b"server", b"istio-envoy"),
            ],
        )

    def test_date(self) -> None:
        """A response without date gets one."""
        self.assertRegex(self.got(b"")[b"date"].decode(), r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")

    def test_service_time(self) -> None:
        """The service time runs from the end of the request to the head of the response."""
        now = [100.0]
        self.patch(exchange_module, "_monotonic", lambda: now[0])
        self.patch(request_module, "_monotonic", lambda: now[0])
        self.patch(reader_module, "_monotonic", lambda: now[0])
        wire = Wire()
        client, endpoint = wire.pair(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
        now[0] += 5
        client.send(b"x")
        now[0] += 0.25
        endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
        now[0] += 1
        endpoint.send(b"x")
        self.assertEqual(client.responses()[0][b"x-envoy-upstream-service-time"], b"250")
        (exchange,) = wire.log.exchanges
        self.assertEqual((exchange.service_ms, exchange.duration_ms), (250, 6250))


class Accounting(SynchronousTestCase):
    """What an exchange leaves behind."""

    def test_fields(self) -> None:
        """The access log's fields of a proxied request."""
        wire = Wire(snapshot(routes=[route(name="main")]))
        _, endpoint = wire.pair(b"POST /a?b HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\nContent-Length: 3\r\n\r\nabc")
        endpoint.send(OK)
        (e,) = wire.log.exchanges
        self.assertEqual((e.method, e.path, e.status, e.flags), (b"POST", b"/a?b", 200, b""))
        self.assertEqual((e.details, e.transport_failure), (b"via_upstream", b""))
        self.assertEqual((e.bytes_received, e.bytes_sent), (3, 2))
        self.assertEqual((e.forwarded_for, e.user_agent, e.authority), (b"198.51.100.1", b"u", b"h"))
        self.assertEqual((e.upstream_host, e.upstream_cluster), (b"192.0.2.1:8080", CLUSTER.encode()))
        self.assertEqual((e.upstream_local, e.local), (b"203.0.113.1:40000", b"203.0.113.1:80"))
        self.assertEqual((e.logged_remote, e.route_name), (b"198.51.100.1:50001", b"main"))

    def test_logged_address_of_a_trusted_client(self) -> None:
        """An address that a proxy told of is logged with port 0."""
        for given, logged in ((b"1.2.3.4", b"1.2.3.4:0"), (b"2001:DB8:0::1", b"[2001:db8::1]:0")):
            wire = Wire(snapshot(routes=[], trusted_proxies=1))
            wire.client().send(GET[:-2] + b"X-Forwarded-For: " + given + b"\r\n\r\n")
            self.assertEqual(wire.log.exchanges[0].logged_remote, logged)

    def test_counters(self) -> None:
        """Requests, classes of responses and bytes are counted, gauges return to 0."""
        wire = Wire(snapshot(routes=[route("/x")]))
        client, endpoint = wire.pair(GET)
        endpoint.send(OK)
        client.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
        client.send(GET)
        endpoint.send(b"HTTP/1.1 302 x\r\nContent-Length: 0\r\n\r\n")
        client.send(GET)
        endpoint.send(b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n")
        counters = wire.gateway.counters
        self.assertEqual((counters.requests_total, counters.requests_active), (4, 0))
        classes = (counters.responses_2xx, counters.responses_3xx, counters.responses_4xx, counters.responses_5xx)
        self.assertEqual(classes, (1, 1, 1, 1))
        self.assertEqual((counters.local_replies_total, counters.bytes_sent_total), (1, 2))
        self.assertEqual((counters.upstream_connections_total, counters.upstream_connections_active), (1, 1))

    def test_connect_timeout(self) -> None:
        """A connection that takes too long is a failure of its own kind; the limit is the cluster's."""
        wire = Wire(snapshot(routes=[route(retries=None)]))
        client = wire.client()
        client.send(GET)
        self.assertEqual(wire.reactor.tcpClients[0][3], 10.0)
        wire.refuse(ConnectTimeout())
        self.assertEqual(client.responses()[0].body, RESET + b"reset reason: connection timeout")

    def test_no_endpoint(self) -> None:
        """A cluster without endpoints is logged as such."""
        wire = Wire(snapshot(cluster(balancer=EmptyBalancer())))
        wire.client().send(GET)
        (e,) = wire.log.exchanges
        self.assertEqual((e.status, e.flags, e.details), (503, b"UH", b"no_healthy_upstream"))
        self.assertEqual((e.upstream_host, e.upstream_cluster), (b"", CLUSTER.encode()))

    def test_request_ids_differ(self) -> None:
        """No two requests have the same identifier."""
        wire = Wire(snapshot(routes=[]))
        wire.client().send(GET * 1000)
        ids = {e.request_id for e in wire.log.exchanges}
        self.assertEqual(len(ids), 1000)
        self.assertTrue(all(re.fullmatch(rb"[0-9a-f-]{36}", one) for one in ids))


class Routing(SynchronousTestCase):
    """What routes see of a request."""

    def test_normalization(self) -> None:
        """Paths are normalized as the mesh says, from the next request on."""
        for option, path in (
            ("BASE", b"/a//b%2Fc"),
            ("DECODE_AND_MERGE_SLASHES", b"/a/b/c"),
            ("NONE", b"/x/../a//b%2Fc"),
        ):
            wire = Wire()
            client = wire.client()
            wire.gateway.install(snapshot(path_normalization=option))
            client.send(b"GET /x/../a//b%2Fc HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(head_lines(wire.accept().take())[0], b"GET %b HTTP/1.1" % path)

    def test_other_normalization(self) -> None:
        """A path that was asked for before is normalized anew when the mesh says otherwise."""
        wire = Wire()
        ask = b"GET /a//b HTTP/1.1\r\nHost: a\r\n\r\n"
        client, endpoint = wire.pair(ask)
        endpoint.send(OK)
        client.send(ask)
        self.assertEqual(head_lines(endpoint.take())[0], b"GET /a//b HTTP/1.1")
        endpoint.send(OK)
        wire.gateway.install(snapshot(path_normalization="MERGE_SLASHES"))
        client.send(ask)
        self.assertEqual(head_lines(endpoint.take())[0], b"GET /a/b HTTP/1.1")

    def test_weights(self) -> None:
        """Of several destinations each gets its share, with its own changes."""
        destinations = tuple(
            WeightedDestination(CLUSTER, weight, rewrite=Rewrite(f"/{weight}", whole=True)) for weight in (1, 3)
        )
        wire = Wire(snapshot(routes=[Route(RouteMatch(), Forward(destinations))]))
        client, endpoint = wire.pair(GET)
        endpoint.send(OK)
        seen = []
        for _ in range(400):
            client.send(GET)
            seen.append(endpoint.take()[:6])
            endpoint.send(OK)
        self.assertEqual(set(seen), {b"GET /1", b"GET /3"})
        self.assertLess(abs(seen.count(b"GET /1") - 100), 40)
