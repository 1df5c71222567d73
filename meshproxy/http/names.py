"""What each header name means to the gateway.

Names are in lower case.

Source of the sets: Istio's gateway as observed on Envoy 1.40 (headers removed from clients, hop-by-hop headers, headers
of which repeated lines are one value).
"""

from __future__ import annotations

from enum import IntEnum

from meshproxy.headers import JOINED_HEADERS


class Meaning(IntEnum):
    """What has to be done about a header."""

    PLAIN = 0
    DROP = 1
    CONTENT_LENGTH = 2
    TRANSFER_ENCODING = 3
    CONNECTION = 4
    HOST = 5
    FORWARDED_FOR = 6
    TE = 7
    UPGRADE = 8
    EXPECT = 9
    DATE = 10
    JOINED = 11
    FORWARDED_PROTO = 12
    GRPC_STATUS = 13
    RATE_LIMITED = 14


_FRAMING = {
    b"content-length": Meaning.CONTENT_LENGTH,
    b"transfer-encoding": Meaning.TRANSFER_ENCODING,
    b"connection": Meaning.CONNECTION,
}

_HOP_BY_HOP = (b"keep-alive", b"proxy-connection")

# What is meant for the gateway by somebody who is not trusted is not passed on either.
NOT_FROM_CLIENTS = frozenset(
    {
        b"http2-settings",
        b"x-envoy-attempt-count",
        b"x-envoy-decorator-operation",
        b"x-envoy-downstream-service-cluster",
        b"x-envoy-downstream-service-node",
        b"x-envoy-expected-rq-timeout-ms",
        b"x-envoy-external-address",
        b"x-envoy-force-trace",
        b"x-envoy-hedge-on-per-try-timeout",
        b"x-envoy-internal",
        b"x-envoy-ip-tags",
        b"x-envoy-max-retries",
        b"x-envoy-original-host",
        b"x-envoy-original-path",
        b"x-envoy-original-url",
        b"x-envoy-retriable-header-names",
        b"x-envoy-retriable-status-codes",
        b"x-envoy-retry-grpc-on",
        b"x-envoy-retry-on",
        b"x-envoy-stream-duration-ms",
        b"x-envoy-upstream-alt-stat-name",
        b"x-envoy-upstream-rq-per-try-timeout-ms",
        b"x-envoy-upstream-rq-timeout-alt-response",
        b"x-envoy-upstream-rq-timeout-ms",
        b"x-envoy-upstream-stream-duration-ms",
        b"x-forwarded-client-cert",
        b"x-request-id",
    }
)
"""Headers of requests that only the gateway writes."""

_NOT_FROM_ENDPOINTS = (b"server", b"upgrade", b"x-envoy-decorator-operation", b"x-envoy-upstream-service-time")

REQUEST_MEANINGS: dict[bytes, Meaning] = {
    **dict.fromkeys(JOINED_HEADERS, Meaning.JOINED),
    **_FRAMING,
    **dict.fromkeys(_HOP_BY_HOP, Meaning.DROP),
    **dict.fromkeys(NOT_FROM_CLIENTS, Meaning.DROP),
    b"host": Meaning.HOST,
    b"x-forwarded-for": Meaning.FORWARDED_FOR,
    b"x-forwarded-proto": Meaning.FORWARDED_PROTO,
    b"te": Meaning.TE,
    b"upgrade": Meaning.UPGRADE,
    b"expect": Meaning.EXPECT,
}

RESPONSE_MEANINGS: dict[bytes, Meaning] = {
    **_FRAMING,
    **dict.fromkeys(_HOP_BY_HOP, Meaning.DROP),
    **dict.fromkeys(_NOT_FROM_ENDPOINTS, Meaning.DROP),
    b"date": Meaning.DATE,
    b"grpc-status": Meaning.GRPC_STATUS,
    b"x-envoy-ratelimited": Meaning.RATE_LIMITED,
}
