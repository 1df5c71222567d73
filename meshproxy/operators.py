"""Operators: ``%NAME%``, ``%NAME(arguments)%`` and ``%NAME(arguments):LENGTH%`` in header values and log formats.

Source: Envoy's substitution formatter, and Istio's check of header values, which follows its parser. ``%%`` is a
percent sign. Which names there are is not part of the grammar. Each text is read once from left to right, so a long
one costs no more than its length.
"""

from __future__ import annotations

import re
from typing import NamedTuple

IN_HEADERS = frozenset(
    {
        "BYTES_RECEIVED",
        "BYTES_SENT",
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
        "DOWNSTREAM_LOCAL_ADDRESS",
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        "DOWNSTREAM_LOCAL_PORT",
        "DOWNSTREAM_REMOTE_ADDRESS",
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        "DOWNSTREAM_REMOTE_PORT",
        "DURATION",
        "EMIT_TIME",
        "ENVIRONMENT",
        "HOSTNAME",
        "PROTOCOL",
        "REQ",
        "REQUESTED_SERVER_NAME",
        "RESP",
        "RESPONSE_CODE",
        "RESPONSE_CODE_DETAILS",
        "RESPONSE_FLAGS",
        "RESPONSE_FLAGS_LONG",
        "ROUTE_NAME",
        "START_TIME",
        "STREAM_ID",
        "TRACE_ID",
        "UPSTREAM_CLUSTER",
        "UPSTREAM_CLUSTER_RAW",
        "UPSTREAM_HOST",
        "UPSTREAM_HOST_NAME",
        "UPSTREAM_LOCAL_ADDRESS",
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        "UPSTREAM_PROTOCOL",
        "UPSTREAM_REMOTE_ADDRESS",
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        "UPSTREAM_REMOTE_PORT",
        "UPSTREAM_REQUEST_ATTEMPT_COUNT",
        "UPSTREAM_TRANSPORT_FAILURE_REASON",
    }
)
"""What is filled in in header values; all else comes out empty there."""

IN_LOGS = IN_HEADERS | {
    "ACCESS_LOG_TYPE",
    "CONNECTION_TERMINATION_DETAILS",
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
    "REQUEST_DURATION",
    "REQ_WITHOUT_QUERY",
    "RESPONSE_DURATION",
    "RESPONSE_TX_DURATION",
}
"""What is filled in in an access log."""

NEVER_KNOWN = frozenset(
    {
        "BYTES_RETRANSMITTED",
        "CEL",
        "CLUSTER_METADATA",
        "COMMON_DURATION",
        "CONNECTION_ID",
        "DOWNSTREAM_DETECTED_CLOSE_TYPE",
        "DOWNSTREAM_HANDSHAKE_DURATION",
        "DOWNSTREAM_HEADER_BYTES_RECEIVED",
        "DOWNSTREAM_HEADER_BYTES_SENT",
        "DOWNSTREAM_LOCAL_CLOSE_REASON",
        "DOWNSTREAM_LOCAL_DNS_SAN",
        "DOWNSTREAM_LOCAL_EMAIL_SAN",
        "DOWNSTREAM_LOCAL_IP_SAN",
        "DOWNSTREAM_LOCAL_SUBJECT",
        "DOWNSTREAM_LOCAL_URI_SAN",
        "DOWNSTREAM_PEER_CERT",
        "DOWNSTREAM_PEER_CERT_V_END",
        "DOWNSTREAM_PEER_CERT_V_START",
        "DOWNSTREAM_PEER_DNS_SAN",
        "DOWNSTREAM_PEER_EMAIL_SAN",
        "DOWNSTREAM_PEER_FINGERPRINT_1",
        "DOWNSTREAM_PEER_FINGERPRINT_256",
        "DOWNSTREAM_PEER_IP_SAN",
        "DOWNSTREAM_PEER_ISSUER",
        "DOWNSTREAM_PEER_SERIAL",
        "DOWNSTREAM_PEER_SUBJECT",
        "DOWNSTREAM_PEER_URI_SAN",
        "DOWNSTREAM_TLS_CIPHER",
        "DOWNSTREAM_TLS_SESSION_ID",
        "DOWNSTREAM_TLS_VERSION",
        "DOWNSTREAM_WIRE_BYTES_RECEIVED",
        "DOWNSTREAM_WIRE_BYTES_SENT",
        "DYNAMIC_METADATA",
        "EMIT_TIME_LOCAL",
        "FILTER_CHAIN_NAME",
        "FILTER_STATE",
        "GRPC_STATUS",
        "GRPC_STATUS_NUMBER",
        "LOCAL_REPLY_BODY",
        "METADATA",
        "PACKETS_RETRANSMITTED",
        "PATH",
        "QUERY_PARAM",
        "QUERY_PARAMS",
        "REQUEST_HEADERS_BYTES",
        "REQUEST_TX_DURATION",
        "RESPONSE_HEADERS_BYTES",
        "RESPONSE_TRAILERS_BYTES",
        "ROUNDTRIP_DURATION",
        "START_TIME_LOCAL",
        "TLS_JA3_FINGERPRINT",
        "TLS_JA4_FINGERPRINT",
        "TRAILER",
        "UNIQUE_ID",
        "UPSTREAM_CONNECTION_ID",
        "UPSTREAM_CONNECTION_POOL_READY_DURATION",
        "UPSTREAM_DETECTED_CLOSE_TYPE",
        "UPSTREAM_FILTER_STATE",
        "UPSTREAM_HEADER_BYTES_RECEIVED",
        "UPSTREAM_HEADER_BYTES_SENT",
        "UPSTREAM_HOST_NAME_WITHOUT_PORT",
        "UPSTREAM_METADATA",
        "UPSTREAM_PEER_CERT",
        "UPSTREAM_PEER_CERT_V_END",
        "UPSTREAM_PEER_CERT_V_START",
        "UPSTREAM_PEER_ISSUER",
        "UPSTREAM_PEER_SUBJECT",
        "UPSTREAM_TLS_CIPHER",
        "UPSTREAM_TLS_SESSION_ID",
        "UPSTREAM_TLS_VERSION",
        "UPSTREAM_WIRE_BYTES_RECEIVED",
        "UPSTREAM_WIRE_BYTES_SENT",
        "VIRTUAL_CLUSTER_NAME",
        "VIRTUAL_HOST_NAME",
    }
)
"""What Envoy has and meshproxy has no value for: it is missing in each line of an access log."""

