"""What a virtual service says, compiled: conditions on a request, and what is done when they hold. Values only.

Rules: everything is frozen and knows nothing of Istio's YAML or of the data path. Names of headers are lower-case
bytes; all other texts are as written. Times are seconds, shares are parts of a million.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import field, frozen

from meshproxy.errors import Location
from meshproxy.records import record

if TYPE_CHECKING:  # interfaces.py names Endpoint, model.py names this module
    from meshproxy.interfaces import IHashKey

ALWAYS = 1_000_000
"""The share of everything."""


class Comparison(Enum):
    """How a text is compared. ``PRESENT``: it only has to be there. ``REGEX`` is RE2 and takes the whole text."""

    PRESENT = "present"
    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"

    __hash__ = object.__hash__  # that of enumerations is written in Python, and takes five times as long


# For what is asked of each route of a large configuration: Python 3.11 takes ten times as long to find a member by its
# class as to find it by a name.
_PRESENT, _PREFIX, _REGEX = Comparison.PRESENT, Comparison.PREFIX, Comparison.REGEX


@record
class TextMatch:
    """A condition on a text; case-sensitive."""

    comparison: Comparison = Comparison.PRESENT
    value: str = ""


@record
class PathMatch:
    """A condition on the path without query; ``PRESENT`` takes every path. ``ignore_case`` is not for REGEX."""

    comparison: Comparison = Comparison.PRESENT
    value: str = ""
    ignore_case: bool = False

    @property
    def catch_all(self) -> bool:
        """True for what takes every path by Istio's rules: no condition, the prefix ``/`` or the regex ``.*``."""
        comparison = self.comparison
        return (
            comparison is _PRESENT
            or (comparison is _PREFIX and self.value == "/")
            or (comparison is _REGEX and self.value == ".*")
        )


@record
class HeaderMatch:
    """A condition on the values of a header.

    One matching value is enough. ``inverted``: the condition holds when no value matches; a missing header then counts
    as one empty value, unless the comparison is PRESENT. ``name`` may be ``:method``, ``:scheme``, ``:authority`` or
    ``:path`` (with query).
    """

    name: bytes
    text: TextMatch
    inverted: bool = False


@record
class QueryMatch:
    """A condition on the first occurrence of a query parameter, which is not percent-decoded."""

    name: bytes
    text: TextMatch


@record
class RouteMatch:
    """All conditions of one match block; each of them has to hold.

    ``impossible``: there is a condition that no request can meet, such as one on a claim that nobody verifies.
    """

    path: PathMatch = field(factory=PathMatch)
    method: TextMatch | None = None
    scheme: TextMatch | None = None
    authority: TextMatch | None = None
    headers: tuple[HeaderMatch, ...] = ()
    query: tuple[QueryMatch, ...] = ()
    impossible: bool = False

    def __hash__(self) -> int:
        # The path is nearly all that there is: to hash it by itself would take as long as all of this. Nothing is left
        # out, or many lists of routes could be made that differ and have the same hash.
        path = self.path
        about_path = (path.comparison, path.value, path.ignore_case)
        return hash((about_path, self.method, self.scheme, self.authority, self.headers, self.query, self.impossible))

    @property
    def only_path(self) -> bool:
        """True if nothing but the path is looked at."""
        return (
            self.method is None
            and self.scheme is None
            and self.authority is None
            and not self.headers
            and not self.query
            and not self.impossible
        )

    @property
    def catch_all(self) -> bool:
        """True for a block that is moved behind all other routes of its host."""
        return self.path.catch_all and self.only_path


@frozen
class HeaderOperations:
    """Changes of one level, in this order: all of ``remove``, then ``set``, then ``add``.

    Of two ``set`` for one name the later one counts.

    Values are templates: ``%COMMAND%`` is filled in, ``%%`` is a percent sign; one that comes out empty does nothing.
    ``authority`` is what a request's becomes after them, before the next level, as it is and without a trace.
    """

    remove: tuple[bytes, ...] = ()
    set: tuple[tuple[bytes, str], ...] = ()
    add: tuple[tuple[bytes, str], ...] = ()
    authority: str | None = None


@frozen
class Rewrite:
    """What changes in the path and authority of a forwarded request.

    At most one of: ``path`` with ``whole`` (replaces the path), ``path`` without it (replaces ``prefix_length`` bytes
    at its start, which are those that were matched), ``regex`` with ``substitution`` (all matches; ``\\1``, ``\\0``).
    ``authority`` replaces the ``Host`` header and is taken as it is, even where it comes from a header operation.
    """

    path: str | None = None
    whole: bool = False
    prefix_length: int = 0
    regex: str | None = None
    substitution: str = ""
    authority: str | None = None


