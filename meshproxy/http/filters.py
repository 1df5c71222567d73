"""What happens to a request before it is forwarded: faults that are put in on purpose, and CORS.

Rules (Istio's gateway; observed on Envoy 1.40): faults come first, so an abort hits preflights too and has no CORS
headers. A preflight is an OPTIONS request with an ``Origin`` and an ``access-control-request-method``; it is answered
here if the origin may read answers, whatever it asks for. A condition that the origin ``*`` would meet admits every
origin, be it a regular expression such as ``.?``. Everything here is pure; random bits are an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meshproxy.http.headeroperations import Field
from meshproxy.regex import full_match
from meshproxy.routes import ALWAYS, Comparison, CorsPolicy, Fault, TextMatch

_ALLOW_ORIGIN = b"access-control-allow-origin"
_ALLOW_CREDENTIALS = b"access-control-allow-credentials"
_ALLOW_METHODS = b"access-control-allow-methods"
_ALLOW_HEADERS = b"access-control-allow-headers"
_MAX_AGE = b"access-control-max-age"
_EXPOSE_HEADERS = b"access-control-expose-headers"
_ASKED_METHOD = b"access-control-request-method"
_ASKED_HEADERS = b"access-control-request-headers"
_ANYTHING = b"*"

HeaderValues = Callable[[bytes], Sequence[bytes]]


ABORTED = b"fault filter abort"
"""The body of an aborted request's answer."""


def abort_status(fault: Fault) -> int | None:
    """The status with which a fault aborts; None if it aborts nothing."""
    # A gRPC status means nothing to who does not speak gRPC.
    return fault.abort_status if fault.abort_grpc_status is None else 200


def drawn(share: int, getrandbits: Callable[[int], int]) -> bool:
    """Whether something that happens to ``share`` parts of a million happens now."""
    if share <= 0:
        return False
    return share >= ALWAYS or getrandbits(64) % ALWAYS < share


class Cors:
    """A CORS policy, ready for requests."""

    __slots__ = ("_admits", "_age", "_credentials", "_expose", "_headers", "_methods", "forward_unmatched")

    def __init__(self, policy: CorsPolicy) -> None:
        self._admits = [_origin_test(origin) for origin in policy.origins]
        if any(admits(_ANYTHING) for admits in self._admits):
            self._admits = [lambda origin: True]
        self._methods = _joined(policy.methods)
        self._headers = _joined(policy.headers)
        self._expose = _joined(policy.expose)
        self._age = None if policy.max_age is None else b"%d" % policy.max_age
        self._credentials = policy.credentials
        self.forward_unmatched = policy.forward_unmatched

    def admits(self, origin: bytes) -> bool:
        """Whether scripts of an origin may read answers."""
        return any(admits(origin) for admits in self._admits)

    def preflight(self, origin: bytes, header_values: HeaderValues) -> list[Field]:
        """The fields of the answer to a preflight; only with the origin, if that is admitted, they allow anything."""
        admitted = self.admits(origin)
        fields = [(_ALLOW_ORIGIN, origin)] if admitted else []
        if self._credentials:
            fields.append((_ALLOW_CREDENTIALS, b"true"))
        for name, configured, asked in (
            (_ALLOW_METHODS, self._methods, _ASKED_METHOD),
            (_ALLOW_HEADERS, self._headers, _ASKED_HEADERS),
        ):
            value = configured
            if configured == _ANYTHING:
                value = _first(header_values(asked)) or configured
            if value:
                fields.append((name, value))
        if self._age is not None:
            fields.append((_MAX_AGE, self._age))
        if admitted and self._expose:
            fields.append((_EXPOSE_HEADERS, self._expose))
        return fields

    def actual(self, origin: bytes) -> list[Field]:
        """The fields that a response to an origin that is admitted has, instead of the endpoint's."""
        fields = [(_ALLOW_ORIGIN, origin)]
        if self._credentials:
            fields.append((_ALLOW_CREDENTIALS, b"true"))
        if self._expose:
            fields.append((_EXPOSE_HEADERS, self._expose))
        return fields


def origin_of(header_values: HeaderValues) -> bytes:
    """The ``Origin`` of a request; empty where there is none."""
    return _first(header_values(b"origin"))


def is_preflight(method: bytes, header_values: HeaderValues) -> bool:
    """Whether a request with an origin asks what another one might do."""
    return method == b"OPTIONS" and bool(_first(header_values(_ASKED_METHOD)))


def _first(values: Sequence[bytes]) -> bytes:
    return values[0] if values else b""


def _joined(values: Sequence[str] | None) -> bytes:
    return b"" if values is None else ",".join(values).encode("utf-8")


def _origin_test(origin: TextMatch) -> Callable[[bytes], object]:
    value = origin.value.encode("utf-8")
    if origin.comparison is Comparison.REGEX:
        return full_match(origin.value)
    if origin.comparison is Comparison.PREFIX:
        return lambda text: text.startswith(value)
    if origin.comparison is Comparison.PRESENT:
        return lambda text: True
    return value.__eq__
