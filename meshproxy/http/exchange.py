"""An exchange: one request, what is done about it, and its one response.

States, in order: made (the head is known) -> started (a route was looked for) -> delayed by a fault -> waiting for a
connection -> sent -> response begun -> done. An exchange ends in exactly one of four ways, each of which writes the
access log once: the endpoint's response is complete (``completed``), the gateway answers itself (``reply``), the client
leaves (``client_lost``), or the response breaks off in the middle (``cut``). One that becomes a tunnel ends with it
(``tunnel_ended``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshproxy.http import filters
from meshproxy.http.forwarding import ForwardedRequest
from meshproxy.http.headeroperations import Field, without
from meshproxy.http.localreply import WITHOUT_BODY, content_fields, local_reply
from meshproxy.http.requesthead import Refused, UnreadHead
from meshproxy.http.routeanswers import preflight_answer, route_answer

if TYPE_CHECKING:
    from meshproxy.http.downstream import Downstream
    from meshproxy.http.filters import Cors

_FROM_ENDPOINT = b"via_upstream"

_monotonic = time.monotonic


class Exchange(ForwardedRequest):
    """See the head of this module."""

    __slots__ = ()

    @classmethod
    def refused(cls, connection: Downstream, refusal: Refused, started_at: float) -> Exchange:
        """An exchange for what could not be read as a request; it ends its connection."""
        self = cls(connection, UnreadHead(started_at))
        self.refusal = refusal
        return self

    # Beginning

    def start(self) -> None:
        """Find out what to do about the request and begin to do it."""
        self.started = True
        gateway = self.gateway
        counters = gateway.counters
        counters.requests_total += 1
        counters.requests_active += 1
        refusal = self.refusal
        if refusal is not None:
            self.reply(refusal.status, refusal.body, refusal.flags, refusal.details)
            return
        self._add_headers()
        route = self.connection.factory.routes.find(self)
        if route is None:
            self.reply(404, b"", b"NR", b"route_not_found")
            return
        plan = self.plan = gateway.plans[route]
        if plan.name:
            self.route_name = plan.name
        if plan.straight is not None:
            self._forward_to(plan.straight)
        else:
            self._delay()

    def request_completed(self) -> None:
        """The request has been read whole."""
        self.request_complete = True
        if self.bytes_received:
            self.request_done_at = _monotonic()
        if self.chunked:
            self.unsent.append(b"")  # encoded as any other chunk, this is the last one
        if self._watched:
            self._tell_complete()

    # Before forwarding

    def _delay(self) -> None:
        """The first filter: a delay, if the route has one and it hits this request."""
        fault = self.plan.fault
        if fault is not None and fault.delay and filters.drawn(fault.delay_share, self.gateway.getrandbits):
            self._flag(b"DI")
            self.gateway.counters.faults_delayed_total += 1
            self._timer = self.gateway.reactor.callLater(fault.delay, self._delayed)
        else:
            self._abort_or_go_on()

    def _delayed(self) -> None:
        self._timer = None
        self._abort_or_go_on()

    def _abort_or_go_on(self) -> None:
        plan = self.plan
        fault = plan.fault
        if fault is not None and filters.drawn(fault.abort_share, self.gateway.getrandbits):
            status = filters.abort_status(fault)
            if status is not None:
                self.gateway.counters.faults_aborted_total += 1
                self._edits = plan.edits if plan.answer is not None else self._drawn().edits
                self.reply(status, filters.ABORTED, b"FI", b"fault_filter_abort")
                return
        if plan.answer is not None:
            self._answer()
        elif plan.cors is None or not self._answered_preflight(plan.cors):
            self._forward()

    def _answered_preflight(self, cors: Cors) -> bool:
        """Whether CORS makes the answer. If not, the response may get fields of CORS."""
        origin = filters.origin_of(self.header_values)
        if not origin:
            return False
        fields = preflight_answer(cors, origin, self)
        if fields is not None:
            self.reply(200, b"", b"", b"cors_response", fields)
            return True
        if cors.admits(origin):
            self._cors_fields = cors.actual(origin)
            self.special = self.edited = True
        return False

    def _answer(self) -> None:
        """Answer as the route says, with a redirect or directly."""
        assert self.plan.answer is not None
        self.details = b"direct_response"
        fields, body = route_answer(self.plan, self)
        self.reply(self.plan.answer.status, body, b"", self.details, fields)

    # The response

    def edit_response(self, fields: list[Field]) -> list[Field]:
        """The fields of the endpoint's response as the client gets them; date and server are not among them."""
        self.details = _FROM_ENDPOINT
        if self._edits is not None:
            fields = self._edits.response(fields, self, self.status)
        fields = self._with_cors(
            [*without(fields, (b"server",)), *[(b"set-cookie", cookie) for cookie in self.cookies]]
        )
        self.response_fields = fields
        return fields

    def _with_cors(self, fields: list[Field]) -> list[Field]:
        cors = self._cors_fields
        return [*without(fields, dict(cors)), *cors] if cors else fields

    def switched(self, status: int) -> None:
        """The endpoint has agreed to another protocol: no time limit of the route holds any more."""
        self.status = status
        self.response_begun = True
        self.begin_response()
        if self.plan.whole is not None:
            self.plan.whole.disarm(self)

    # Ends

    def reply_told(self, flags: bytes, details: bytes) -> Sequence[Field]:
        """Fields of an answer without an endpoint that tell how it came about; none unless that is explained."""
        return ()

    def reply(
        self,
        status: int,
        body: bytes,
        flags: bytes,
        details: bytes,
        fields: Sequence[Field] | None = None,
        more: Sequence[Field] = (),
    ) -> None:
        """Answer without an endpoint.

        ``fields`` are all header fields but for date and server. Where they are not given, the route's operations
        apply, to which the status is not known yet; ``more`` are fields that come after them.
        """
        told = self.reply_told(flags, details)
        self.details = details
        self._flag(flags)
        if fields is None:
            edited = [] if self._edits is None else self._edits.response([], self, status)
            fields = self._with_cors([*more, *told, *content_fields(status, body, edited)])
        elif told:
            fields = [*fields, *told]
        self.status = status
        self.response_begun = True
        if not self.request_complete:
            self.keep_alive = False
        gateway = self.gateway
        gateway.counters.local_replies_total += 1
        self.response_fields = fields
        if self.method == b"HEAD" or status in WITHOUT_BODY:
            body = b""
        self.bytes_sent = len(body)
        date = gateway.dates.at(time.time())
        answer = local_reply(status, fields, body, date, not self.keep_alive, self.http10)
        self.connection.transport.write(answer)
        self._account()
        self.connection.exchange_done(self)

    def completed(self) -> None:
        """The endpoint's response has been written whole."""
        self.upstream = None
        self.details = _FROM_ENDPOINT
        if not self.request_complete:
            self.keep_alive = False
        self._account()
        self.connection.exchange_done(self)

    def cut(self, details: bytes, flag: bytes) -> None:
        """The response broke off; the client gets to see that."""
        self.upstream = None
        self.details = details
        self._flag(flag)
        self._account()
        self.connection.abort(reset=self.http10)

    def client_lost(self) -> None:
        """The client is gone."""
        if self.done:
            return
        if not self.started:
            self.started = True
            self.gateway.counters.requests_total += 1
            self.gateway.counters.requests_active += 1
        self.details = b"downstream_remote_disconnect"
        self._flag(b"DC")
        self._stop()
        self._account()

    def tunnel_ended(self, received: int, sent: int, details: bytes, flag: bytes) -> None:
        """What the connection became has ended, with so many bytes from and to the client."""
        if self.done:
            return
        self.upstream = None
        self.bytes_received, self.bytes_sent = received, sent
        self.details = details
        self._flag(flag)
        self.gateway.counters.responses_1xx += 1
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

    def stood_still(self) -> None:
        """Neither the request nor its response has moved for longer than it may."""
        if self.done:
            return
        self.gateway.counters.stream_idle_timeouts_total += 1
        self._stop()
        if self.response_begun:
            self.cut(b"stream_idle_timeout", b"SI")
        else:
            self.reply(504 if self.request_complete else 408, b"stream timeout", b"SI", b"stream_idle_timeout")

    def _account(self) -> None:
        self.done = True
        if self.unsent:
            self.unsent = []
        milliseconds = (_monotonic() - self.begun_at) * 1000
        self.duration_ms = int(milliseconds)
        if self._watched:
            self._tell_ended()
        if self._paused and self.keep_alive:
            # It waited for a connection that it does not need any more, and the next request comes the same way.
            self._paused = False
            self.connection.resumeProducing()
        gateway = self.gateway
        counters = gateway.counters
        counters.requests_active -= 1
        status = self.status
        if 200 <= status < 300:
            counters.responses_2xx += 1
        elif status >= 500:
            counters.responses_5xx += 1
            if self.details == _FROM_ENDPOINT:
                self.host.errors += 1
        elif status >= 400:
            counters.responses_4xx += 1
        elif status >= 300:
            counters.responses_3xx += 1
        received, sent = self.bytes_received, self.bytes_sent
        counters.bytes_received_total += received
        counters.bytes_sent_total += sent
        traffic = self.cluster_state.traffic if self.upstream_cluster else gateway.traffic
        traffic.count(status, self.flags, milliseconds, received, sent)
        if gateway.access_log is not None:
            gateway.access_log.exchange(self)