@frozen
class RetryPolicy:
    """When a failed try is followed by another one; ``attempts`` is the number of further tries.

    ``conditions`` are the words of ``retryOn`` but for status codes, which are in ``statuses``. ``backoff`` is the base
    of the random delay; its limit is ten times that. ``avoid_previous_hosts``: a retry looks for an endpoint that was
    not tried yet.
    """

    attempts: int = 2
    conditions: frozenset[str] = frozenset(
        {"connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"}
    )
    statuses: frozenset[int] = frozenset()
    per_try_timeout: float | None = None
    backoff: float = 0.025
    avoid_previous_hosts: bool = True
    remote_localities: bool = False


@record(eq=False)
class WeightedDestination:
    """A share of a route's traffic. ``cluster`` names a cluster that may be missing from the snapshot: a 503.

    ``request_headers`` and ``response_headers`` hold what applies to requests of this destination, route level and
    destination level together, in the order in which it is applied.
    """

    cluster: str
    weight: int = 1
    request_headers: tuple[HeaderOperations, ...] = ()
    response_headers: tuple[HeaderOperations, ...] = ()
    rewrite: Rewrite | None = None


@frozen(eq=False)
class Mirror:
    """A copy of a share of the requests, sent to a cluster, the answer to which is thrown away."""

    cluster: str
    share: int = ALWAYS


@frozen
class CorsPolicy:
    """Who may read answers from another origin. ``None`` for a list or age that is not configured.

    A PRESENT among ``origins`` admits every one.

    ``forward_unmatched``: a preflight of another origin goes to the endpoint; else it is answered without CORS headers.
    """

    origins: tuple[TextMatch, ...] = ()
    methods: tuple[str, ...] | None = None
    headers: tuple[str, ...] | None = None
    expose: tuple[str, ...] | None = None
    max_age: int | None = None
    credentials: bool = False
    forward_unmatched: bool = True


@frozen
class KeyOrigin:
    """The field of a ``consistentHash`` that a hash key was made from: its name and its place."""

    name: str
    location: Location


@record(eq=False)
class Forward:
    """Send the request to one of the destinations.

    ``destinations`` has at least one entry; with several, each has a weight above 0 and is drawn at random by weight.
    ``key_origins`` has one entry for each of ``hash_policy``. ``keyless_status``: where a hash decides, the answer to
    requests in which no key is found; None: they go to random endpoints. ``timeout`` spans all tries; None: no limit.
    ``retries`` None: a single try.

    ``sticky``: where a hash key is found, it decides among several destinations instead of a random number.
    ``persistent``: of some destinations sessions may be at an endpoint already, which then decides.
    """

    destinations: tuple[WeightedDestination, ...]
    hash_policy: tuple[IHashKey, ...] = ()
    retries: RetryPolicy | None = field(factory=RetryPolicy)
    timeout: float | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors: CorsPolicy | None = None
    key_origins: tuple[KeyOrigin, ...] = ()
    keyless_status: int | None = None
    sticky: bool = False
    persistent: bool = False


@frozen
class Redirect:
    """Answer with another place. None: as in the request.

    ``path`` with a ``?`` replaces the query too. ``prefix_length`` not None: ``path`` replaces that many bytes at the
    start of the request's path instead of all of it. ``keep_port``: a port in the request's authority stays even if it
    is the default of the scheme that is left (Istio's ``httpsRedirect``).
    """

    status: int = 301
    scheme: str | None = None
    authority: str | None = None
    port: int | None = None
    path: str | None = None
    prefix_length: int | None = None
    keep_port: bool = False


@frozen
class DirectResponse:
    """Answer at once. ``body`` None: no body and no content headers."""

    status: int
    body: bytes | None = None


@frozen
class Fault:
    """Faults that are put on purpose into a share of the requests: a delay, an abort, or both, drawn independently.

    At most one of ``abort_status`` and ``abort_grpc_status`` is set.
    """

    delay: float | None = None
    delay_share: int = 0
    abort_status: int | None = None
    abort_grpc_status: int | None = None
    abort_share: int = 0


@record(eq=False)
class Route:
    """A condition and what to do when it holds. ``name`` is empty where the configuration gives none.

    ``response_headers`` applies to the answers of Redirect and DirectResponse; those of forwarded requests are with
    their destination.
    """

    match: RouteMatch
    action: Forward | Redirect | DirectResponse
    name: str = ""
    location: Location | None = None
    fault: Fault | None = None
    response_headers: tuple[HeaderOperations, ...] = ()


@record(eq=False)
class VirtualHost:
    """A host, exact or starting with ``*``, in lower case, and its routes in order of precedence."""

    host: str
    routes: tuple[Route, ...]
