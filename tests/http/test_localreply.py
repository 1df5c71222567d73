"""The gateway's own answers, to the byte, and against answers recorded from Envoy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.statuses import DateCache, http_date
from meshproxy.model import Snapshot
from meshproxy.routes import RetryPolicy
from tests.fakes import EmptyBalancer, Wire, cluster, route, snapshot

GET = b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n"
DATE = b"Mon, 23 Nov 2026 04:04:24 GMT"
RECORDED = Path(__file__).parent.parent / "vectors" / "live-behaviour.json"


class FixedDate(DateCache):
    """It is always the same second."""

    def at(self, seconds: float) -> bytes:
        return DATE


class ToTheByte(SynchronousTestCase):
    """Whole answers."""

    def answer(self, request: bytes, installed: Snapshot) -> bytes:
        wire = Wire(installed)
        wire.gateway.dates = FixedDate()
        client = wire.client()
        client.send(request)
        return client.take()

    def test_no_route(self) -> None:
        """404 has no body and no content type."""
        self.assertEqual(
            self.answer(GET, snapshot(routes=[])),
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\ndate: %b\r\nserver: istio-envoy\r\n\r\n" % DATE,
        )

    def test_with_a_body(self) -> None:
        """An answer with a body has its length and type; one to HEAD has both and no body."""
        installed = snapshot(cluster(balancer=EmptyBalancer()))
        head = (
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 19\r\ncontent-type: text/plain\r\n"
            b"date: %b\r\nserver: istio-envoy\r\n\r\n" % DATE
        )
        self.assertEqual(self.answer(GET, installed), head + b"no healthy upstream")
        self.assertEqual(self.answer(GET.replace(b"GET", b"HEAD"), installed), head)

    def test_closing(self) -> None:
        """A refusal says that the connection closes."""
        self.assertEqual(
            self.answer(b"GET / HTTP/1.0\r\n\r\n", snapshot()),
            b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 16\r\ncontent-type: text/plain\r\n"
            b"date: %b\r\nserver: istio-envoy\r\nconnection: close\r\n\r\nUpgrade Required" % DATE,
        )

    def test_refusals(self) -> None:
        """Status, body, and the access log's flags and details of each refusal."""
        for request, status, body, flags, details in (
            (b"GET / HTTP/1.1\r\n\r\n", 400, b"", b"", b"missing_host_header"),
            (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, b"", b"", b"path_normalization_failed"),
            (b"nonsense\r\n\r\n", 400, b"Bad Request", b"DPE", b"http1.codec_error"),
            (b"GET / HTTP/1.0\r\n\r\n", 426, b"Upgrade Required", b"DPE", b"low_version"),
            (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404, b"", b"", b"absolute_path_rejected"),
            (
                b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
                403,
                b"Forbidden",
                b"DPE",
                b"http1.https_url_on_plaintext_connection",
            ),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
                403,
                b"",
                b"",
                b"upgrade_failed",
            ),
        ):
            wire = Wire()
            client = wire.client()
            client.send(request)
            (response,) = client.responses()
            self.assertEqual((response.status, response.body), (status, body))
            (exchange,) = wire.log.exchanges
            self.assertEqual((exchange.flags, exchange.details), (flags, details))
            self.assertEqual(wire.gateway.counters.local_replies_total, 1)


class Recorded(SynchronousTestCase):
    """Answers recorded from Envoy 1.40, whose server name is ``envoy`` where a gateway's is ``istio-envoy``."""

    def compare(self, name: str, wire: Wire) -> None:
        """Send a request that is refused a connection as often as it asks for one."""
        (recorded,) = [o for o in json.loads(RECORDED.read_text())["observations"] if o["name"] == "reply/" + name]
        observed: dict[str, Any] = recorded["observed"]
        client = wire.client()
        client.send(GET)
        while wire.attempts:
            wire.refuse(ConnectTimeout() if name == "connect timeout" else None)
            wire.reactor.advance(1)
        (response,) = client.responses()
        self.assertEqual((response.status, response.body.decode()), (observed["status"], observed["body"]))
        headers = {name.decode(): value.decode() for name, value in response.headers if name != b"date"}
        self.assertEqual(headers, {**observed["headers"], "server": "istio-envoy"})

    def test_all(self) -> None:
        """Every recorded answer that the gateway can have cause for is made as it was recorded."""
        self.compare("no route in vhost", Wire(snapshot(routes=[route("/a")])))
        self.compare("missing cluster", Wire(snapshot(routes=[route(to="outbound|1||none")])))
        self.compare("no host", Wire(snapshot(cluster(balancer=EmptyBalancer()))))
        self.compare("connection refused", Wire(snapshot(routes=[route(retries=None)])))
        self.compare("connection refused, retried", Wire(snapshot(routes=[route(retries=RetryPolicy(1))])))
        self.compare("connect timeout", Wire(snapshot(routes=[route(retries=None)])))


class Dates(SynchronousTestCase):
    """The ``date`` header."""

    def test_http_date(self) -> None:
        """The example of RFC 9110, 5.6.7, whatever the locale."""
        self.assertEqual(http_date(784111777), b"Sun, 06 Nov 1994 08:49:37 GMT")
