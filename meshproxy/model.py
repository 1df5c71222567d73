"""The compiled configuration: immutable values, no behaviour beyond naming themselves.

Rules: everything here is frozen; run-time state (active requests, connections, phases) lives in ``upstream`` and is
keyed by the names and addresses found here, so it outlives a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from meshproxy.errors import Diagnostic, Location
from meshproxy.limits import Limits
from meshproxy.policies import ConnectionPool, Drain, HealthCheck, OutlierDetection, Persistence, Warmup
from meshproxy.routes import Route

if TYPE_CHECKING:  # interfaces.py names Endpoint; only annotations here need it back
    from meshproxy.interfaces import ILoadBalancer, ILoadBalancerBuilder

# Source: Istio's built-in formats of access logs.
ISTIO_TEXT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
ISTIO_JSON_FORMAT: Mapping[str, object] = {
    "authority": "%REQ(:AUTHORITY)%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "duration": "%DURATION%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "response_code": "%RESPONSE_CODE%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "response_flags": "%RESPONSE_FLAGS%",
    "route_name": "%ROUTE_NAME%",
    "start_time": "%START_TIME%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "user_agent": "%REQ(USER-AGENT)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
}

UNIX_MARKS = ("/", "@")
"""What the address of a UNIX socket begins with, and no other."""


@frozen(cache_hash=True)
class Endpoint:
    """An address that serves a cluster.

    ``address`` is an IP in canonical text (IPv6 without brackets), or the path of a UNIX socket, or ``@name`` of an
    abstract one, both with port 0. ``labels`` are sorted pairs, ``weight`` is at least 1, ``locality`` is
    ``region/zone/subzone`` or empty. ``hostname`` is the name behind the address where there is one. ``hash_key`` is
    what a policy has rings and sessions know it by instead of ``key``.
    """

    address: str
    port: int
    weight: int = 1
    labels: tuple[tuple[str, str], ...] = ()
    locality: str = ""
    hostname: str = field(default="", eq=False)
    hash_key: str = ""

    @property
    def identity(self) -> str:
        """What the endpoint has its place on a ring or in a table by."""
        return self.hash_key or self.key

    @property
    def key(self) -> str:
        """What identifies the endpoint in run-time state.

        ``ip:port``, IPv6 as ``[ip]:port``; of a UNIX socket its path or name.
        """
        if self.address.startswith(UNIX_MARKS):
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@frozen(eq=False)
class Cluster:
    """The endpoints of one service, port and subset with the policy for reaching them.

    ``name`` is Envoy's ``outbound|PORT|SUBSET|HOST``. ``balancer`` was built by ``builder`` for ``endpoints``.
    Times are seconds.

    ``targets``, if there are any, are endpoints whose addresses may be host names. At run time they are looked up again
    and again, and ``endpoints`` and ``balancer`` are replaced by what comes of it; a snapshot itself has none.
    ``logical``: there is one target, and the first address it has is the only endpoint.

    ``outliers``: endpoints that fail are ejected. ``warmup``: new ones get their share little by little.
    ``health_check``: they are asked whether they are healthy. ``pool``: how many connections and requests there may be,
    and how long a connection is used. ``persistence``: sessions stay at their endpoints. ``draining`` are addresses
    whose endpoints get no other requests than those of the sessions that they have; ``balancer`` was built without
    them.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    builder: ILoadBalancerBuilder
    balancer: ILoadBalancer
    connect_timeout: float = 10.0
    targets: tuple[Endpoint, ...] = ()
    logical: bool = False
    outliers: OutlierDetection | None = None
    warmup: Warmup | None = None
    pool: ConnectionPool = field(factory=ConnectionPool)
    health_check: HealthCheck | None = None
    persistence: Persistence | None = None
    draining: tuple[Drain, ...] = ()


def drained(endpoints: Iterable[Endpoint], draining: Sequence[Drain]) -> dict[Endpoint, float]:
    """Those of some endpoints that drain, and until when (a Unix time) they keep their sessions."""
    found: dict[Endpoint, float] = {}
    for endpoint in endpoints if draining else ():
        times = [it.until for it in draining if it.covers(endpoint.address, endpoint.port)]
        if times:
            found[endpoint] = min(times)
    return found


