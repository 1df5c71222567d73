"""An exchange: one request, what is done about it, and its one response.

States, in order: made (the head is known) -> started (a route was looked for) -> waiting for a connection -> sent ->
response begun -> done. An exchange ends in exactly one of four ways, each of which writes the access log once: the
endpoint's response is complete (``completed``), the gateway answers itself (``reply``), the client leaves
(``client_lost``), or the response breaks off in the middle (``cut``).

Retries follow Istio's default policy (only failures to connect, with back-off) and one rule of our own: when the
endpoint closes a kept connection before the first byte of a response, the request goes once more over a fresh one if
repeating it is safe, that is, if the method is idempotent (RFC 9110, 9.2.2) and the whole body is still at hand.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from meshproxy import selection
from meshproxy.http.localreply import local_reply
from meshproxy.http.requesthead import Refused, trusted_address
from meshproxy.http.requestreader import NO_FIELDS
from meshproxy.interfaces import IRequest
from meshproxy.model import Cluster, Endpoint, Forward

if TYPE_CHECKING:
    from meshproxy.http.downstream import Downstream
    from meshproxy.http.requestreader import RequestReader
    from meshproxy.http.upstream import Upstream
    from meshproxy.upstream.hosts import ClusterState, HostState

_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
_MOST_HELD = 64 * 1024
_BACKOFF_MS, _LONGEST_BACKOFF_MS = 25, 250
_RESET = b"upstream connect error or disconnect/reset before headers. "

# Where a hash key finds headers that are not among the client's fields.
_OTHER_HEADERS = {
    b"host": "authority",
    b":authority": "authority",
    b":path": "path",
    b":method": "method",
    b":scheme": "scheme",
    b"x-forwarded-for": "forwarded_for",
    b"x-forwarded-proto": "forwarded_proto",
    b"x-envoy-external-address": "source_ip",
    b"x-request-id": "request_id",
}

_log = Logger()
_monotonic = time.monotonic


@implementer(IRequest)
class Exchange:
    """See the head of this module. As ``IRequest`` it shows the head as it goes upstream.

    ``flags``, ``details`` and the other attributes with bytes below are the access log's fields.
    """

    # Defaults live on the class: most exchanges change few of them, and setting each would cost more than routing.
    scheme = b"http"
    chunked = expects_continue = chunked_response = False
    started = request_complete = response_begun = done = False
    refusal: Refused | None = None
    received_for = received_proto = forwarded_for = forwarded_proto = request_id = b""
    flags = details = transport_failure = b""
    upstream_host = upstream_cluster = upstream_local = route_name = b""
    status = bytes_received = bytes_sent = attempt = 0
    service_ms: int | None = None
    request_done_at = ended_at = 0.0
    cookies: Sequence[bytes] = ()
    upstream: Upstream | None = None
    endpoint: Endpoint | None = None
    forward: Forward
    cluster: Cluster
    cluster_state: ClusterState
    host: HostState
    _held: bytes | None = None
    _replayed = False
    _tried: set[Endpoint] | None = None
    _retry_timer: Any = None
    _unsent_size = 0
    _paused = False

    def __init__(self, connection: Downstream, head: RequestReader) -> None:
        self.connection = connection
        self.gateway = connection.gateway
        self.remote = connection.remote
        self.local = connection.local
        self.source_ip = connection.source_ip
        self.method = head.method
        self.authority = head.authority
        self._route_path = path = head.path
        self.path = path + head.query if head.query else path
        self.shape = head.shape
        self.values = head.values
        self.started_at = head.started_at
        self.begun_at = _monotonic()
        self.unsent: list[bytes] = []
        self.received_for = head.forwarded_for
        self.received_proto = head.forwarded_proto
        self.keep_alive = head.keep_alive
        if head.chunked:
            self.chunked = True
        if head.expects_continue:
            self.expects_continue = True

    @classmethod
    def refused(cls, connection: Downstream, refusal: Refused, started_at: float) -> Exchange:
        """An exchange for what could not be read as a request; it ends its connection."""
        self = cls.__new__(cls)
        self.connection = connection
        self.gateway = connection.gateway
        self.remote = connection.remote
        self.local = connection.local
        self.source_ip = connection.source_ip
        self.method = self.authority = self.path = b""
        self.shape, self.values = NO_FIELDS
        self.started_at = started_at
        self.begun_at = _monotonic()
        self.unsent = []
        self.keep_alive = False
        self.refusal = refusal
        return self

    def header_values(self, name: bytes) -> Sequence[bytes]:
        """See ``IRequest``."""
        positions = self.shape.index.get(name)
        if positions is not None:
            values = self.values
            return [values[at] for at in positions]
        attribute = _OTHER_HEADERS.get(name)
        if attribute is None:
            return ()
        return [getattr(self, attribute)]

    @property
    def user_agent(self) -> bytes:
        """The ``user-agent`` header; empty when there is none."""
        at = self.shape.index.get(b"user-agent")
        return self.values[at[0]] if at is not None else b""

    # The request's way

    def start(self) -> None:
        """Find out what to do about the request and begin to do it."""
        self.started = True
        counters = self.gateway.counters
        counters.requests_total += 1
        counters.requests_active += 1
        refusal = self.refusal
        if refusal is not None:
            self.reply(refusal.status, refusal.body, b"DPE" if refusal.body else b"", refusal.details)
            return
        self._add_headers()
        route = self.connection.factory.routes.find(self.authority, self._route_path)
        if route is None:
            self.reply(404, b"", b"NR", b"route_not_found")
            return
        if route.name:
            self.route_name = route.name.encode()
        forward = self.forward = route.action
        destinations = forward.destinations
        destination = (
            destinations[0]
            if len(destinations) == 1
            else selection.choose_destination(destinations, self.gateway.getrandbits(64))
        )
        state = self.gateway.upstreams.clusters.get(destination.cluster)
        if state is None:
            self.reply(503, b"", b"NC", b"cluster_not_found")
            return
        self.upstream_cluster = state.log_name
        self.cluster_state = state
        self.cluster = state.cluster
        self._try()

    def _add_headers(self) -> None:
        peer = self.connection.source_ip
        received = self.received_for
        self.forwarded_for = received + b"," + peer if received else peer
        proto = self.scheme
        trusted = self.gateway.trusted_proxies
        if trusted:
            self.source_ip = trusted_address(received, trusted, peer)
            proto = self.received_proto or proto
            if proto == b"https":
                self.scheme = proto
        self.request_id = self.gateway.request_ids.next()
        self.forwarded_proto = proto

    def _try(self) -> None:
        """Choose an endpoint and send the request there. A retry asks the strategy anew, as Envoy does."""
        self._retry_timer = None
        state, balancer = self.cluster_state, self.cluster.balancer
        try:
            key_hash = None
            if balancer.uses_hash and self.forward.hash_policy:
                key_hash, cookies = selection.evaluate(self.forward.hash_policy, self)
                if cookies:
                    self.cookies = [*self.cookies, *cookies]
            if key_hash is None:
                key_hash = self.gateway.getrandbits(64)
            if self._tried is None and state.pick_with_load is None:
                endpoint = balancer.pick(key_hash, 0)
            else:
                tried = self._tried if self._tried and self.forward.avoid_previous_hosts else ()
                endpoint = selection.choose(balancer, key_hash, tried, active=state.active)
        except Exception:  # noqa: BLE001 - a strategy that fails costs its request and nothing else
            self._strategy_failed()
            return
        if endpoint is None:
            self.reply(503, b"no healthy upstream", b"UH", b"no_healthy_upstream")
            return
        self.endpoint = endpoint
        host = self.host = state.host(endpoint)
        self.upstream_host = host.log_name
        if host.idle:
            connection = host.idle.popitem()[0]
            connection.send(self)
        else:
            self.gateway.connect(host, self.cluster.connect_timeout, self)

    def _strategy_failed(self) -> None:
        counters = self.gateway.counters
        counters.strategy_errors_total += 1
        if self.gateway.may_log_strategy_error():
            _log.failure("A strategy of cluster {cluster} failed on a request", cluster=self.cluster.name)
        self.reply(500, b"", b"", b"strategy_error")

    def head(self) -> bytes:
        """The request's head for the endpoint."""
        return self.shape.template % (
            self.method,
            self.path,
            self.authority,
            *self.values,
            b"transfer-encoding: chunked\r\n" if self.chunked else b"",
            self.forwarded_for,
            self.forwarded_proto,
            self.source_ip,
            self.request_id,
            self.attempt + 1,
        )

    def body_received(self, data: bytes) -> None:
        """A piece of the request's body. It is sent by ``send_body``."""
        self.bytes_received += len(data)
        self._unsent_size += len(data)
        self.unsent.append(data)

    def request_completed(self) -> None:
        """The request has been read whole."""
        self.request_complete = True
        if self.bytes_received:
            self.request_done_at = _monotonic()
        if self.chunked:
            self.unsent.append(b"")  # encoded as any other chunk, this is the last one

    def take_body(self) -> bytes:
        """What has come of the body and was not taken yet, in the framing for the endpoint."""
        unsent, self.unsent, self._unsent_size = self.unsent, [], 0
        if self.chunked:
            return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in unsent])
        return b"".join(unsent)

    def first_bytes(self) -> bytes:
        """Head and body as far as it is there, for a connection that takes the exchange over."""
        body = self._held if self._held is not None else self.take_body()
        if self.request_complete and len(body) <= _MOST_HELD:
            self._held = body
        if self._paused:
            self._paused = False
            self.connection.resumeProducing()
        return self.head() + body

    def send_body(self) -> None:
        """Pass on what has come of the body, or wait for a connection with no more than a buffer of it."""
        upstream = self.upstream
        if upstream is not None:
            upstream.send_body(self)
        elif self.done:
            self.take_body()
        elif self._unsent_size > _MOST_HELD and not self._paused:
            self._paused = True
            self.connection.pauseProducing()

    # What can go wrong

    def connect_failed(self, reason: Failure) -> None:
        """No connection could be made for this exchange."""
        self.gateway.counters.upstream_connect_failures_total += 1
        if self.done:
            return
        timed_out = reason.check(ConnectTimeout) is not None
        if not timed_out:
            why = getattr(reason.value, "osError", None)
            text = str(reason.value) if why is None else _error_text(why)
            self.transport_failure = b"delayed_connect_error:_" + text.replace(" ", "_").encode("ascii", "replace")
        if self.attempt < self.forward.retries:
            self.attempt += 1
            self.gateway.counters.upstream_retries_total += 1
            if self._tried is None:
                self._tried = set()
            if self.endpoint is not None:
                self._tried.add(self.endpoint)
            longest = min(_BACKOFF_MS << (self.attempt - 1), _LONGEST_BACKOFF_MS)
            delay = self.gateway.getrandbits(32) % longest / 1000
            self._retry_timer = self.gateway.reactor.callLater(delay, self._try)
            return
        cause = b"connection timeout" if timed_out else b"remote connection failure"
        self._reset(503, b"UF", cause)

    def upstream_lost(self, may_repeat: bool) -> None:
        """The endpoint closed the connection before a response began; ``may_repeat``: a kept one, without a word."""
        self.upstream = None
        if may_repeat and not self._replayed and self.method in _IDEMPOTENT and self._held is not None:
            self._replayed = True
            self.gateway.counters.upstream_replays_total += 1
            self.gateway.connect(self.host, self.cluster.connect_timeout, self)
            return
        self._reset(503, b"UC", b"connection termination")

    def upstream_spoke_garbage(self) -> None:
        """What the endpoint sent before a response began is not HTTP."""
        self.upstream = None
        self.gateway.counters.protocol_errors_total += 1
        self._reset(502, b"UPE", b"protocol error")

    def _reset(self, status: int, flag: bytes, cause: bytes) -> None:
        prefix = _RESET
        if self.attempt:
            if flag == b"UF":
                flag = b"URX,UF"  # only failures to connect are retried
            prefix += b"retried and the latest "
        details = b"upstream_reset_before_response_started{%b}" % cause.replace(b" ", b"_")
        self.reply(status, prefix + b"reset reason: " + cause, flag, details)

    def cut(self, details: bytes, flag: bytes) -> None:
        """The response broke off; the client gets to see that."""
        self.upstream = None
        self.flags, self.details = flag, details
        self._account()
        self.connection.abort()

    def client_lost(self) -> None:
        """The client is gone."""
        if self.done:
            return
        if not self.started:
            self.started = True
            self.gateway.counters.requests_total += 1
            self.gateway.counters.requests_active += 1
        self.flags, self.details = b"DC", b"downstream_remote_disconnect"
        self._stop()
        self._account()

    def request_broken(self, refusal: Refused) -> None:
        """The head was fine, but the body is not framed as it says."""
        if self.done:
            return
        self.keep_alive = False
        if not self.started:
            self.refusal = refusal
            return
        self._stop()
        if self.response_begun:
            self.cut(b"http1.codec_error", b"DPE")
        else:
            self.reply(refusal.status, refusal.body, b"DPE", refusal.details)

    def _stop(self) -> None:
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.cancel()

    # Ends

    def reply(self, status: int, body: bytes, flags: bytes, details: bytes) -> None:
        """Answer without an endpoint."""
        self.status, self.flags, self.details = status, flags, details
        self.response_begun = True
        if not self.request_complete:
            self.keep_alive = False
        gateway = self.gateway
        gateway.counters.local_replies_total += 1
        with_body = self.method != b"HEAD"
        if with_body:
            self.bytes_sent = len(body)
        date = gateway.dates.at(time.time())
        self.connection.transport.write(local_reply(status, body, date, not self.keep_alive, with_body))
        self._account()
        self.connection.exchange_done(self)

    def completed(self) -> None:
        """The endpoint's response has been written whole."""
        self.upstream = None
        self.details = b"via_upstream"
        if not self.request_complete:
            self.keep_alive = False
        self._account()
        self.connection.exchange_done(self)

    def _account(self) -> None:
        self.done = True
        self.unsent = []
        self.ended_at = _monotonic()
        gateway = self.gateway
        counters = gateway.counters
        counters.requests_active -= 1
        status = self.status
        if 200 <= status < 300:
            counters.responses_2xx += 1
        elif status >= 500:
            counters.responses_5xx += 1
        elif status >= 400:
            counters.responses_4xx += 1
        elif status >= 300:
            counters.responses_3xx += 1
        counters.bytes_received_total += self.bytes_received
        counters.bytes_sent_total += self.bytes_sent
        if gateway.access_log is not None:
            gateway.access_log.exchange(self)

    @property
    def duration_ms(self) -> int:
        """From the first byte received to the last byte sent."""
        return int((self.ended_at - self.begun_at) * 1000)

    @property
    def logged_remote(self) -> bytes:
        """The client's address with port; port 0 where it was taken from ``x-forwarded-for``."""
        if self.source_ip is self.connection.source_ip:
            return self.remote
        return (b"[%b]:0" if b":" in self.source_ip else b"%b:0") % self.source_ip


def _error_text(number: int) -> str:
    from os import strerror

    return strerror(number)
