"""Facts about header names that both the data path and the strategies go by."""

from __future__ import annotations

# Repeated lines of these request headers are one value, joined by "," without a blank, as soon as they are read.
# Source: observed on Envoy 1.40, which keeps them as single-valued inline headers. Some x-envoy-* names are missing
# here because a gateway never takes them from a client.
JOINED_HEADERS = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"access-control-request-headers",
        b"access-control-request-method",
        b"authentication",
        b"authorization",
        b"cache-control",
        b"cdn-loop",
        b"content-encoding",
        b"content-type",
        b"expect",
        b"grpc-accept-encoding",
        b"grpc-timeout",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"origin",
        b"pragma",
        b"proxy-status",
        b"referer",
        b"user-agent",
        b"via",
        b"x-client-trace-id",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-request-id",
    }
)


def join_lines(before: bytes, value: bytes) -> bytes:
    """One value of two lines of a header in ``JOINED_HEADERS``; an empty line adds nothing, not even a comma.

    Source: ``header_map_impl.cc`` of Envoy.
    """
    return before + b"," + value if before and value else before or value
