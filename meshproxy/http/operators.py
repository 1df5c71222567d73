"""The values of operators, as expressions on an exchange.

An expression is Python source in which ``e`` is the exchange. It is bytes, empty where there is no value, or a whole
number, or None where there is none. Sources of expressions are put together to one function for a whole line, which is
twice as fast as a function for each value. No text of the configuration gets into a source: arguments are constants
that the source names.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, Protocol

from meshproxy.http.statuses import StampCache
from meshproxy.operators import Operator


class Kind(Enum):
    """What an expression comes to."""

    TEXT = "bytes"
    NUMBER = "int"
    MAYBE_NUMBER = "int or None"


class Described(Protocol):
    """What operators can tell of an exchange. What is not known yet is empty or 0."""

    authority: bytes
    started_at: float
    done: bool
    status: int
    flags: bytes
    details: bytes
    route_name: bytes
    transport_failure: bytes
    bytes_received: int
    bytes_sent: int
    protocol: bytes
    source_ip: bytes
    upstream_host: bytes
    upstream_local: bytes
    upstream_cluster: bytes

    @property
    def remote(self) -> bytes:
        """The peer's address with port."""

    @property
    def local(self) -> bytes:
        """Our address with port."""

    @property
    def logged_remote(self) -> bytes:
        """The client's address with port, as far as it is trusted."""

    @property
    def duration_ms(self) -> int:
        """From the first byte received to the last byte sent, once it is done."""

    def header_values(self, name: bytes) -> Sequence[bytes]:
        """The values of a request header or pseudo header."""


class WithResponse(Protocol):
    """An exchange that has kept the header fields of its response."""

    response_fields: Sequence[tuple[bytes, bytes]]


_NUMBERS = {
    "BYTES_RECEIVED": "e.bytes_received",
    "BYTES_SENT": "e.bytes_sent",
    "RESPONSE_CODE": "e.status",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": "(e.attempt + 1 if e.upstream_cluster else 0)",
}
_MAYBE_NUMBERS = {
    "DURATION": "(e.duration_ms if e.done else None)",
    "REQUEST_DURATION": "e.request_ms",
    "RESPONSE_DURATION": "(None if e.service_ms is None else e.request_ms + e.service_ms)",
    "RESPONSE_TX_DURATION": "(None if e.service_ms is None else max(0, e.duration_ms - e.request_ms - e.service_ms))",
}
_TEXTS = {
    "ACCESS_LOG_TYPE": 'b"DownstreamEnd"',
    "CONNECTION_TERMINATION_DETAILS": 'b""',
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": "e.remote",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": "without_port(e.remote)",
    "DOWNSTREAM_LOCAL_ADDRESS": "e.local",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": "without_port(e.local)",
    "DOWNSTREAM_LOCAL_PORT": "port(e.local)",
    "DOWNSTREAM_REMOTE_ADDRESS": "e.logged_remote",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": "e.source_ip",
    "DOWNSTREAM_REMOTE_PORT": "port(e.logged_remote)",
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON": 'b""',
    "HOSTNAME": "hostname()",
    "PROTOCOL": "e.protocol",
    "REQUESTED_SERVER_NAME": 'b""',
    "RESPONSE_CODE_DETAILS": "e.details",
    "RESPONSE_FLAGS": '(e.flags or b"-")',
    "RESPONSE_FLAGS_LONG": '(long_flags(e.flags) or b"-")',
    "ROUTE_NAME": "e.route_name",
    "STREAM_ID": "e.request_id",
    "TRACE_ID": "e.trace_id",
    "UPSTREAM_CLUSTER": "e.upstream_cluster",
    "UPSTREAM_CLUSTER_RAW": "e.upstream_cluster",
    "UPSTREAM_HOST": "e.upstream_host",
    "UPSTREAM_HOST_NAME": "e.upstream_host",
    "UPSTREAM_LOCAL_ADDRESS": "e.upstream_local",
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": "without_port(e.upstream_local)",
    "UPSTREAM_PROTOCOL": '(e.upstream_local and b"HTTP/1.1")',
    "UPSTREAM_REMOTE_ADDRESS": "e.upstream_host",
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": "without_port(e.upstream_host)",
    "UPSTREAM_REMOTE_PORT": "port(e.upstream_host)",
    "UPSTREAM_TRANSPORT_FAILURE_REASON": "e.transport_failure",
}
_EXPRESSIONS = {
    **{name: (Kind.TEXT, source) for name, source in _TEXTS.items()},
    **{name: (Kind.NUMBER, source) for name, source in _NUMBERS.items()},
    **{name: (Kind.MAYBE_NUMBER, source) for name, source in _MAYBE_NUMBERS.items()},
}