NEEDS_ARGUMENTS = frozenset({"ENVIRONMENT", "REQ", "REQ_WITHOUT_QUERY", "RESP", "TRAILER"})
"""Nothing without arguments; these may be followed by a length."""

MAY_HAVE_ARGUMENTS = NEEDS_ARGUMENTS | {"EMIT_TIME", "REQUESTED_SERVER_NAME", "START_TIME"}


class Operator(NamedTuple):
    """One operator. ``arguments`` is None where there are no brackets, ``length`` where none is given."""

    name: str
    arguments: str | None = None
    length: int | None = None


_NAME_END = re.compile(r"[%(]")
_BRACKET = re.compile(r" *\[")
_STRING = r'"(?:[^"\\]|\\.)*"'
_ARRAY = re.compile(rf"( *\[ *{_STRING}(?: *, *{_STRING})* *\] *)\)", re.DOTALL)
_TEXT = re.compile(r"((?:[^)\\]|\\.)+)\)", re.DOTALL)
_REST = re.compile(r"(?::([0-9]{1,9}))? *%")


def parse(text: str) -> list[str | Operator]:
    """The literal pieces and operators of a text, in order; ``%%`` has become a percent sign.

    Raises ``ValueError`` with a sentence about what is wrong.
    """
    pieces: list[str | Operator] = []
    literal = ""
    position = 0
    while (at := text.find("%", position)) >= 0:
        literal += text[position:at]
        if text.startswith("%%", at):
            literal += "%"
            position = at + 2
            continue
        operator, position = _operator(text, at + 1)
        if literal:
            pieces.append(literal)
            literal = ""
        pieces.append(operator)
    literal += text[position:]
    return [*pieces, literal] if literal else pieces


def _operator(text: str, start: int) -> tuple[Operator, int]:
    name_end = _NAME_END.search(text, start)
    if name_end is None:
        raise ValueError("has a '%' that begins no %OPERATOR%")
    name = text[start : name_end.start()]
    if name_end[0] == "%":
        return Operator(name), name_end.end()
    is_array = _BRACKET.match(text, name_end.end()) is not None
    arguments = (_ARRAY if is_array else _TEXT).match(text, name_end.end())
    rest = None if arguments is None else _REST.match(text, arguments.end())
    if arguments is None or rest is None:
        raise ValueError(f"has an operator {name[:40]!r} that does not end as %NAME(arguments)%")
    return Operator(name, arguments[1], None if rest[1] is None else int(rest[1])), rest.end()
