"""A request: its head as the client sent it and as it goes to the endpoint, and its body on the way.

Most requests go on as they came, plus a few fields of the gateway's own: their head is one formatting by the shape of
their fields. A request that a route changes has all its fields in one list instead, those of the gateway too, so that
whatever reads or changes them finds them there.

Of the body, what was sent is kept for a while, up to a limit, so that it can be sent again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zope.interface import implementer

from meshproxy.http.bodies import Piece, framed, size_of
from meshproxy.http.fields import Shapes
from meshproxy.http.headeroperations import Field, HeaderChanges, values_in, without
from meshproxy.http.requesthead import Head, Refused, trusted_address
from meshproxy.http.rewriting import CompiledRewrite
from meshproxy.interfaces import IRequest

if TYPE_CHECKING:
    from meshproxy.http.downstream import Downstream
    from meshproxy.http.fields import Shape, Values
    from meshproxy.http.upgrading import Upgrade
    from meshproxy.http.upstream import Upstream
    from meshproxy.model import Endpoint

# Where headers are found that are never among the fields.
_APART = {
    b"host": "authority",
    b":authority": "authority",
    b":path": "path",
    b":method": "method",
    b":scheme": "scheme",
    b"connection": "asked_connection",
    b"upgrade": "asked_protocol",
}
_OWN_HEADERS = {
    b"x-forwarded-for": "forwarded_for",
    b"x-forwarded-proto": "forwarded_proto",
    b"x-envoy-external-address": "source_ip",
    b"x-request-id": "request_id",
    b"x-envoy-expected-rq-timeout-ms": "expected_timeout",
}
_OTHER_HEADERS = {**_APART, **_OWN_HEADERS}

# For requests that were changed: all fields but the last one are in the list.
_CHANGED = Shapes({})
_CHANGED_HEAD = b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%b\r\n"
_HEAD = (
    b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%b"
    b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-envoy-external-address: %b\r\n"
    b"x-request-id: %b\r\nx-envoy-attempt-count: %d\r\n\r\n"
)

_ORIGINAL_PATH = b"x-envoy-original-path"
_ORIGINAL_HOST = b"x-envoy-original-host"
_ATTEMPTS = b"x-envoy-attempt-count"
_EXPECTED_TIMEOUT = b"x-envoy-expected-rq-timeout-ms"
_CHUNKED = b"transfer-encoding: chunked\r\n"

_monotonic = time.monotonic


@implementer(IRequest)
class Request:
    """See the head of this module. As ``IRequest`` it shows the head as it goes upstream.

    ``path`` has the query, ``route_path`` is the one that routes see. ``lines`` are the fields as they are passed on,
    empty while nobody has asked for them. ``original_path`` is empty unless the path was rewritten. ``special``: more
    has to be asked when a response comes. ``response_fields`` are those that the client gets, where an access log reads
    them. ``flags``, ``details`` and the attributes with them are what the access log tells of it; ``duration_ms`` is
    from the first byte received to the last byte sent, and ``logged_remote`` the client's address with port, which is 0
    where it was taken from ``x-forwarded-for``.
    """

    # What every request sets has a slot, which is fastest. All else has a default on the class, and room in __dict__.
    __slots__ = (
        "__dict__",
        "authority",
        "begun_at",
        "bytes_sent",
        "cluster",
        "cluster_state",
        "connection",
        "details",
        "done",
        "duration_ms",
        "endpoint",
        "forwarded_for",
        "forwarded_proto",
        "gateway",
        "host",
        "keep_alive",
        "lines",
        "local",
        "logged_remote",
        "method",
        "path",
        "plan",
        "request_complete",
        "request_id",
        "response_begun",
        "route_path",
        "service_ms",
        "shape",
        "source_ip",
        "started",
        "started_at",
        "status",
        "unsent",
        "upstream",
        "upstream_cluster",
        "upstream_host",
        "upstream_local",
        "values",
    )

    scheme = b"http"
    protocol = b"HTTP/1.1"
    chunked = expects_continue = http10 = special = False
    refusal: Refused | None = None
    upgrade: Upgrade | None = None
    original_path = received_for = received_proto = expected_timeout = b""
    flags = transport_failure = route_name = trace_id = b""
    asked_protocol = asked_connection = b""
    bytes_received = attempt = 0
    request_done_at = 0.0
    response_fields: Sequence[Field] = ()
    _hop_by_hop = b""
    _added = b""  # lines in front of the last field, these among them
    _changed = False
    _other_headers = _OTHER_HEADERS
    _kept: list[Piece] | None = None
    _kept_size = _unsent_size = 0
    _repeatable = True

    def __init__(self, connection: Downstream, head: Head) -> None:
        self.connection = connection
        self.gateway = connection.gateway
        self.source_ip = connection.source_ip
        self.local = connection.local
        self.logged_remote = connection.remote
        self.method = head.method
        self.authority = head.authority
        self.route_path = path = head.path
        self.path = path + head.query if head.query else path
        self.shape = head.shape
        self.values = head.values
        self.lines = head.lines
        self.started_at = head.started_at
        self.begun_at = _monotonic()
        self.unsent: list[Piece] = []
        self.keep_alive = head.keep_alive
        if head.forwarded_for:
            self.received_for = head.forwarded_for
        if head.forwarded_proto:
            self.received_proto = head.forwarded_proto
        if head.chunked:
            self.chunked = True
            self._added = self._hop_by_hop = _CHUNKED
        if head.expects_continue:
            self.expects_continue = True
        if head.http10:
            self.http10 = self.special = True
            self.protocol = b"HTTP/1.0"
        self.started = self.request_complete = self.response_begun = self.done = False
        self.status = self.bytes_sent = self.duration_ms = 0
        self.details = self.forwarded_for = self.forwarded_proto = self.request_id = b""
        self.upstream_host = self.upstream_cluster = self.upstream_local = b""
        self.upstream: Upstream | None = None
        self.endpoint: Endpoint | None = None
        self.service_ms: int | None = None

    @property
    def remote(self) -> bytes:
        """See ``IRequest``."""
        return self.connection.remote

    def header_values(self, name: bytes) -> Sequence[bytes]:
        """See ``IRequest``."""
        positions = self.shape.index.get(name)
        if positions is not None:
            values = self.values
            if len(positions) == 1:  # without a function call for the list
                return [values[positions[0]]]
            return [values[at] for at in positions]
        attribute = self._other_headers.get(name)
        if attribute is None:
            return ()
        value: bytes = getattr(self, attribute)
        return [value] if value or attribute == "authority" else ()

    @property
    def user_agent(self) -> bytes:
        """The ``user-agent`` header; empty when there is none."""
        at = self.shape.index.get(b"user-agent")
        return self.values[at[0]] if at is not None else b""

    @property
    def is_grpc(self) -> bool:
        """Whether the request says that it is one of gRPC."""
        types = self.header_values(b"content-type")
        return bool(types) and types[0].startswith(b"application/grpc")

    @property
    def request_ms(self) -> int:
        """From the first byte received to the last byte of the request."""
        return int((self.request_done_at - self.begun_at) * 1000) if self.request_done_at else 0

    # The head

    def _add_headers(self) -> None:
        """Work out what the gateway says of the client."""
        peer = self.connection.source_ip
        received = self.received_for
        self.forwarded_for = received + b"," + peer if received else peer
        proto = self.scheme
        trusted = self.gateway.trusted_proxies
        if trusted:
            self.source_ip = address = trusted_address(received, trusted, peer)
            if address is not peer:
                self.logged_remote = (b"[%b]:0" if b":" in address else b"%b:0") % address
            proto = self.received_proto or proto
            if proto.lower() == b"https":
                self.scheme = b"https"
        self.request_id = self.gateway.request_ids.next()
        self.forwarded_proto = proto

    def ask_upgrade(self, protocol: bytes) -> None:
        """Ask the endpoint for another protocol. It is the last request of its connection."""
        self.asked_protocol = protocol
        self.asked_connection = b"Upgrade"  # whatever else the client's says is not passed on
        self._added = self._hop_by_hop = upgrade_lines(protocol)
        self.special = True
        self.keep_alive = False

    def _expect_within(self, milliseconds: bytes) -> None:
        """Tell the endpoint how long its answer is waited for, instead of what it was told before."""
        self.expected_timeout = milliseconds
        if self._changed:
            self._tell(_EXPECTED_TIMEOUT, milliseconds)
        else:
            self._added = b"%b%b: %b\r\n" % (self._hop_by_hop, _EXPECTED_TIMEOUT, milliseconds)

    def _count_attempt(self) -> None:
        """Tell the endpoint of another try that it is one."""
        if self._changed:
            self._tell(_ATTEMPTS, b"%d" % (self.attempt + 1))

    def _tell(self, name: bytes, value: bytes) -> None:
        """Write a field of the gateway anew, whatever a route made of it."""
        fields = without(zip(self.shape.names, self.values, strict=True), (name,))
        self._pass_on(*_CHANGED.fields([*fields, (name, value)]))

    def _change(self, changes: HeaderChanges | None, rewrite: CompiledRewrite | None) -> None:
        """Change the head as a route says. The changes of headers see path and authority as they were."""
        names = self.shape.names
        fields = list(zip(names, self.values, strict=True))
        for name, attribute in _OWN_HEADERS.items():
            value: bytes = getattr(self, attribute)
            if value:
                fields.append((name, value))
        fields.append((_ATTEMPTS, b"%d" % (self.attempt + 1)))
        if changes is not None:
            fields = changes.request(fields, self)
        if rewrite is not None:
            fields = self._rewrite(rewrite, fields)
        self.forwarded_for = b",".join(values_in(fields, b"x-forwarded-for"))
        self.request_id = next(iter(values_in(fields, b"x-request-id")), b"")
        self._changed = True
        self._added = self._hop_by_hop
        self._other_headers = _APART
        self._pass_on(*_CHANGED.fields(fields))

    def _pass_on(self, shape: Shape, values: Values) -> None:
        """Pass other fields on than the client's."""
        self.shape, self.values, self.lines = shape, values, b""

    def _rewrite(self, rewrite: CompiledRewrite, fields: list[Field]) -> list[Field]:
        if rewrite.path is not None:
            self.original_path = path = self.path
            query = path[len(self.route_path) :]
            self.path = rewrite.path(self.route_path) + query
            fields = [*without(fields, (_ORIGINAL_PATH,)), (_ORIGINAL_PATH, path)]
        if rewrite.authority is not None:
            fields = [*without(fields, (_ORIGINAL_HOST,)), (_ORIGINAL_HOST, self.authority)]
            self.authority = rewrite.authority
        return fields

    def head(self) -> bytes:
        """The request's head for the endpoint."""
        lines = self.lines or self.shape.template % self.values
        if self._changed:
            return _CHANGED_HEAD % (self.method, self.path, self.authority, lines, self._added)
        return _HEAD % (
            self.method,
            self.path,
            self.authority,
            lines,
            self._added,
            self.forwarded_for,
            self.forwarded_proto,
            self.source_ip,
            self.request_id,
            self.attempt + 1,
        )

    # The body

    def take_body(self) -> list[Piece]:
        """What has come of the body and was not taken yet, in the framing for the endpoint."""
        pieces, self.unsent, self._unsent_size = self.unsent, [], 0
        if self.chunked and pieces:
            pieces = [framed(pieces)]
        if pieces and self._repeatable:
            self._keep(pieces)
        return pieces

    def _keep(self, pieces: Sequence[Piece]) -> None:
        self._kept_size += size_of(pieces)
        if self._kept_size > self._most_kept():
            self.forget_body()
        elif self._kept is None:
            self._kept = [*pieces]
            self.special = True
        else:
            self._kept += pieces

    def forget_body(self) -> None:
        """Keep no more of the body: it is not sent again."""
        self._kept = None
        self._repeatable = False

    def _most_kept(self) -> int:
        """How many bytes of the body to keep for another try."""
        raise NotImplementedError


def upgrade_lines(protocol: bytes) -> bytes:
    """What a head has that asks for another protocol, or agrees to it."""
    return b"connection: Upgrade\r\nupgrade: %b\r\n" % protocol
