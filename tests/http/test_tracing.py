"""Trace context that is passed on, and spans where there are any."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import load
from meshproxy.config.sources import Source, Sources
from meshproxy.errors import ConfigError
from meshproxy.http import tracing
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.routes import DirectResponse, RetryPolicy
from tests.config.loading import GATEWAY, ROUTE, SERVICE, bundled
from tests.fakes import CLUSTER, Wire, answer, cluster, route, snapshot
from tests.http.test_exchange import OK, head_lines

TRACE = 0x0AF7651916CD43DD8448EB211C80319C
PARENT = f"00-{TRACE:032x}-b7ad6b7169203331-01"
OWN = f"00-{TRACE:032x}-00000000000000aa-01"
CONTEXT = {
    "traceparent": PARENT,
    "tracestate": "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
    "b3": "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1",
    "x-b3-traceid": "80f198ee56343ba864fe8b2a57d3eff7",
    "x-b3-spanid": "e457b5a2e4d86bd1",
    "x-b3-parentspanid": "05e3ac9a4f6e3b90",
    "x-b3-sampled": "1",
    "x-b3-flags": "0",
    "baggage": "user=1",
}


def get(headers: Mapping[str, str], path: str = "/p?secret=1") -> bytes:
    """A request with headers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nHost: shop.test:80\r\nUser-Agent: probe\r\n{lines}\r\n".encode()


class RecordedSpan(Span):
    """A span that keeps what it is told."""

    def __init__(self, name: str, context: Context | None, kind: SpanKind, start_time: int | None) -> None:
        self.name, self.kind, self.start_time = name, kind, start_time
        self.parent = trace.get_current_span(context).get_span_context()
        self.attributes: dict[str, Any] = {}
        self.status: StatusCode | None = None
        self.end_time: int | None = None

    def get_span_context(self) -> SpanContext:
        return SpanContext(self.parent.trace_id or TRACE, 0xAA, False, TraceFlags(TraceFlags.SAMPLED))

    def is_recording(self) -> bool:
        return self.end_time is None

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self.attributes.update(attributes)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        assert isinstance(status, Status)
        self.status = status.status_code

    def end(self, end_time: int | None = None) -> None:
        assert self.end_time is None
        self.end_time = end_time

    def add_event(self, *arguments: Any, **named: Any) -> None:
        raise NotImplementedError

    def update_name(self, name: str) -> None:
        raise NotImplementedError

    def record_exception(self, *arguments: Any, **named: Any) -> None:
        raise NotImplementedError


class RecordingTracer:
    """A tracer that keeps its spans."""

    def __init__(self) -> None:
        self.spans: list[RecordedSpan] = []

    def start_span(self, name: str, context: Context | None, kind: SpanKind, start_time: int | None) -> RecordedSpan:
        self.spans.append(RecordedSpan(name, context, kind, start_time))
        return self.spans[-1]


class PassingOnTests(SynchronousTestCase):
    def received(self, wire: Wire) -> dict[str, str]:
        """The trace context that an endpoint gets of a request that has all kinds of it."""
        wire.client().send(get(CONTEXT))
        fields = (line.decode().split(": ", 1) for line in head_lines(wire.accept().take())[1:])
        return {name: value for name, value in fields if name in CONTEXT}

    def test_unchanged(self) -> None:
        """Whatever the headers of a trace are, the endpoint gets them as they came."""
        self.assertEqual(self.received(Wire()), CONTEXT)

    def test_unchanged_without_an_sdk(self) -> None:
        """So it does where traces are asked for, but nobody records them; the log knows the trace all the same."""
        wire = Wire(snapshot(tracing=True))
        self.assertEqual(self.received(wire), CONTEXT)
        self.assertFalse(tracing.is_recorded())

    def test_not_imported(self) -> None:
        """Nothing of OpenTelemetry is imported unless it is asked for."""
        removed = [name for name in sys.modules if name.startswith(("opentelemetry", "meshproxy.http.tracing"))]
        with mock.patch.dict(sys.modules):
            for name in removed:
                del sys.modules[name]
            self.received(Wire())
            self.assertNotIn("opentelemetry", sys.modules)


class SpanTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tracer = RecordingTracer()
        self.patch(tracing, "_tracer", self.tracer)

    def wire(self, routes: Sequence[Any] = (route(name="main"),), count: int = 1) -> Wire:
        return Wire(snapshot(cluster(count), routes=routes, tracing=True))

    @property
    def span(self) -> RecordedSpan:
        (span,) = self.tracer.spans
        return span

    def test_served(self) -> None:
        """A span continues the client's trace, lasts as long as the exchange, and tells of it; never of the query."""
        wire = self.wire()
        client, endpoint = wire.pair(get({"traceparent": PARENT}))
        self.assertIsNone(self.span.end_time)
        endpoint.send(OK)
        span = self.span
        self.assertEqual((span.name, span.kind, span.parent.span_id), ("GET", SpanKind.SERVER, 0xB7AD6B7169203331))
        (exchange,) = wire.log.exchanges
        self.assertEqual(span.start_time, int(exchange.started_at * 1e9))
        self.assertGreaterEqual(span.end_time or 0, span.start_time or 0)
        self.assertEqual(
            span.attributes,
            {
                "client.address": "198.51.100.1",
                "guid:x-request-id": exchange.request_id.decode(),
                "http.request.body.size": 0,
                "http.request.method": "GET",
                "http.response.body.size": 2,
                "http.response.status_code": 200,
                "network.peer.address": "198.51.100.1",
                "network.protocol.version": "1.1",
                "response_flags": "-",
                "route_name": "main",
                "server.address": "shop.test",
                "server.port": 80,
                "upstream_address": "192.0.2.1:8080",
                "upstream_cluster": CLUSTER,
                "url.path": "/p",
                "url.scheme": "http",
                "user_agent.original": "probe",
            },
        )
        self.assertIsNone(span.status)
        self.assertEqual(client.responses()[0].status, 200)

    def test_context(self) -> None:
        """The endpoint gets the context of the span in place of the client's, at each try; all else stays."""
        wire = self.wire([route(retries=RetryPolicy())], count=2)
        wire.client().send(get({"Traceparent": PARENT, "b3": "x", "cookie": "a=b"}))
        wire.refuse()
        wire.reactor.advance(0.025)
        lines = head_lines(wire.accept().take())
        self.assertEqual([line for line in lines if b"traceparent" in line], [b"traceparent: " + OWN.encode()])
        for line in (
            b"b3: x",
            b"cookie: a=b",
            b"user-agent: probe",
            b"host: shop.test:80",
            b"x-envoy-attempt-count: 2",
        ):
            self.assertIn(line, lines)
        self.assertEqual(len(self.tracer.spans), 1)

    def test_new_trace(self) -> None:
        """A request without a context begins a trace, of which the access log knows."""
        wire = self.wire([answer(DirectResponse(200))])
        wire.client().send(get({}))
        self.assertFalse(self.span.parent.is_valid)
        self.assertEqual(wire.log.exchanges[0].trace_id, f"{TRACE:032x}".encode())

    def test_errors(self) -> None:
        """What fails at the gateway or behind it is an error; what a client does wrong is not."""

        def cut(wire: Wire) -> None:
            wire.client().send(get({}))
            endpoint = wire.accept()
            endpoint.send(OK[:-1])
            endpoint.close()

        def left(wire: Wire) -> None:
            client = wire.client()
            client.send(get({}))
            client.close()

        error = StatusCode.ERROR
        cut_off = "upstream_reset_after_response_started{connection_termination}"
        for routes, end, expected in (
            ([], lambda wire: wire.client().send(get({})), (404, None, None)),
            ([], lambda wire: wire.client().send(b"nonsense\r\n\r\n"), (400, None, None)),
            ([route(to="no")], lambda wire: wire.client().send(get({})), (503, "503", error)),
            ([route()], cut, (200, cut_off, error)),
            ([route()], left, (None, "downstream_remote_disconnect", error)),
        ):
            self.tracer.spans.clear()
            end(self.wire(routes))
            found = self.span.attributes
            self.assertEqual(
                (found.get("http.response.status_code"), found.get("error.type"), self.span.status), expected
            )

    def test_not_sampled(self) -> None:
        """A span that is not recorded costs no attributes; its context is passed on, so that nobody else samples."""
        unsampled = NonRecordingSpan(SpanContext(TRACE, 0xAA, False, TraceFlags(0)))
        self.patch(tracing, "_tracer", mock.Mock(start_span=lambda *arguments, **named: unsampled))
        _, endpoint = self.pair_of(self.wire())
        endpoint.send(OK)

    def pair_of(self, wire: Wire) -> tuple[Any, Any]:
        client = wire.client()
        client.send(get({"traceparent": PARENT}))
        endpoint = wire.accept()
        self.assertIn(b"traceparent: " + OWN[:-1].encode() + b"0", head_lines(endpoint.take()))
        return client, endpoint


class SettingTests(SynchronousTestCase):
    def loaded(self) -> Snapshot:
        mesh = "apiVersion: meshproxy.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {enableTracing: true}\n"
        files = (Source("mesh.yaml", mesh), Source("rest", GATEWAY + SERVICE + ROUTE))
        return load(Sources(files, ""), bundled(), ProxyIdentity())

    def test_setting(self) -> None:
        """``enableTracing`` of a Mesh document asks for traces."""
        self.assertTrue(self.loaded().mesh.tracing)

    def test_not_installed(self) -> None:
        """Without the package that is an error that says what to install."""
        with (
            mock.patch.dict(sys.modules, {"opentelemetry": None, "opentelemetry.trace": None}),
            self.assertRaises(ConfigError) as caught,
        ):
            self.loaded()
        self.assertIn("mesh.yaml:4:23: spec.enableTracing needs", str(caught.exception))
        self.assertIn("pip install 'meshproxy[tracing]'", str(caught.exception))
