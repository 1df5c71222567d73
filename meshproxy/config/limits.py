"""``limits`` of a ``Mesh`` document: fields under the names that Envoy gives them, for what Istio leaves to Envoy."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.limits import Limits, Underscores

_MOST = 2**31 - 1
_TIMES = {"requestHeadersTimeout": "request_headers_timeout", "streamIdleTimeout": "stream_idle_timeout"}
# Field of Limits, least, largest, and what one of it is.
_NUMBERS = {
    "maxConnections": ("max_connections", 0, _MOST, 1),
    "maxRequestsPerConnection": ("max_requests_per_connection", 0, _MOST, 1),
    "maxPipelinedRequests": ("max_pipelined_requests", 1, _MOST, 1),
    "maxHeadersKb": ("max_headers_bytes", 1, 8192, 1024),
    "maxHeadersCount": ("max_headers_count", 1, _MOST, 1),
    "perConnectionBufferLimitBytes": ("buffer", 4096, _MOST, 1),
}
_UNDERSCORES = "headersWithUnderscoresAction"


def seconds(node: Node) -> float:
    """The seconds of a duration; ``0s`` is one, too."""
    return node.duration().total_seconds()


def decode(node: Node, findings: Findings) -> Limits:
    """The limits, with the defaults for those that are absent or wrong."""
    fields = Fields(node, findings, (*_TIMES, *_NUMBERS, _UNDERSCORES))
    found: dict[str, Any] = {}
    for name, attribute in _TIMES.items():
        found[attribute] = fields.read(name, seconds)
    for name, (attribute, least, most, unit) in _NUMBERS.items():
        number = fields.integer(name, least, most)
        found[attribute] = None if number is None else number * unit
    action = fields.read(_UNDERSCORES, lambda value: checks.one_of(value, Underscores.__members__))
    found["underscores"] = None if action is None else Underscores[action]
    return evolve(Limits(), **{attribute: value for attribute, value in found.items() if value is not None})
