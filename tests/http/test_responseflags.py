"""What the access log says of each way in which an exchange can end: status, flags, details."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.routes import ALWAYS, DirectResponse, Fault, Redirect, RetryPolicy
from tests.fakes import EmptyBalancer, Wire, answer, cluster, route, snapshot

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
RESET = b"upstream_reset_before_response_started{%b}"
TWO_TRIES = RetryPolicy(2, frozenset({"5xx"}))

End = Callable[[Wire], Any]


def sent(request: bytes = GET, *then: End) -> End:
    """A client sends a request; then what is given happens."""

    def run(wire: Wire) -> None:
        wire.client().send(request)
        for step in then:
            step(wire)

    return run


def answered(*pieces: bytes) -> End:
    """The endpoint accepts the connection, says something and closes."""

    def run(wire: Wire) -> None:
        endpoint = wire.accept()
        endpoint.send(*pieces)
        endpoint.close()

    return run


def client_leaves(wire: Wire) -> None:
    client = wire.client()
    client.send(GET)
    client.close()


def on_http_10(wire: Wire) -> None:
    wire.client().send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")


def refused_thrice(wire: Wire) -> None:
    for _ in range(3):
        wire.refuse()
        wire.reactor.advance(0.25)


def answered_thrice(wire: Wire) -> None:
    for _ in range(3):
        wire.accept().send(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
        wire.reactor.advance(0.25)


def waited_thrice(wire: Wire) -> None:
    for _ in range(3):
        wire.accept()
        wire.reactor.advance(1)
        wire.reactor.advance(0.25)


def accepted(wire: Wire) -> None:
    wire.accept()


def waited(wire: Wire) -> None:
    wire.reactor.advance(1)


def connect_timed_out(wire: Wire) -> None:
    wire.refuse(ConnectTimeout())


def refused(wire: Wire) -> None:
    wire.refuse()


NO_RETRY: dict[str, Any] = {"retries": None}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"


class EndTests(SynchronousTestCase):
    def test_ends(self) -> None:
        """Each way to end has its own line."""
        to_nowhere = route(to="outbound|80||missing")
        direct, redirect = answer(DirectResponse(418, b"tea")), answer(Redirect())
        abort, delay = Fault(abort_status=555, abort_share=ALWAYS), Fault(delay=1.0, delay_share=ALWAYS)
        cases: list[tuple[str, list[Any], End, int, bytes, bytes]] = [
            ("served", [route()], sent(GET, answered(OK)), 200, b"", b"via_upstream"),
            ("no route", [], sent(), 404, b"NR", b"route_not_found"),
            ("no cluster", [to_nowhere], sent(), 503, b"NC", b"cluster_not_found"),
            (
                "refused",
                [route(**NO_RETRY)],
                sent(GET, refused),
                503,
                b"UF",
                RESET % b"remote_connection_failure|delayed_connect_error:_Connection_refused",
            ),
            (
                "refused each time",
                [route(retries=TWO_TRIES)],
                sent(GET, refused_thrice),
                503,
                b"URX,UF",
                RESET % b"remote_connection_failure|delayed_connect_error:_Connection_refused",
            ),
            (
                "connect timeout",
                [route(**NO_RETRY)],
                sent(GET, connect_timed_out),
                503,
                b"UF",
                RESET % b"connection_timeout",
            ),
            ("closed", [route(**NO_RETRY)], sent(GET, answered()), 503, b"UC", RESET % b"connection_termination"),
            ("no HTTP", [route(**NO_RETRY)], sent(GET, answered(b"what?")), 502, b"UPE", RESET % b"protocol_error"),
            (
                "closed in the middle",
                [route()],
                sent(GET, answered(OK[:-1])),
                200,
                b"UC",
                b"upstream_reset_after_response_started{connection_termination}",
            ),
            ("timeout", [route(timeout=1.0)], sent(GET, accepted, waited), 504, b"UT", b"response_timeout"),
            (
                "timeouts of tries",
                [route(retries=RetryPolicy(2, frozenset({"5xx"}), per_try_timeout=1.0))],
                sent(GET, waited_thrice),
                504,
                b"URX,UT",
                b"upstream_per_try_timeout",
            ),
            (
                "responses retried",
                [route(retries=TWO_TRIES)],
                sent(GET, answered_thrice),
                503,
                b"URX",
                b"via_upstream",
            ),
            ("abort", [route(fault=abort)], sent(), 555, b"FI", b"fault_filter_abort"),
            ("delay", [route(fault=delay)], sent(GET, waited, answered(OK)), 200, b"DI", b"via_upstream"),
            ("direct response", [direct], sent(), 418, b"", b"direct_response"),
            ("redirect", [redirect], sent(), 301, b"", b"direct_response"),
            ("no Host", [route()], sent(b"GET / HTTP/1.1\r\n\r\n"), 400, b"", b"missing_host_header"),
            ("no path", [route()], sent(GET.replace(b"/", b"/%00", 1)), 400, b"", b"path_normalization_failed"),
            ("no request", [route()], sent(b"nonsense\r\n\r\n"), 400, b"DPE", b"http1.codec_error"),
            ("old version", [route()], on_http_10, 426, b"DPE", b"low_version"),
            (
                "large head",
                [route()],
                sent(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"),
                431,
                b"DPE",
                b"http1.headers_too_large",
            ),
            (
                "many fields",
                [route()],
                sent(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 100 + b"\r\n"),
                431,
                b"DPE",
                b"http1.too_many_headers",
            ),
            (
                "asterisk",
                [route()],
                sent(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
                404,
                b"",
                b"absolute_path_rejected",
            ),
            (
                "absolute https",
                [route()],
                sent(b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
                403,
                b"DPE",
                b"http1.https_url_on_plaintext_connection",
            ),
            ("client leaves", [route()], client_leaves, 0, b"DC", b"downstream_remote_disconnect"),
        ]
        for name, routes, end, status, flags, details in cases:
            wire = Wire(snapshot(cluster(3), routes=routes))
            end(wire)
            found = [(exchange.status, exchange.flags, exchange.details) for exchange in wire.log.exchanges]
            self.assertEqual(found, [(status, flags, details)], name)

    def test_no_endpoint(self) -> None:
        """A cluster without endpoints is unhealthy."""
        wire = Wire(snapshot(cluster(balancer=EmptyBalancer())))
        wire.client().send(GET)
        (exchange,) = wire.log.exchanges
        self.assertEqual((exchange.status, exchange.flags, exchange.details), (503, b"UH", b"no_healthy_upstream"))
