"""A request on its way to an endpoint: the destination, the tries, and what can go wrong with each.

Further tries follow the route's retry policy (``tries``) and one rule of our own: when the endpoint closes a kept
connection before the first byte of a response, the request goes once more over a fresh one if repeating it is safe,
that is, if the method is idempotent (RFC 9110, 9.2.2) and the whole body is still at hand. A try never follows once the
client has got something of a response.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import strerror
from typing import TYPE_CHECKING

from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshproxy import selection
from meshproxy.failures import PLUGIN_ERRORS
from meshproxy.http import mirroring
from meshproxy.http.bodies import Piece
from meshproxy.http.headeroperations import Field, HeaderChanges
from meshproxy.http.retrying import LARGE_BODY, NEVER, SMALL_BODY, Cause
from meshproxy.http.sessions import SessionRequest, destination_of_session
from meshproxy.model import Cluster
from meshproxy.upstream.recent import LAST_SLOT

if TYPE_CHECKING:
    from meshproxy.http.mirroring import Mirrored
    from meshproxy.http.plans import Choice
    from meshproxy.upstream.hosts import HostState
    from meshproxy.upstream.pool import Pool

_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
_MOST_WAITING = 64 * 1024
_RESET = b"upstream connect error or disconnect/reset before headers. "
_OVERLOADED = ((b"x-envoy-overloaded", b"true"),)

_log = Logger()


class ForwardedRequest(SessionRequest):
    """See the head of this module. Whoever derives from it answers the client."""

    __slots__ = ()

    chunked_response = edited = False
    retry_from = NEVER
    cluster: Cluster
    host: HostState
    _edits: HeaderChanges | None = None
    _cors_fields: Sequence[Field] = ()
    _mirrors: Sequence[Mirrored] = ()
    _replayed = False
    waiting_in: Pool | None = None
    _paused = False

    # What the client gets

    def reply(
        self,
        status: int,
        body: bytes,
        flags: bytes,
        details: bytes,
        fields: Sequence[Field] | None = None,
        more: Sequence[Field] = (),
    ) -> None:
        """Answer without an endpoint."""
        raise NotImplementedError

    def cut(self, details: bytes, flag: bytes) -> None:
        """The response broke off; the client gets to see that."""
        raise NotImplementedError

    def edit_response(self, fields: list[Field]) -> list[Field]:
        """The fields of the endpoint's response as the client gets them."""
        raise NotImplementedError

    def completed(self) -> None:
        """The endpoint's response has been written whole."""
        raise NotImplementedError

    # The way to an endpoint

    def _forward(self) -> None:
        """Choose a destination and begin."""
        plan = self.plan
        destination = None
        if plan.sticky is not None or plan.persistent:
            try:
                destination, self.cookies = destination_of_session(plan, self.gateway.upstreams.clusters, self)
            except Exception:  # noqa: BLE001 - a strategy that fails costs its request and nothing else
                self.gateway.strategy_failed(plan.destinations[0].cluster)
                self.reply(500, b"", b"", b"strategy_error")
                return
        self._forward_to(self._drawn() if destination is None else plan.choices[destination])

    def _drawn(self) -> Choice:
        """A destination by the weights."""
        plan = self.plan
        if plan.only is not None:
            return plan.only
        return plan.choices[selection.choose_destination(plan.destinations, self.gateway.getrandbits(64))]

    def _forward_to(self, choice: Choice) -> None:
        """Begin with a destination."""
        state = self.gateway.upstreams.clusters.get(choice.cluster)
        if state is None:
            self._edits = choice.edits
            self.reply(503, b"", b"NC", b"cluster_not_found")
            return
        self.upstream_cluster = state.log_name
        self.cluster_state = state
        self.cluster = state.cluster
        if not choice.plain:
            self._prepare(choice)
        self._try()

    def _prepare(self, choice: Choice) -> None:
        """Whatever the route asks for beyond forwarding."""
        plan = self.plan
        self.special = True
        if plan.retrying is not None:
            self.retry_from = plan.retrying.from_status
        if plan.expected_timeout:
            self._expect_within(plan.expected_timeout)
            self._watched = True
            if plan.whole is not None and self.request_complete:
                plan.whole.arm(self)
        if choice.changes is not None or choice.rewrite is not None:
            self._change(choice.changes, choice.rewrite)
        if choice.edits is not None or plan.keeps_response:
            self._edits = choice.edits
            self.edited = True

    def _try(self) -> None:
        """Choose an endpoint and send the request there. A retry asks the strategy anew, as Envoy does."""
        state, plan = self.cluster_state, self.plan
        balancer = state.balancer
        try:
            key_hash = sessions = None
            if balancer.uses_hash and plan.hash_policy:
                key_hash, cookies = selection.evaluate(plan.hash_policy, self)
                if cookies:
                    self.cookies = [*self.cookies, *cookies]
                if not self.attempt:
                    if key_hash is None:
                        state.traffic.without_key += 1
                    elif cookies:
                        state.traffic.with_new_session += 1
                if key_hash is None and plan.keyless_status is not None:
                    self.reply(plan.keyless_status, b"", b"", b"no_hash_key")
                    return
                if key_hash is not None:
                    sessions = state.traffic.sessions
            if key_hash is None:
                key_hash = self.gateway.getrandbits(64)
            if self._tried is None and state.plain:
                endpoint = balancer.pick(key_hash, 0)
            else:
                endpoint = self._choose(balancer, key_hash)
            host = None if endpoint is None else state.picked(endpoint)
        except PLUGIN_ERRORS:  # a strategy that fails costs its request and nothing else
            self.gateway.strategy_failed(self.cluster.name)
            self.reply(500, b"", b"", b"strategy_error")
            return
        if host is None:
            self.reply(503, b"no healthy upstream", b"UH", b"no_healthy_upstream")
            return
        self.endpoint = endpoint
        self.host = host
        self.upstream_host = name = host.log_name
        if sessions is not None:
            if self.begun_at >= sessions.until:
                sessions.turn(self.begun_at)
            sessions.slots[key_hash & LAST_SLOT] = sessions.numbers[name]
        if plan.mirrors and not self.attempt and self.upgrade is None:
            self._mirrors = mirroring.copies_of(self)
            self._watched = True
        host.pool.carry(self)

    # The body

    def body_received(self, data: Piece) -> None:
        """A piece of the request's body. It is sent by ``send_body``."""
        self.bytes_received += len(data)
        self._unsent_size += len(data)
        self.unsent.append(data)
        for copy in self._mirrors:
            copy.body_received(data)

    def first_pieces(self) -> Sequence[Piece]:
        """Head and body as far as it is there, for a connection that takes the exchange over."""
        if self._watched and self.request_complete:
            self._arm_try()
        if not self.unsent and self._kept is None:
            return (self.head(),)
        earlier = self._kept or ()
        pieces = [self.head(), *earlier, *self.take_body()]
        if self._paused:
            self._paused = False
            self.connection.resumeProducing()
        return pieces

    def send_body(self) -> None:
        """Pass on what has come of the body, or wait for a connection with no more than a buffer of it."""
        upstream = self.upstream
        if upstream is not None:
            upstream.send_body(self)
        elif self.done:
            self.take_body()
        elif self._unsent_size > min(_MOST_WAITING, self.gateway.limits.buffer) and not self._paused:
            self._paused = True
            self.connection.pauseProducing()

    def _most_kept(self) -> int:
        if self.response_begun or self.done:
            return 0
        retrying = self.plan.retrying
        if retrying is None:
            most = SMALL_BODY if self.method in _IDEMPOTENT else 0
        else:
            most = LARGE_BODY if self.is_grpc else retrying.most_kept
        return min(most, self.gateway.limits.buffer)

    # Time

    def _arm_try(self) -> None:
        """A try is under way from when the whole request is there and a connection for it."""
        per_try = self.plan.per_try
        if per_try is not None:
            per_try.arm(self)

    def _expect_less(self) -> None:
        """Tell the endpoint of another try how much of the route's time is left for it."""
        whole, per_try = self.plan.whole, self.plan.per_try
        if whole is not None:
            left = whole.left(self)
            if per_try is not None:
                left = min(left, per_try.seconds)
            self._expect_within(b"%d" % max(1, round(1000 * left)))

    def _tell_complete(self) -> None:
        """The whole request is there: time runs from here."""
        whole = self.plan.whole
        if whole is not None:
            whole.arm(self)
        if self.upstream is not None:
            self._arm_try()
        for copy in self._mirrors:
            copy.request_completed()

    def _tell_ended(self) -> None:
        """Nobody has to care any more."""
        for deadline in (self.plan.whole, self.plan.per_try):
            if deadline is not None:
                deadline.disarm(self)
        for copy in self._mirrors:
            copy.exchange_ended()
        self._end_retry()

    def timed_out(self) -> None:
        """The route's time is over, for all tries together."""
        if self.done:
            return
        self.gateway.counters.upstream_timeouts_total += 1
        if self.upstream is not None and not self.response_begun:
            self.host.timed_out()
        self._stop()
        if self.response_begun:
            self.cut(b"response_timeout", b"UT")
        else:
            self.reply(504, b"upstream request timeout", b"UT", b"response_timeout")

    def try_timed_out(self) -> None:
        """A try's time is over. It does not matter any more once there is a response."""
        if self.done or self.response_begun:
            return
        self.gateway.counters.upstream_timeouts_total += 1
        self.host.timed_out()
        self._stop()
        if not self._tried_again(Cause.TRY_TIMEOUT):
            self.reply(504, b"upstream request timeout", b"UT", b"upstream_per_try_timeout")

    # What can go wrong

    def overflowed(self) -> None:
        """The limits of the cluster leave no room for this exchange. No other try follows."""
        self._reset(503, b"UO", b"overflow", more=_OVERLOADED)

    def connect_failed(self, reason: Failure) -> None:
        """No connection could be made for this exchange."""
        if self.done:
            return
        self.host.failed()
        timed_out = reason.check(ConnectTimeout) is not None
        if not timed_out:
            why = getattr(reason.value, "osError", None)
            text = str(reason.value) if why is None else strerror(why)
            self.transport_failure = b"delayed_connect_error:_" + text.replace(" ", "_").encode("ascii", "replace")
        if not self._tried_again(Cause.CONNECT):
            if timed_out:
                self._reset(503, b"UF", b"connection timeout")
            else:
                self._reset(503, b"UF", b"remote connection failure", self.transport_failure)

    def upstream_lost(self, may_repeat: bool) -> None:
        """The endpoint closed the connection before a response began; ``may_repeat``: a kept one, without a word."""
        self.upstream = None
        repeatable = self.request_complete and self._repeatable
        if may_repeat and not self._replayed and self.method in _IDEMPOTENT and repeatable:
            self._replayed = True
            self.gateway.counters.upstream_replays_total += 1
            self.host.pool.carry_over_new(self)
            return
        self.host.failed()
        if not self._tried_again(Cause.LOST):
            self._reset(503, b"UC", b"connection termination")

    def upstream_spoke_garbage(self) -> None:
        """What the endpoint sent before a response began is not HTTP."""
        self.upstream = None
        self.gateway.counters.protocol_errors_total += 1
        if not self._tried_again(Cause.PROTOCOL):
            self._reset(502, b"UPE", b"protocol error")

    def _reset(self, status: int, flag: bytes, cause: bytes, why: bytes = b"", more: Sequence[Field] = ()) -> None:
        retried = b"retried and the latest " if self.attempt else b""
        reasons = b"|".join(filter(None, (cause.replace(b" ", b"_"), why)))
        details = b"upstream_reset_before_response_started{%b}" % reasons
        body = b"%b%breset reason: %b" % (_RESET, retried, cause)
        self.reply(status, body, flag, details, more=more)

    def _stop(self) -> None:
        """Nobody waits for an endpoint any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.waiting_in is not None:
            self.waiting_in.leave(self)
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.cancel()
