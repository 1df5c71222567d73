"""Changes of headers: the ``headers`` of a route and of its destinations.

Source: Istio's translation of header operations. With one destination both levels become one, the route's operations of
each kind before the destination's. With several, a destination's level comes before the route's. The authority is no
header: setting it rewrites the host, and the route's level wins over a destination's. With several destinations, the
host is a destination's before the route's level comes, and only what this replaces is told as the original host.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter

from attrs import frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.diagnostics import suggest
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import is_token
from meshproxy.errors import Location
from meshproxy.operators import IN_HEADERS, Operator, parse
from meshproxy.routes import HeaderOperations

_MOST_REPORTED = 10
_AUTHORITY = (":authority", "host")
_SERVER = "server"
# What the gateway writes into a response after all operations; a date only where there is none.
_WRITTEN_LAST = (_SERVER, "date")
# What Envoy's router would read there, and what has the same effect.
_STEERING = {
    "x-envoy-hedge-on-per-try-timeout": "",
    "x-envoy-max-retries": "write retries.attempts",
    "x-envoy-retriable-header-names": "",
    "x-envoy-retriable-status-codes": "write the statuses in retries.retryOn",
    "x-envoy-retry-grpc-on": "write retries.retryOn",
    "x-envoy-retry-on": "write retries.retryOn",
    "x-envoy-upstream-rq-per-try-timeout-ms": "write retries.perTryTimeout",
}
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@frozen
class Headers:
    """Both directions of one level. ``authority`` is what ``:authority`` or ``Host`` is set to, with its place."""

    request: HeaderOperations
    response: HeaderOperations
    authority: str | None = None
    authority_location: Location | None = None


_NOTHING = HeaderOperations()
NO_HEADERS = Headers(_NOTHING, _NOTHING)


def decode(node: Node, findings: Findings) -> Headers:
    """One level, without the operations that are wrong."""
    fields = Fields(node, findings, ("request", "response"))
    request, response = fields.get("request"), fields.get("response")
    authorities: list[tuple[str, Location]] = []
    return Headers(
        _NOTHING if request is None else _operations(request, findings, authorities),
        _NOTHING if response is None else _operations(response, findings, None),
        *_only(authorities, findings),
    )


def combined(
    route: Headers, destination: Headers, single: bool, direction: Callable[[Headers], HeaderOperations]
) -> tuple[HeaderOperations, ...]:
    """The operations for one destination in the order in which they are applied; levels without any are left out."""
    outer, inner = direction(route), direction(destination)
    if inner == _NOTHING:
        return () if outer == _NOTHING else (outer,)
    if single:
        return (HeaderOperations(outer.remove + inner.remove, outer.set + inner.set, outer.add + inner.add),)
    return (inner,) if outer == _NOTHING else (inner, outer)


def _only(authorities: list[tuple[str, Location]], findings: Findings) -> tuple[str | None, Location | None]:
    if not authorities:
        return None, None
    for _, location in authorities[1:]:
        findings.error(location, "the authority is set twice", f"see {authorities[0][1]}")
    return authorities[0]


def _operations(node: Node, findings: Findings, authorities: list[tuple[str, Location]] | None) -> HeaderOperations:
    fields = Fields(node, findings, ("set", "add", "remove"))
    removed = []
    for name, place in checks.strings(fields, "remove"):
        if not name or name.startswith(":") or name.lower() == "host":
            findings.error(place.location, f"{place.path}: {name!r} cannot be removed")
        elif authorities is None and name.lower() in _WRITTEN_LAST:
            findings.warning(place.location, f"{place.path}: the gateway writes {name!r} after these operations")
        elif _is_usable(name, place.location, findings):
            removed.append(name)
    return HeaderOperations(
        tuple(name.lower().encode() for name in sorted(removed)),
        _values(fields, "set", authorities),
        _values(fields, "add", authorities),
    )


def _values(
    fields: Fields, operation: str, authorities: list[tuple[str, Location]] | None
) -> tuple[tuple[bytes, str], ...]:
    """The names and values of ``set`` or ``add``; ``authorities`` is None for those of a response."""
    findings = fields.findings
    parent = fields.get(operation)
    found = []
    spellings: dict[str, str] = {}
    # The order in which they are applied.
    for name, node in sorted(fields.entries(operation), key=itemgetter(0)):
        value = findings.attempt(_value, node, findings)
        place = node.location if parent is None else parent.key_location(name)
        if not name:
            findings.error(place, f"{fields.path_of(operation)}: the name of a header may not be empty")
        elif name.lower() in _AUTHORITY and authorities is not None:
            if value:
                _check_authority(value, node, findings)
                authorities.append((value, place))
        elif name.startswith(":") or name.lower() == "host":
            findings.error(place, f"{fields.path_of(operation)}: {name!r} cannot be changed here")
        elif value is not None and _is_usable(name, place, findings):
            found.append((name.lower().encode(), value))
            earlier = spellings.setdefault(name.lower(), name)
            if value == "":
                message = f"{node.path} has no effect: an empty value neither adds nor replaces anything"
                findings.warning(node.location, message, "remove takes a header away" if operation == "set" else "")
            elif authorities is None and name.lower() == _SERVER:
                message = f"{node.path} has no effect: the gateway writes {name!r} after these operations"
                findings.warning(place, message)
            elif authorities is not None and name.lower() in _STEERING:
                message = f"{node.path} has no effect but that the endpoint gets it: Envoy's router would obey it"
                findings.warning(place, message, _STEERING[name.lower()])
            elif operation == "set" and earlier != name and parent is not None:
                message = f"{node.path} takes the place of {earlier!r}: names of headers are equal in any case"
                findings.warning(place, message, f"see {parent.key_location(earlier)}")
    return tuple(found)


def _check_authority(value: str, node: Node, findings: Findings) -> None:
    if "%" in value:
        findings.warning(node.location, f"{node.path}: an authority is taken as it is, '%' and all")


def _value(node: Node, findings: Findings) -> str:
    text = node.string()
    if _CONTROL.search(text):
        node.fail(f"{node.path} may not have control characters")
    if "%" not in text:
        return text
    try:
        found = [piece for piece in parse(text) if isinstance(piece, Operator)]
    except ValueError as error:
        node.fail(f"{node.path} {error}", "write %% for a percent sign")
    unknown = dict.fromkeys(operator.name for operator in found if operator.name not in IN_HEADERS)
    for name in list(unknown)[:_MOST_REPORTED]:
        message = f"{node.path}: %{name[:40]}% is no operator that is known here"
        findings.warning(
            node.location, message, suggest(name, IN_HEADERS) or "Envoy refuses what it does not know, too"
        )
    if any(operator.length is not None for operator in found):
        message = f"{node.path}: Istio refuses a length behind the arguments of an operator"
        findings.warning(node.location, message)
    return text


def _is_usable(name: str, location: Location, findings: Findings) -> bool:
    """False for a name that would break the head of the message; Istio passes it on to Envoy."""
    if is_token(name):
        return True
    findings.warning(location, f"{name!r} can be no name of a header: this operation is left out")
    return False
