"""Copies of requests for mirrors: sent along, their answers thrown away, and never in the way of the request itself.

A copy takes the head as it goes to the endpoint, and the body piece by piece as it comes. It is sent once, and only of
a request that has an endpoint (observed on Envoy 1.40). A mirror that does not keep up with the body, takes too long,
or would be one copy too many at a time, loses the copy, which is counted; so does one whose request breaks off, since a
cut request must not look whole.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.python.failure import Failure

from meshproxy import selection
from meshproxy.failures import PLUGIN_ERRORS
from meshproxy.http.bodies import Piece, framed
from meshproxy.http.filters import drawn
from meshproxy.http.headeroperations import Field
from meshproxy.http.retrying import NEVER

if TYPE_CHECKING:
    from meshproxy.http.forwarding import ForwardedRequest
    from meshproxy.http.upgrading import Upgrade
    from meshproxy.http.upstream import Upstream
    from meshproxy.upstream.hosts import ClusterState, HostState
    from meshproxy.upstream.pool import Pool

MIRROR_SECONDS = 60.0
"""How long a mirror may take for its answer where the route has no timeout."""

_MOST_ACTIVE = 1024
_MOST_UNSENT = 1024 * 1024


class _Nowhere:
    """Where answers go."""

    def write(self, data: bytes) -> None:
        """Forget ``data``."""


class Mirrored:
    """One copy. It is an exchange to the upstream connection that carries it, and a connection to that exchange."""

    # What an upstream connection asks of an exchange: nothing is repeated, changed or waited for.
    transport = _Nowhere()
    retry_from = NEVER
    special = edited = http10 = expects_continue = chunked_response = response_begun = False
    keep_alive = True
    cookies: Sequence[bytes] = ()
    upstream_local = b""
    request_done_at = 0.0
    bytes_sent = status = 0
    service_ms: int | None = None
    upgrade: Upgrade | None = None
    upstream: Upstream | None = None
    waiting_in: Pool | None = None
    done = False
    _full = False
    _host: HostState

    def __init__(self, exchange: ForwardedRequest) -> None:
        self.gateway = exchange.gateway
        self.method = exchange.method
        self.begun_at = time.monotonic()
        self.request_complete = exchange.request_complete
        self.is_grpc = exchange.is_grpc
        self._head = exchange.head()
        self._chunked = exchange.chunked
        self._unsent = list(exchange.unsent)
        self._unsent_size = sum(map(len, self._unsent))
        self._deadline = exchange.plan.mirror_deadline

    def start(self, state: ClusterState, exchange: ForwardedRequest) -> None:
        """Choose an endpoint, as for the request itself, and send the copy there."""
        counters = self.gateway.counters
        counters.mirrors_total += 1
        counters.mirrors_active += 1
        self._deadline.arm(self)
        cluster, balancer, policy = state.cluster, state.balancer, exchange.plan.hash_policy
        try:
            key_hash = None
            if balancer.uses_hash and policy:
                key_hash = selection.evaluate(policy, exchange)[0]
                if key_hash is None and exchange.plan.keyless_status is not None:
                    self._drop()
                    return
            if key_hash is None:
                key_hash = self.gateway.getrandbits(64)
            endpoint = selection.choose(balancer, key_hash, (), state.active)
            host = None if endpoint is None else state.picked(endpoint)
        except PLUGIN_ERRORS:  # a strategy that fails costs the copy and nothing else
            self.gateway.strategy_failed(cluster.name)
            self._drop()
            return
        if host is None:
            self._drop()
            return
        self._host = host
        host.pool.carry(self)

    @property
    def connection(self) -> Mirrored:
        """See ``carried.Carried``: what stands in the place of the client's connection."""
        return self

    # The exchange's events

    def body_received(self, data: Piece) -> None:
        """A piece of the request's body."""
        if self.done:
            return
        self._unsent.append(data)
        self._unsent_size += len(data)
        if self._unsent_size > _MOST_UNSENT:
            self._drop()
        else:
            self._send()

    def request_completed(self) -> None:
        """The request has been read whole."""
        if self.done:
            return
        self.request_complete = True
        if self._chunked:
            self._unsent.append(b"")
        self._send()

    def exchange_ended(self) -> None:
        """Nothing more comes from the client."""
        if not self.done and not self.request_complete:
            self._drop()

    def timed_out(self) -> None:
        """The mirror has taken too long."""
        if self.upstream is not None and not self.response_begun:
            self._host.timed_out()
        self._drop()

    def _send(self) -> None:
        if self.upstream is not None and not self._full:
            self.upstream.send_body(self)

    def _drop(self) -> None:
        if self.done:
            return
        self.gateway.counters.mirrors_dropped_total += 1
        if self.waiting_in is not None:
            self.waiting_in.leave(self)
        upstream, self.upstream = self.upstream, None
        self._end()
        if upstream is not None:
            upstream.cancel()

    def _end(self) -> None:
        if not self.done:
            self.done = True
            self.upstream = None
            self._unsent = []
            self._deadline.disarm(self)
            self.gateway.counters.mirrors_active -= 1

    # The upstream connection's questions and events

    def first_pieces(self) -> Sequence[Piece]:
        """See ``carried.Carried``."""
        return [self._head, *self.take_body()]

    def take_body(self) -> Sequence[Piece]:
        """See ``carried.Carried``."""
        pieces, self._unsent, self._unsent_size = self._unsent, [], 0
        return [framed(pieces)] if self._chunked and pieces else pieces

    def begin_response(self) -> None:
        """See ``carried.Carried``."""

    def pauseProducing(self) -> None:
        """The mirror's buffer is full; what comes now waits."""
        self._full = True

    def resumeProducing(self) -> None:
        """The mirror's buffer is empty again."""
        self._full = False
        if self._unsent:
            self._send()

    def stopProducing(self) -> None:
        """The mirror's connection is gone; its own event says so."""

    def completed(self) -> None:
        """The mirror has answered."""
        self._end()

    def overflowed(self) -> None:
        """The mirror has enough to do."""
        self._drop()

    def connect_failed(self, reason: Failure) -> None:
        """The mirror could not be reached."""
        if not self.done:
            self._host.failed()
        self._drop()

    def upstream_lost(self, may_repeat: bool) -> None:
        """The mirror closed the connection."""
        self._host.failed()
        self._drop()

    def upstream_spoke_garbage(self) -> None:
        """What the mirror sent is not HTTP."""
        self.gateway.counters.protocol_errors_total += 1
        self._drop()

    def cut(self, details: bytes, flag: bytes) -> None:
        """The mirror's answer broke off."""
        self._drop()

    def edit_response(self, fields: list[Field]) -> list[Field]:
        """See ``carried.Carried``."""
        return fields

    def try_again(self) -> None:
        """See ``carried.Carried``."""

    def wants_retry(self, status: int, grpc_status: bytes | None, rate_limited: bool) -> bool:
        """See ``carried.Carried``."""
        return False


def copies_of(exchange: ForwardedRequest) -> list[Mirrored]:
    """Begin to send copies of an exchange's request, as many as its route asks for and can be.

    The body that has come and was not sent yet is part of them.
    """
    mirrors = [it for it in exchange.plan.mirrors if drawn(it.share, exchange.gateway.getrandbits)]
    copies = [_copied(exchange, mirror.cluster) for mirror in mirrors]
    return [copy for copy in copies if copy is not None]


def _copied(exchange: ForwardedRequest, cluster: str) -> Mirrored | None:
    state = exchange.gateway.upstreams.clusters.get(cluster)
    counters = exchange.gateway.counters
    if state is None or counters.mirrors_active >= _MOST_ACTIVE:
        counters.mirrors_dropped_total += 1
        return None
    copy = Mirrored(exchange)
    copy.start(state, exchange)
    return None if copy.done else copy
