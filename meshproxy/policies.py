"""What rules say about connections, sessions, the health of endpoints and where they are, as frozen values.

Source of all defaults: what Istio makes of a rule that is silent, and Envoy of what Istio does not send.
"""

from __future__ import annotations

from attrs import field, frozen


@frozen
class Keepalive:
    """When a silent TCP connection is probed; None: as the system has it. Seconds, and a number of probes."""

    time: int | None = None
    interval: int | None = None
    probes: int | None = None


@frozen
class RetryBudget:
    """How many retries may be under way at once: a share of the requests, in percent, but ``minimum`` in any case."""

    percent: float = 20.0
    minimum: int = 3


NO_LIMIT = 2**32 - 1
"""What stands for no limit, as in Envoy; nothing ever counts so far."""

IDLE_SECONDS = 3600.0
"""How long an idle connection is kept unless something else is said."""


@frozen
class ConnectionPool:
    """How many connections and requests a cluster may have at once, and how long a connection is used.

    Limits are for the cluster as a whole, but for ``max_requests_per_connection``. ``max_pending`` is for requests that
    wait for a connection. ``retry_budget`` takes the place of ``max_retries``. Times are seconds; None: never.
    """

    max_connections: int = NO_LIMIT
    max_pending: int = NO_LIMIT
    max_requests: int = NO_LIMIT
    max_retries: int = NO_LIMIT
    retry_budget: RetryBudget | None = None
    max_requests_per_connection: int = NO_LIMIT
    idle_timeout: float | None = IDLE_SECONDS
    max_connection_duration: float | None = None
    keepalive: Keepalive | None = None


@frozen
class OutlierDetection:
    """When an endpoint that fails is ejected, and for how long. A count of 0 switches its rule off. Times are seconds.

    ``split_local_origin``: connections that fail, break or time out count apart from responses, for
    ``consecutive_local_origin_failures``; otherwise they count as responses do. ``error_statuses``, if there are any,
    are the only statuses of responses that count as failures. ``min_health_percent`` is the panic threshold.
    """

    consecutive_5xx: int = 5
    consecutive_gateway_errors: int = 0
    split_local_origin: bool = False
    consecutive_local_origin_failures: int = 5
    interval: float = 10.0
    base_ejection_time: float = 30.0
    max_ejection_percent: int = 10
    min_health_percent: int = 0
    error_statuses: frozenset[int] = frozenset()


@frozen
class Warmup:
    """How an endpoint that is new gets its share of the requests: growing over ``seconds``.

    It begins with ``minimum_percent`` of the weight. ``aggression`` above 1 gives more in the first part of the time.
    """

    seconds: float
    aggression: float = 1.0
    minimum_percent: float = 10.0


@frozen
class Localities:
    """How endpoints are told apart by place, as seen from a proxy at ``origin`` (``region/zone/subzone``).

    ``weighted``: requests are shared among the localities of a priority first, then within each. ``shares`` are
    patterns of localities with the percentage that each gets, None for weights of their own. ``by_distance``: how far
    a locality is makes its priority, where ``failover`` (pairs of regions) says which other region comes first.
    ``labels`` make priorities by how many of them, from the first one on, an endpoint shares with ``origin_labels``;
    ``NAME=VALUE`` is compared with that value.
    """

    origin: str = ""
    weighted: bool = False
    shares: tuple[tuple[str, int], ...] | None = None
    by_distance: bool = False
    failover: tuple[tuple[str, str], ...] = ()
    labels: tuple[str, ...] = ()
    origin_labels: frozenset[tuple[str, str]] = frozenset()


@frozen
class SessionCookie:
    """The cookie that keeps a session at its endpoint; ``max_age`` in seconds, None: as long as the browser runs."""

    name: str
    path: str = "/"
    domain: str = ""
    max_age: int | None = None
    secure: bool = False
    http_only: bool = True
    same_site: str = ""
    partitioned: bool = False


@frozen
class Persistence:
    """Sessions stay at their endpoints by a cookie. The first of the ``secrets`` signs new ones, all are good for old.

    ``scope``: a cookie means nothing anywhere else, whoever knows the secrets.
    """

    cookie: SessionCookie
    scope: str
    secrets: tuple[bytes, ...] = field(repr=False)


FOR_EVER = float("inf")


@frozen
class Drain:
    """An address whose endpoints take no new sessions; ``port`` None: at all ports.

    Sessions that they have stay until a Unix time.
    """

    address: str
    port: int | None = None
    until: float = FOR_EVER

    def covers(self, address: str, port: int) -> bool:
        """Whether it is for the endpoint at this address and port."""
        return self.address == address and self.port in (None, port)

    @property
    def shown(self) -> str:
        """The address, and the port if there is one."""
        address = f"[{self.address}]" if ":" in self.address and self.port is not None else self.address
        return address if self.port is None else f"{address}:{self.port}"


@frozen
class HttpProbe:
    """A request that a healthy endpoint answers with a status of ``statuses``, pairs of the first and the last one."""

    path: str
    host: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    statuses: tuple[tuple[int, int], ...] = ((200, 200),)

    def expects(self, status: int) -> bool:
        """Whether that is the status of a healthy endpoint."""
        return any(first <= status <= last for first, last in self.statuses)


@frozen
class HealthCheck:
    """How it is found out whether an endpoint is healthy. Times are seconds.

    ``http`` None: a connection is all that is asked for. ``jitter``: an interval is longer by up to this part of it.
    Thresholds are numbers of outcomes in a row. ``port`` None: the endpoint's own.
    """

    http: HttpProbe | None = None
    interval: float = 5.0
    jitter: float = 0.1
    timeout: float = 1.0
    unhealthy_threshold: int = 3
    healthy_threshold: int = 2
    port: int | None = None
