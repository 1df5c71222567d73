"""Changes of header fields, compiled: what a route or a destination removes, sets and adds.

Rules (Istio's gateway; observed on Envoy 1.40): within a level everything is removed first, then the values are worked
out, then all ``set`` are done and then all ``add``. A value that comes out empty does nothing. ``set`` replaces all
lines of a header, ``add`` adds one, or joins it with ``,`` to a header that is one value. What frames a message, and
what the gateway itself writes last, cannot be changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

from meshproxy.headers import JOINED_HEADERS, join_lines
from meshproxy.http.names import NOT_FROM_CLIENTS
from meshproxy.http.operators import Described
from meshproxy.http.rewriting import in_head
from meshproxy.http.templates import HeaderValues, Subject, Template, compile_template
from meshproxy.routes import HeaderOperations

Field = tuple[bytes, bytes]
"""Name, in lower case, and value."""

_FRAMING = frozenset(
    {b"connection", b"content-length", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_NOT_IN_REQUESTS = _FRAMING | {b"host", b"http2-settings"}
_NOT_AMONG_FIELDS = frozenset({b"connection", b"host", b"upgrade"})
_NOT_IN_RESPONSES = _FRAMING | {b"server"}
# Source: headers that Envoy keeps as one value.
_JOINED_IN_REQUESTS = JOINED_HEADERS | NOT_FROM_CLIENTS
_JOINED_IN_RESPONSES = frozenset(
    {
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"access-control-max-age",
        b"age",
        b"cache-control",
        b"content-encoding",
        b"content-type",
        b"date",
        b"etag",
        b"expires",
        b"grpc-message",
        b"grpc-status",
        b"last-modified",
        b"location",
        b"vary",
        b"via",
        b"x-envoy-attempt-count",
        b"x-envoy-decorator-operation",
        b"x-envoy-degraded",
        b"x-envoy-immediate-health-check-fail",
        b"x-envoy-ratelimited",
        b"x-envoy-upstream-canary",
        b"x-envoy-upstream-healthchecked-cluster",
        b"x-envoy-upstream-service-time",
        b"x-request-id",
    }
)


def values_in(fields: Iterable[Field], name: bytes) -> list[bytes]:
    """The values of a header among fields."""
    return [value for field, value in fields if field == name]


def without(fields: Iterable[Field], names: Iterable[bytes]) -> list[Field]:
    """The fields with other names than these."""
    return [field for field in fields if field[0] not in names]


class _Level:
    __slots__ = ("added", "authority", "removed", "set")

    def __init__(self, operations: HeaderOperations, untouched: frozenset[bytes]) -> None:
        self.removed = frozenset(operations.remove) - untouched
        self.set = _compiled(operations.set, untouched)
        self.added = _compiled(operations.add, untouched)
        self.authority = None if operations.authority is None else in_head(operations.authority)


class HeaderChanges:
    """The operations of all levels for one direction, in the order in which they are applied."""

    __slots__ = ("_joined", "_levels")

    def __init__(self, levels: Sequence[HeaderOperations], of_request: bool) -> None:
        untouched = _NOT_IN_REQUESTS if of_request else _NOT_IN_RESPONSES
        self._joined = _JOINED_IN_REQUESTS if of_request else _JOINED_IN_RESPONSES
        self._levels = [_Level(level, untouched) for level in levels]

    def request(self, fields: list[Field], exchange: Described) -> list[Field]:
        """The fields of a request after the changes. Pseudo headers are the exchange's, whose authority may change."""
        for level in self._levels:
            fields = without(fields, level.removed)
            fields = self._apply(level, fields, Subject(exchange, _request_values(fields, exchange), _none))
            if level.authority is not None:
                exchange.authority = level.authority
        return fields

    def response(self, fields: list[Field], exchange: Described, status: int) -> list[Field]:
        """The fields of a response with a status after the changes."""
        for level in self._levels:
            fields = without(fields, level.removed)
            fields = self._apply(level, fields, Subject(exchange, exchange.header_values, _values_of(fields, status)))
        return fields

    def _apply(self, level: _Level, fields: list[Field], subject: Subject) -> list[Field]:
        replacing = dict(_rendered(level.set, subject))  # of two for the same name, the later one
        adding = _rendered(level.added, subject)
        if replacing:
            fields = [*without(fields, replacing), *replacing.items()]
        for name, value in adding:
            places = [at for at, field in enumerate(fields) if field[0] == name] if name in self._joined else []
            if places:
                fields[places[0]] = (name, reduce(join_lines, [*(fields[at][1] for at in places), value]))
                for at in reversed(places[1:]):
                    del fields[at]
            else:
                fields.append((name, value))
        return fields


def compiled_changes(levels: Sequence[HeaderOperations], of_request: bool) -> HeaderChanges | None:
    """The changes; None where there are none."""
    levels = [level for level in levels if level != HeaderOperations()]
    return HeaderChanges(levels, of_request) if levels else None


def _compiled(
    operations: Iterable[tuple[bytes, str]], untouched: frozenset[bytes]
) -> tuple[tuple[bytes, Template], ...]:
    return tuple(
        (name, compile_template(value))
        for name, value in operations
        if name not in untouched and not name.startswith(b":")
    )


def _rendered(operations: Iterable[tuple[bytes, Template]], subject: Subject) -> list[Field]:
    rendered = [(name, template.render(subject)) for name, template in operations]
    return [field for field in rendered if field[1]]


def _request_values(fields: list[Field], exchange: Described) -> HeaderValues:
    def values(name: bytes) -> Sequence[bytes]:
        if name.startswith(b":") or name in _NOT_AMONG_FIELDS:
            return exchange.header_values(name)
        return values_in(fields, name)

    return values


def _values_of(fields: list[Field], status: int) -> HeaderValues:
    return lambda name: [b"%d" % status] if name == b":status" else values_in(fields, name)


def _none(name: bytes) -> Sequence[bytes]:
    return ()
