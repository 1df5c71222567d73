"""Faults and CORS: what comes before a request is forwarded."""

from __future__ import annotations

import random
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.filters import Cors, drawn
from meshproxy.routes import ALWAYS, Comparison, CorsPolicy, DirectResponse, Fault, TextMatch
from tests.fakes import Peer, Response, Wire, answer, route, snapshot

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def aborting(**fault: Any) -> Fault:
    """A fault that aborts always."""
    return Fault(abort_share=ALWAYS, **fault)


class Shares(SynchronousTestCase):
    def test_shares(self) -> None:
        """Nothing and everything need no luck; parts of a million are drawn."""
        self.assertFalse(drawn(0, lambda _: 0))
        self.assertTrue(drawn(ALWAYS, lambda _: ALWAYS - 1))
        self.assertEqual([drawn(100, lambda _, bits=bits: bits) for bits in (99, 100)], [True, False])
        rng = random.Random(1)
        share = sum(drawn(300_000, rng.getrandbits) for _ in range(10000)) / 10000
        self.assertLess(abs(share - 0.3), 0.02)


class Aborts(SynchronousTestCase):
    def aborted(self, fault: Fault, request: bytes = GET) -> tuple[Response, Any]:
        wire = Wire(snapshot(routes=[route(fault=fault)]))
        client = wire.client()
        client.send(request)
        (response,) = client.responses()
        self.assertEqual(wire.attempts, [])
        return response, wire.log.exchanges[0]

    def test_status(self) -> None:
        """An abort answers with its status and a text that says so."""
        response, exchange = self.aborted(aborting(abort_status=418))
        self.assertEqual((response.status, response.body), (418, b"fault filter abort"))
        self.assertEqual(response[b"content-type"], b"text/plain")
        self.assertEqual((exchange.flags, exchange.details), (b"FI", b"fault_filter_abort"))

    def test_grpc_status(self) -> None:
        """A gRPC status for a request that is not gRPC is a 200 with the text."""
        response, _ = self.aborted(aborting(abort_grpc_status=14))
        self.assertEqual((response.status, response.body), (200, b"fault filter abort"))

    def test_not_drawn(self) -> None:
        """A fault without a share, or a share without a fault, does nothing."""
        for fault in (Fault(abort_status=418, delay=5), Fault(abort_share=ALWAYS, delay_share=ALWAYS)):
            wire = Wire(snapshot(routes=[route(fault=fault)]))
            wire.client().send(GET)
            self.assertEqual(wire.attempts, ["192.0.2.1:8080"])

    def test_before_an_answer(self) -> None:
        """Faults hit routes that answer themselves too."""
        wire = Wire(snapshot(routes=[answer(DirectResponse(200), fault=aborting(abort_status=500))]))
        client = wire.client()
        client.send(GET)
        self.assertEqual(client.responses()[0].status, 500)


class Delays(SynchronousTestCase):
    def delayed(self, request: bytes = GET, **route_fields: Any) -> tuple[Wire, Peer]:
        fault = route_fields.pop("fault", Fault(delay=0.5, delay_share=ALWAYS))
        wire = Wire(snapshot(routes=[route(fault=fault, **route_fields)]))
        client = wire.client()
        client.send(request)
        self.assertEqual(wire.attempts, [])
        return wire, client

    def test_delay(self) -> None:
        """The request goes on after the delay, which does not count against the route's timeout."""
        wire, client = self.delayed(timeout=0.2)
        wire.reactor.advance(0.5)
        wire.accept().send(OK)
        self.assertEqual(client.responses()[0].status, 200)
        self.assertEqual(wire.log.exchanges[0].flags, b"DI")

    def test_then_abort(self) -> None:
        """Of both, the delay comes first."""
        wire, client = self.delayed(fault=aborting(delay=0.3, delay_share=ALWAYS, abort_status=503))
        wire.reactor.advance(0.3)
        self.assertEqual(client.responses()[0].status, 503)
        self.assertEqual(wire.log.exchanges[0].flags, b"DI,FI")
        self.assertEqual(wire.gateway.counters.faults_delayed_total, 1)
        self.assertEqual(wire.gateway.counters.faults_aborted_total, 1)

    def test_client_leaves(self) -> None:
        """A client that leaves meanwhile takes its request along."""
        wire, client = self.delayed()
        client.close()
        self.assertEqual(wire.timers, [])
        self.assertEqual(wire.log.exchanges[0].flags, b"DI,DC")

    def test_body_meanwhile(self) -> None:
        """A body that comes meanwhile waits, no more than a buffer of it."""
        wire, client = self.delayed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        client.send(bytes(60000), bytes(10000))
        self.assertTrue(client.paused)
        wire.reactor.advance(0.5)
        self.assertEqual(len(wire.accept().take().partition(b"\r\n\r\n")[2]), 70000)
        self.assertFalse(client.paused)


POLICY = CorsPolicy(
    origins=(
        TextMatch(Comparison.EXACT, "cors.com"),
        TextMatch(Comparison.PREFIX, "http://pre"),
        TextMatch(Comparison.REGEX, "https://.*[.]re[.]test"),
    ),
    methods=("POST", "GET"),
    headers=("X-Foo", "X-Bar"),
    expose=("X-E",),
    max_age=86400,
    credentials=True,
)