# Request headers that an exchange has at hand.
_AT_HAND = {
    b":authority": "e.authority",
    b":method": "e.method",
    b":path": "e.path",
    b":scheme": "e.scheme",
    b"host": "e.authority",
    b"user-agent": "e.user_agent",
    b"x-envoy-original-path": "e.original_path",
    b"x-forwarded-for": "e.forwarded_for",
    b"x-request-id": "e.request_id",
}
_RESPONSE_AT_HAND = {
    b"server": '(b"istio-envoy" if e.status else b"")',
    b":status": '(b"%d" % e.status)',
    b"x-envoy-upstream-service-time": '(b"" if e.service_ms is None else b"%d" % e.service_ms)',
}

# Source: Envoy's long names of response flags.
_LONG_FLAGS = {
    b"DC": b"DownstreamConnectionTermination",
    b"DI": b"DelayInjected",
    b"DPE": b"DownstreamProtocolError",
    b"DT": b"DurationTimeout",
    b"FI": b"FaultInjected",
    b"LH": b"FailedLocalHealthCheck",
    b"LR": b"LocalReset",
    b"NC": b"NoClusterFound",
    b"NR": b"NoRouteFound",
    b"OM": b"OverloadManagerTerminated",
    b"RL": b"RateLimited",
    b"SI": b"StreamIdleTimeout",
    b"UAEX": b"UnauthorizedExternalService",
    b"UC": b"UpstreamConnectionTermination",
    b"UF": b"UpstreamConnectionFailure",
    b"UH": b"NoHealthyUpstream",
    b"UO": b"UpstreamOverflow",
    b"UPE": b"UpstreamProtocolError",
    b"UR": b"UpstreamRemoteReset",
    b"URX": b"UpstreamRetryLimitExceeded",
    b"UT": b"UpstreamRequestTimeout",
}

_FRACTION = re.compile(r"%([1-9]?)f")


