"""Further tries of a request, by the retry policy of its route and as far as the circuit breakers leave room for them.

A retry is under way, to the circuit breakers, from the decision for it until its response begins, the decision about
another one, or the end of the request (Envoy's ``retry_state_impl.cc``). Where there is no room for one, what the last
try brought goes to the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshproxy.http.request import Request
from meshproxy.http.retrying import Cause, Retrying
from meshproxy.model import Endpoint

if TYPE_CHECKING:
    from meshproxy.http.plans import Plan
    from meshproxy.upstream.breakers import CircuitBreakers
    from meshproxy.upstream.hosts import ClusterState


class RetriedRequest(Request):
    """See the head of this module. ``_tried`` are the endpoints of earlier tries."""

    __slots__ = ()

    plan: Plan
    cluster_state: ClusterState
    _tried: list[Endpoint] | None = None
    _retried_in: CircuitBreakers | None = None
    _timer: Any = None
    _watched = False  # somebody waits for its end, or for its request to be complete

    def _try(self) -> None:
        """Choose an endpoint and send the request there."""
        raise NotImplementedError

    def try_timed_out(self) -> None:
        """A try's time is over."""
        raise NotImplementedError

    def _expect_less(self) -> None:
        """Tell the endpoint of another try how much of the route's time is left for it."""
        raise NotImplementedError

    def begin_response(self) -> None:
        """A response is passed on, so the request is not sent again."""
        self.forget_body()
        self._end_retry()

    def wants_retry(self, status: int, grpc_status: bytes | None, rate_limited: bool) -> bool:
        """Whether a response is to be thrown away for another try; then ``try_again`` has to follow."""
        retrying = self.plan.retrying
        return (
            retrying is not None
            and retrying.on_response(status, grpc_status, rate_limited)
            and self._has_tries_left(retrying)
        )

    def try_again(self) -> None:
        """Try once more after a while; the connection of the last try is gone."""
        retrying = self.plan.retrying
        assert retrying is not None
        self.upstream = None
        self.attempt += 1
        self.gateway.counters.upstream_retries_total += 1
        if self.plan.per_try is not None:
            self.plan.per_try.disarm(self)
        if self._tried is None:
            self._tried = []
        if self.endpoint is not None:
            self._tried.append(self.endpoint)
        # The end of this retry is to be told to the circuit breakers.
        self.special = self._watched = True
        delay = retrying.backoff(self.attempt, self.gateway.getrandbits(32))
        self._timer = self.gateway.reactor.callLater(delay, self._backed_off)

    def _backed_off(self) -> None:
        self._timer = None
        self._count_attempt()
        self._expect_less()
        self._try()

    def _tried_again(self, cause: Cause) -> bool:
        """Whether another try follows a failed one."""
        retrying = self.plan.retrying
        if retrying is None or not retrying.on_failure(cause) or not self._has_tries_left(retrying):
            return False
        self.try_again()
        return True

    def _has_tries_left(self, retrying: Retrying) -> bool:
        """Whether ``try_again`` may follow, which has to follow then."""
        self._end_retry()
        if self.attempt >= retrying.attempts:
            self._flag(b"URX")
            return False
        if not self._repeatable:
            return False
        breakers = self.cluster_state.breakers
        if not breakers.begin_retry():
            self._flag(b"UO")
            return False
        self._retried_in = breakers
        return True

    def _end_retry(self) -> None:
        breakers, self._retried_in = self._retried_in, None
        if breakers is not None:
            breakers.end_retry()

    def _flag(self, flag: bytes) -> None:
        """One more of the access log's flags, in the order in which they come about."""
        if flag:
            self.flags = b"%b,%b" % (self.flags, flag) if self.flags else flag