class CorsTests(SynchronousTestCase):
    def asked(self, method: bytes, *lines: bytes, policy: CorsPolicy = POLICY, **fields: Any) -> Response:
        """The response; an endpoint that is asked says ``ok`` and that anybody may read it."""
        self.wire = Wire(snapshot(routes=[route(cors=policy, **fields)]))
        client = self.wire.client()
        client.send(b"\r\n".join((method + b" / HTTP/1.1", b"Host: a", *lines, b"", b"")))
        self.forwarded = bool(self.wire.attempts)
        if self.forwarded:
            self.wire.accept().send(OK[:17] + b"Access-Control-Allow-Origin: *\r\n" + OK[17:])
        (response,) = client.responses()
        return response

    def preflight(self, origin: bytes, *lines: bytes, policy: CorsPolicy = POLICY) -> Response:
        asking = (b"Origin: " + origin, b"Access-Control-Request-Method: DELETE", *lines)
        return self.asked(b"OPTIONS", *asking, policy=policy)

    def test_preflight(self) -> None:
        """The gateway answers with what is allowed, whatever was asked for."""
        response = self.preflight(b"cors.com")
        self.assertEqual((self.forwarded, response.status, response.body), (False, 200, b""))
        self.assertEqual(
            [header for header in response.headers if header[0].startswith(b"access-control")],
            [
                (b"access-control-allow-origin", b"cors.com"),
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-allow-methods", b"POST,GET"),
                (b"access-control-allow-headers", b"X-Foo,X-Bar"),
                (b"access-control-max-age", b"86400"),
                (b"access-control-expose-headers", b"X-E"),
            ],
        )
        self.assertEqual(response.values(b"vary"), [])

    def test_nothing_configured(self) -> None:
        """What is not configured is not said."""
        response = self.preflight(b"o", policy=CorsPolicy((TextMatch(Comparison.EXACT, "*"),)))
        names = [name for name, _ in response.headers if name.startswith(b"access-control")]
        self.assertEqual((names, response[b"access-control-allow-origin"]), ([b"access-control-allow-origin"], b"o"))

    def test_wildcards(self) -> None:
        """A list that is just a star allows what was asked for."""
        policy = CorsPolicy((TextMatch(Comparison.EXACT, "*"),), methods=("*",), headers=("*",))
        response = self.preflight(b"o", b"Access-Control-Request-Headers: x-1, x-2", policy=policy)
        self.assertEqual(response[b"access-control-allow-methods"], b"DELETE")
        self.assertEqual(response[b"access-control-allow-headers"], b"x-1, x-2")

    def test_unmatched_preflight(self) -> None:
        """A preflight of another origin is forwarded, or answered without a word on that origin."""
        self.assertEqual(self.preflight(b"bad.com").body, b"ok")
        response = self.preflight(b"bad.com", policy=CorsPolicy(forward_unmatched=False))
        self.assertEqual((self.forwarded, response.status), (False, 200))
        self.assertEqual(response.values(b"access-control-allow-origin"), [])
        policy = evolve(POLICY, forward_unmatched=False)
        response = self.preflight(b"bad.com", policy=policy)
        self.assertEqual(response.values(b"access-control-allow-origin"), [])
        self.assertEqual(response.values(b"access-control-expose-headers"), [])
        self.assertEqual(response[b"access-control-allow-methods"], b"POST,GET")

    def test_no_preflight(self) -> None:
        """Without an origin, or a method that is asked for, OPTIONS is a request as any other."""
        ignoring = CorsPolicy(forward_unmatched=False)
        self.asked(b"OPTIONS", b"Access-Control-Request-Method: GET", policy=ignoring)
        self.assertTrue(self.forwarded)
        self.assertEqual(self.asked(b"OPTIONS", b"Origin: cors.com")[b"access-control-allow-origin"], b"cors.com")
        self.assertTrue(self.forwarded)

    def test_actual(self) -> None:
        """The response to an origin that is admitted says so instead of the endpoint; others are untouched."""
        for origin, value in (
            (b"cors.com", b"cors.com"),
            (b"http://prefix.x", b"http://prefix.x"),
            (b"https://a.re.test", b"https://a.re.test"),
            (b"https://a.re.test.evil", b"*"),
            (b"Cors.com", b"*"),
        ):
            response = self.asked(b"GET", b"Origin: " + origin)
            self.assertEqual(response.values(b"access-control-allow-origin"), [value])
        response = self.asked(b"GET", b"Origin: cors.com")
        self.assertEqual(response[b"access-control-expose-headers"], b"X-E")
        self.assertEqual(response[b"access-control-allow-credentials"], b"true")
        self.assertEqual(self.asked(b"GET").values(b"access-control-allow-origin"), [b"*"])

    def test_own_answers(self) -> None:
        """So does the gateway's own answer when there is no endpoint."""
        wire = Wire(snapshot(routes=[route(cors=POLICY, retries=None)]))
        client = wire.client()
        client.send(GET[:-2] + b"Origin: cors.com\r\n\r\n")
        wire.refuse()
        (response,) = client.responses()
        self.assertEqual((response.status, response[b"access-control-allow-origin"]), (503, b"cors.com"))

    def test_faults_first(self) -> None:
        """An abort hits preflights and has no headers of CORS."""
        lines = (b"Origin: cors.com", b"Access-Control-Request-Method: GET")
        response = self.asked(b"OPTIONS", *lines, fault=aborting(abort_status=503))
        self.assertEqual((response.status, response.values(b"access-control-allow-origin")), (503, []))

    def test_everyone(self) -> None:
        """A condition that a star would meet admits every origin."""
        for text in (TextMatch(), TextMatch(Comparison.PREFIX, "*"), TextMatch(Comparison.REGEX, ".?|x")):
            self.assertTrue(Cors(CorsPolicy((TextMatch(Comparison.EXACT, "no"), text))).admits(b"cors.com"))
        self.assertFalse(Cors(CorsPolicy((TextMatch(Comparison.REGEX, "..+x"),))).admits(b"cors.com"))

    def test_no_origins(self) -> None:
        """A policy without origins admits none."""
        self.assertFalse(Cors(CorsPolicy()).admits(b"cors.com"))