def taking(endpoints: tuple[Endpoint, ...], draining: Sequence[Drain]) -> tuple[Endpoint, ...]:
    """Those of some endpoints that take new sessions."""
    leaving = drained(endpoints, draining)
    return tuple(it for it in endpoints if it not in leaving) if leaving else endpoints


class RoutedRequest(Protocol):
    """What routes look at, before anything of the request is changed.

    ``path`` has the query, ``route_path`` has not; both are normalized. ``scheme`` is the trusted one.
    """

    method: bytes
    scheme: bytes
    authority: bytes
    path: bytes
    route_path: bytes

    def header_values(self, name: bytes) -> Sequence[bytes]:
        """As ``interfaces.IRequest.header_values``."""


class RouteFinder(Protocol):
    """The route table of a listener (``routing.RouteTable``)."""

    def find(self, request: RoutedRequest) -> Route | None:
        """The route for a request; None: answer 404."""


@frozen(eq=False)
class Listener:
    """An address to listen on. ``bind`` is empty where the configuration leaves it to the process.

    ``port`` is the number in the configuration; the process may map it to another one.
    """

    bind: str
    port: int
    routes: RouteFinder
    location: Location | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What tells listeners of one snapshot apart and finds the same one in the next."""
        return (self.bind, self.port)


@frozen
class PolicyOrigin:
    """Where a cluster's load balancer comes from.

    ``strategy`` is its name. ``source`` is the object and its level in words, empty where nobody said anything and the
    default holds; ``location`` is then None, and so is ``named_at``, where the strategy itself is named.
    """

    strategy: str
    source: str = ""
    location: Location | None = None
    named_at: Location | None = None


@frozen
class UpgradeSettings:
    """Which protocols a connection may switch to, in lower case, and then for how many seconds it may be silent.

    None: for ever.
    """

    protocols: frozenset[bytes] = frozenset({b"websocket"})
    idle_timeout: float | None = None


@frozen(eq=False)
class MeshSettings:
    """What Istio keeps in MeshConfig, from a ``Mesh`` document. None: not said there.

    ``path_normalization`` is a name that ``paths`` knows. ``access_log_format`` is a text with operators
    (``operators``), or what a JSON object consists of: its texts have operators. ``accept_http10``: HTTP/1.0 is served.
    ``tracing``: exchanges have spans. ``explain_headers``: a response tells how it came about if its request asks.
    """

    access_log_file: str | None = None
    trusted_proxies: int = 0
    path_normalization: str = "BASE"
    access_log_format: str | Mapping[str, object] = ISTIO_TEXT_FORMAT
    upgrades: UpgradeSettings = field(factory=UpgradeSettings)
    accept_http10: bool = False
    limits: Limits = field(factory=Limits)
    tracing: bool = False
    explain_headers: bool = False


@frozen(eq=False)
class Snapshot:
    """One immutable compiled configuration.

    ``digest`` is that of the files it was read from; ``warnings`` are what the load found, none of them an error;
    ``documents`` is how many there were in the files; ``origins`` tells of clusters by their names.
    """

    listeners: tuple[Listener, ...]
    clusters: Mapping[str, Cluster]
    mesh: MeshSettings = field(factory=MeshSettings)
    digest: str = ""
    warnings: tuple[Diagnostic, ...] = ()
    documents: int = 0
    origins: Mapping[str, PolicyOrigin] = field(factory=dict)


@frozen
class ProxyIdentity:
    """Who this gateway is: compared with ``Gateway.spec.selector``, ``exportTo`` and the like.

    ``locality`` is ``region/zone/subzone``, empty where nobody said it.
    """

    namespace: str = "istio-system"
    labels: frozenset[tuple[str, str]] = frozenset({("istio", "ingressgateway"), ("app", "istio-ingressgateway")})
    cluster_domain: str = "cluster.local"
    locality: str = ""