class Expressions:
    """Makes expressions and collects the constants that they name."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {
            "first": first,
            "first_of_response": first_of_response,
            "hostname": hostname,
            "long_flags": long_flags,
            "port": port,
            "without_port": without_port,
        }
        self.reads_response = False

    def constant(self, value: object) -> str:
        """The name of a constant."""
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def of(self, operator: Operator) -> tuple[Kind, str]:
        """The expression for an operator; that of an unknown one is empty."""
        name, arguments, length = operator
        if name in ("REQ", "REQ_WITHOUT_QUERY"):
            source = self._header(arguments or "", "first", _AT_HAND)
            if name == "REQ_WITHOUT_QUERY":
                source = f'{source}.partition(b"?")[0]'
        elif name == "RESP":
            source = self._header(arguments or "", "first_of_response", _RESPONSE_AT_HAND)
        elif name == "START_TIME":
            source = f"{self.constant(stamps(arguments))}(e.started_at)"
        elif name == "EMIT_TIME":
            source = f"{self.constant(stamps(arguments))}({self.constant(time.time)}())"
        elif name == "ENVIRONMENT":
            source = self.constant(os.environ.get(arguments or "", "").encode("utf-8", "surrogateescape"))
        else:
            kind, source = _EXPRESSIONS.get(name, (Kind.TEXT, 'b""'))
            if kind is not Kind.TEXT:
                return kind, source
        return Kind.TEXT, source if length is None else f"{source}[:{length}]"

    def function(self, source: str) -> Callable[[Any], Any]:
        """The function of an exchange that a source is the body of."""
        made: Callable[[Any], Any] = eval(f"lambda e: {source}", self.names)
        return made

    def _header(self, arguments: str, look_up: str, at_hand: Mapping[bytes, str]) -> str:
        names = header_names(arguments)
        sources = [at_hand.get(name) for name in names]
        if any(source is None for source in sources):
            self.reads_response = self.reads_response or look_up == "first_of_response"
            if sources[0] is None and sources[-1] is None:
                return f"{look_up}(e, {self.constant(names)})"
        each = [
            source or f"{look_up}(e, {self.constant((name,))})" for name, source in zip(names, sources, strict=True)
        ]
        return each[0] if len(each) == 1 else f"({each[0]} or {each[1]})"


def header_names(arguments: str) -> tuple[bytes, ...]:
    """The names of ``A?B`` in lower case."""
    return tuple(name.strip().lower().encode("utf-8") for name in arguments.split("?")[:2])


def value_of(operator: Operator) -> Callable[[Described], bytes]:
    """The function of an exchange for one operator; a number in decimal digits, nothing as empty."""
    expressions = Expressions()
    kind, source = expressions.of(operator)
    if kind is Kind.TEXT:
        return expressions.function(source)
    return expressions.function(f'b"" if (v := {source}) is None else b"%d" % v')


def first(exchange: Described, names: Sequence[bytes]) -> bytes:
    """The first value of the first of these request headers that is there."""
    for name in names:
        values = exchange.header_values(name)
        if values:
            return values[0]
    return b""


def first_of_response(exchange: WithResponse, names: Sequence[bytes]) -> bytes:
    """The first value of the first of these response headers that is there."""
    for name in names:
        for field, value in exchange.response_fields:
            if field == name:
                return value
    return b""


def stamps(pattern: str | None) -> Callable[[float], bytes]:
    """From a Unix time to a text; ``pattern`` as ``strftime`` has it, with ``%s``, ``%f`` and ``%1f`` to ``%9f``."""
    return StampCache().at if pattern is None else _PatternStamps(pattern).at


class _PatternStamps:
    """Times by a pattern. Everything but fractions is formatted once for each second."""

    def __init__(self, pattern: str) -> None:
        pieces = _FRACTION.split(pattern)
        self._texts, self._digits = pieces[::2], [int(digits or 9) for digits in pieces[1::2]]
        self._second: int | None = None
        self._formatted: list[str] = []

    def at(self, seconds: float) -> bytes:
        second = int(seconds)
        if second != self._second:
            self._second, broken = second, time.gmtime(second)
            self._formatted = [time.strftime(text.replace("%s", str(second)), broken) for text in self._texts]
        text = self._formatted[0]
        if self._digits:
            fraction = f"{int((seconds - second) * 1e9):09d}"
            for digits, following in zip(self._digits, self._formatted[1:], strict=True):
                text += fraction[:digits] + following
        return text.encode("utf-8", "replace")


@cache
def hostname() -> bytes:
    """The name of this machine."""
    return socket.gethostname().encode("utf-8", "replace")


@cache
def long_flags(flags: bytes) -> bytes:
    """Response flags by their long names."""
    return b",".join(_LONG_FLAGS.get(flag, flag) for flag in flags.split(b",")) if flags else b""


def without_port(address: bytes) -> bytes:
    """The IP of ``ip:port`` or ``[ip]:port``."""
    host, colon, _ = address.rpartition(b":")
    return host.strip(b"[]") if colon else address


def port(address: bytes) -> bytes:
    """The port of ``ip:port``."""
    return address.rpartition(b":")[2]
