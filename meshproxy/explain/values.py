"""An explanation as values, ready for JSON and read back from it: texts, numbers, lists of them.

Rules: texts from the wire are decoded for people (what is no UTF-8 is escaped); a ``place`` is ``file:line:column``, or
empty where nobody wrote it down; hashes are hexadecimal. The names here are those of the JSON, which are a promise to
scripts: ``docs/explain.md`` describes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import repeat
from types import UnionType
from typing import Any, get_args, get_origin

import attrs
from attrs import asdict, field, frozen

VERSION = 1


@frozen
class SeenRequest:
    """The request as routes see it. ``path`` is normalized and has the query. ``client`` is the trusted address."""

    method: str
    scheme: str
    authority: str
    path: str
    client: str
    normalized: bool = False


@frozen
class SeenListener:
    """A listener of the configuration; ``bind`` is empty where the command line decides."""

    bind: str
    port: int
    place: str


@frozen
class TriedRoute:
    """A route in its order of precedence, from 1, and which of its conditions hold."""

    number: int
    name: str
    place: str
    held: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def matches(self) -> bool:
        """Whether all conditions hold."""
        return not self.failed


@frozen
class Answer:
    """What the gateway answers by itself. ``flags`` and ``details`` are those of the access log."""

    status: int
    details: str
    flags: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    reason: str = ""


@frozen
class FaultShare:
    """A fault that hits a share (percent) of the requests."""

    what: str
    percent: float


@frozen
class FoundKey:
    """A hash key, what it found in the request, and the hash of that; both None where it found nothing.

    ``set_cookie`` names the cookie that the client gets with the response, so that its next request has the key.
    ``skipped``: a key before it was terminal.
    """

    name: str
    place: str
    value: str | None = None
    hash: str | None = None
    set_cookie: str | None = None
    skipped: bool = False


@frozen
class Candidate:
    """An endpoint in the order in which the strategy comes to it.

    ``state`` is a value of ``Health``, and ``reason`` why it came into that, as far as that is known. ``priority`` is
    None for one that gets no requests because of its locality, or because it drains.
    """

    address: str
    state: str = "healthy"
    locality: str = ""
    reason: str = ""
    priority: int | None = 0


@frozen
class PriorityLoad:
    """What share of a cluster's requests (percent) a priority gets; ``panic``: its unhealthy endpoints get some too."""

    healthy_load: int
    degraded_load: int
    panic: bool


@frozen
class HeaderChange:
    """A field that is another one afterwards. None: it is not there before, or not there afterwards."""

    name: str
    before: str | None
    after: str | None


@frozen
class Policy:
    """Where a cluster's way of choosing endpoints comes from. ``source`` is empty for the default."""

    strategy: str
    source: str
    place: str


@frozen
class Destination:
    """One destination of a route, and what would happen there.

    ``percent`` of the route's requests go there. ``endpoint`` is None where none can be told; ``why`` says it.
    ``drawn``: it does not follow from the request, and is one of the candidates. ``at`` is where in the strategy's
    table the hash falls. ``candidates`` before the endpoint were skipped for their state. ``retries`` are the endpoints
    of further tries, if those before them failed. ``session`` tells what the cookie of a persistent session says; empty
    where there is no persistence. ``priorities`` are those of the cluster, from 0.
    """

    cluster: str
    percent: float
    policy: Policy | None = None
    keys: tuple[FoundKey, ...] = ()
    hash: str | None = None
    at: Mapping[str, Any] = field(factory=dict)
    endpoint: str | None = None
    drawn: bool = False
    why: str = ""
    candidates: tuple[Candidate, ...] = ()
    retries: tuple[str, ...] = ()
    request_changes: tuple[HeaderChange, ...] = ()
    response_changes: tuple[str, ...] = ()
    session: str = ""
    priorities: tuple[PriorityLoad, ...] = ()


@frozen
class Forwarding:
    """How a route forwards. Times in seconds; None: no limit. ``tied``: why weights alone do not decide; else empty."""

    destinations: tuple[Destination, ...]
    timeout: float | None = None
    attempts: int = 0
    retry_on: tuple[str, ...] = ()
    per_try_timeout: float | None = None
    mirrors: tuple[tuple[str, float], ...] = ()
    cors: str = ""
    tied: str = ""


@frozen
class Explanation:
    """Why a request goes where it goes. Either ``answer`` or ``forward`` is there.

    ``virtual_host_by``: "exact", "wildcard", "any" or, where there is none, "none". ``routes`` are those that were
    tried, the last of which matches if any does; ``routes_left`` were not looked at. ``live``: it comes from a gateway
    that serves, so states of endpoints are those of that moment.
    """

    request: SeenRequest
    listener: SeenListener | None = None
    virtual_host: str = ""
    virtual_host_by: str = "none"
    hint: str = ""
    routes: tuple[TriedRoute, ...] = ()
    routes_left: int = 0
    faults: tuple[FaultShare, ...] = ()
    answer: Answer | None = None
    forward: Forwarding | None = None
    live: bool = False

    def as_json(self) -> dict[str, Any]:
        """The explanation as JSON-like values."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, told: Any) -> Explanation:
        """What ``as_json`` made, perhaps of another release with the same version; raises ``ValueError`` for others."""
        if not isinstance(told, dict) or told.get("version") != VERSION:
            raise ValueError(f"this is no explanation of version {VERSION}")
        try:
            made: Explanation = _made(cls, told)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no explanation: {type(error).__name__}: {error}") from None
        return made


def _made(kind: Any, told: Any) -> Any:
    """A value of an annotated type from what JSON has for it; keys that the type does not know are left out."""
    if attrs.has(kind):
        known = attrs.fields_dict(attrs.resolve_types(kind))
        return kind(**{name: _made(known[name].type, value) for name, value in told.items() if name in known})
    parts = get_args(kind)
    if get_origin(kind) is UnionType:
        return None if told is None else _made(parts[0], told)
    if get_origin(kind) is tuple:
        kinds = repeat(parts[0]) if parts[-1] is Ellipsis else parts
        return tuple(_made(part, value) for part, value in zip(kinds, told, strict=False))
    return told
