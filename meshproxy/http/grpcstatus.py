"""What a gRPC status means as a status of HTTP. Source: ``status.cc`` of Envoy, after Google's API design guide."""

from __future__ import annotations

_OTHER = 500
_HTTP = {
    b"0": 200,
    b"1": 499,  # cancelled
    b"3": 400,  # invalid argument
    b"4": 504,  # deadline exceeded
    b"5": 404,  # not found
    b"6": 409,  # already exists
    b"7": 403,  # permission denied
    b"8": 429,  # resource exhausted
    b"9": 400,  # failed precondition
    b"10": 409,  # aborted
    b"11": 400,  # out of range
    b"12": 501,  # unimplemented
    b"14": 503,  # unavailable
    b"16": 401,  # unauthenticated
}


def to_http(grpc_status: bytes) -> int:
    """The status for the value of a ``grpc-status`` header; 500 for one that is unknown or none."""
    return _HTTP.get(grpc_status, _OTHER)
