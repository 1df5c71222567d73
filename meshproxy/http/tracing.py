"""Traces: a server span for each exchange, by OpenTelemetry's API.

Imported only where the configuration asks for traces, since the API is an optional package. What becomes of spans is
the business of OpenTelemetry's SDK. Where none is set up there are no spans, and the trace context of a request goes on
to the endpoint as it came, as it does without this module.

Source of names: OpenTelemetry's semantic conventions for HTTP servers, and the tags of Envoy's spans for what they do
not have. The query is left out, for it may have secrets.
"""

from __future__ import annotations

import time

from opentelemetry import propagate, trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from meshproxy.http.exchange import Exchange
from meshproxy.http.requestfields import SHAPES

_tracer = trace.get_tracer("meshproxy")


class _RequestHeaders(Getter[Exchange]):
    def get(self, carrier: Exchange, key: str) -> list[str] | None:
        values = carrier.header_values(key.lower().encode("latin-1"))
        return [value.decode("latin-1") for value in values] or None

    def keys(self, carrier: Exchange) -> list[str]:
        return [name.decode("latin-1") for name in carrier.shape.names]


_REQUEST_HEADERS = _RequestHeaders()


class TracedExchange(Exchange):
    """An exchange with a span, from the first byte of the request to the end."""

    __slots__ = ()

    span: Span | None = None

    def start(self) -> None:
        """Begin the span, and put its context among the fields of the request."""
        context = propagate.extract(self, getter=_REQUEST_HEADERS)
        name = self.method.decode("ascii") or "HTTP"
        started = int(self.started_at * 1e9)
        self.span = span = _tracer.start_span(name, context, SpanKind.SERVER, start_time=started)
        found = span.get_span_context()
        if found.is_valid:
            self.trace_id = trace.format_trace_id(found.trace_id).encode("ascii")
            if found.span_id != trace.get_current_span(context).get_span_context().span_id:
                self._carry_on(span)
        super().start()

    def _carry_on(self, span: Span) -> None:
        context: dict[str, str] = {}
        propagate.inject(context, trace.set_span_in_context(span))
        added = {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in context.items()}
        fields = [field for field in zip(self.shape.names, self.values, strict=True) if field[0] not in added]
        self._pass_on(*SHAPES.fields([*fields, *added.items()]))

    def _account(self) -> None:
        super()._account()
        span = self.span
        if span is not None:
            if span.is_recording():
                self._describe(span)
            span.end(int(time.time() * 1e9))

    def _describe(self, span: Span) -> None:
        host, port = _split(self.authority)
        texts = {
            "client.address": self.source_ip,
            "guid:x-request-id": self.request_id,
            "http.request.method": self.method,
            "network.peer.address": self.connection.source_ip,
            "network.protocol.version": self.protocol.partition(b"/")[2],
            "response_flags": self.flags or b"-",
            "route_name": self.route_name,
            "server.address": host,
            "upstream_address": self.upstream_host,
            "upstream_cluster": self.upstream_cluster,
            "url.path": (self.original_path or self.path).partition(b"?")[0],
            "url.scheme": self.scheme,
            "user_agent.original": self.user_agent,
        }
        span.set_attributes({name: value.decode("utf-8", "backslashreplace") for name, value in texts.items() if value})
        span.set_attributes(
            {"http.request.body.size": self.bytes_received, "http.response.body.size": self.bytes_sent},
        )
        if port:
            span.set_attribute("server.port", port)
        status = self.status
        if status:
            span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._fail(span, str(status))
        elif self.flags and self.details != b"via_upstream" and (not status or self.upstream_host):
            self._fail(span, self.details.decode("ascii"))  # it broke off

    def _fail(self, span: Span, kind: str) -> None:
        span.set_attribute("error.type", kind)
        span.set_status(Status(StatusCode.ERROR))


def _split(authority: bytes) -> tuple[bytes, int]:
    """Host and port of a ``Host`` header; 0 for none."""
    host, colon, port = authority.rpartition(b":")
    return (host.strip(b"[]"), int(port)) if colon and port.isdigit() else (authority.strip(b"[]"), 0)


def is_recorded() -> bool:
    """Whether an SDK is set up to record spans."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider)
