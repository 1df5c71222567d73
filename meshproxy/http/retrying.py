"""Which failures are followed by another try, and when: a retry policy, ready for requests. Pure.

Rules (Istio's gateway, Envoy's ``retry_state_impl.cc``): a response counts by its status, its ``grpc-status`` and
``x-envoy-ratelimited``, which alone decides where it is there. No response at all counts as a 5xx and as a gateway
error. Words that only concern other protocols are known and never apply.
"""

from __future__ import annotations

from enum import Enum, auto

from meshproxy.routes import RetryPolicy

NEVER = 1000
"""No status reaches this."""

LARGE_BODY = 1024 * 1024
SMALL_BODY = 64 * 1024
_LONGEST_BACKOFF = 10

_GRPC_STATUSES = {
    "cancelled": b"1",
    "deadline-exceeded": b"4",
    "resource-exhausted": b"8",
    "internal": b"13",
    "unavailable": b"14",
}
_STATUSES = {"5xx": range(500, 600), "gateway-error": (502, 503, 504), "retriable-4xx": (409,)}
_ANY_RESET = frozenset({"5xx", "gateway-error", "reset"})
_BEFORE_REQUEST = frozenset({"connect-failure", "reset-before-request"})


class Cause(Enum):
    """Why there is no response."""

    CONNECT = auto()
    """No connection could be made."""
    LOST = auto()
    """The connection ended."""
    PROTOCOL = auto()
    """What came is not HTTP."""
    TRY_TIMEOUT = auto()
    """It took longer than a try may."""


class Retrying:
    """See the head of this module. ``attempts`` is the number of further tries.

    No response with a status below ``from_status`` is retried for its status. ``most_kept``: how many bytes of a
    request's body are worth keeping for another try; a body that is larger is sent once.
    """

    __slots__ = (
        "_backoff_ms",
        "_causes",
        "_grpc_statuses",
        "_rate_limited",
        "_statuses",
        "attempts",
        "avoid_previous_hosts",
        "from_status",
        "most_kept",
    )

    def __init__(self, policy: RetryPolicy) -> None:
        words = policy.conditions
        self.attempts = policy.attempts
        self.avoid_previous_hosts = policy.avoid_previous_hosts
        self._backoff_ms = max(1, round(policy.backoff * 1000))
        if words & _ANY_RESET:
            self._causes = frozenset(Cause)
        else:
            self._causes = frozenset({Cause.CONNECT} if words & _BEFORE_REQUEST else ())
        self._statuses = policy.statuses.union(*[_STATUSES[word] for word in words if word in _STATUSES])
        self._grpc_statuses = frozenset(_GRPC_STATUSES[word] for word in words if word in _GRPC_STATUSES)
        self._rate_limited = "envoy-ratelimited" in words
        self.from_status = min(self._statuses, default=NEVER)
        # gRPC over HTTP/1 is rare: for its sake alone, no large body is kept.
        after_sending = self._statuses or self._rate_limited or words & _ANY_RESET
        self.most_kept = LARGE_BODY if after_sending else SMALL_BODY

    def on_failure(self, cause: Cause) -> bool:
        """Whether a try without response is followed by another one."""
        return cause in self._causes

    def on_response(self, status: int, grpc_status: bytes | None, rate_limited: bool) -> bool:
        """Whether a response is thrown away for another try."""
        if rate_limited:
            return self._rate_limited
        return status in self._statuses or grpc_status in self._grpc_statuses

    def backoff(self, retry: int, random32: int) -> float:
        """How many seconds to wait before a retry, the first being 1, for an unsigned 32-bit random number."""
        longest = self._backoff_ms * min(1 << min(retry - 1, 4), _LONGEST_BACKOFF)
        return random32 % longest / 1000
