"""``connectionPool`` and ``retryBudget`` of a traffic policy.

Source: what Istio makes of them for Envoy. A number that is 0 is as good as absent, which for all of these limits means
that there is none; who writes it rarely means that, so it is a warning.
"""

from __future__ import annotations

from attrs import evolve, field, frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields, not_served
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.policies import NO_LIMIT, ConnectionPool, Keepalive, RetryBudget

_LARGEST = 2**32 - 1
_LARGEST_SIGNED = 2**31 - 1
_UPGRADES = ("DEFAULT", "DO_NOT_UPGRADE", "UPGRADE")
_HTTP2 = ("maxConcurrentStreams", "http2KeepAlive")
_TCP = ("maxConnections", "connectTimeout", "tcpKeepalive", "maxConnectionDuration", "idleTimeout")
_HTTP = (
    "http1MaxPendingRequests",
    "http2MaxRequests",
    "maxRequestsPerConnection",
    "maxRetries",
    "idleTimeout",
    "h2UpgradePolicy",
    "useClientProtocol",
    *_HTTP2,
)
# What Linux takes (tcp(7)); an option beyond it would fail each connection.
_LONGEST_KEEPALIVE = 32767
_MOST_PROBES = 127


@frozen
class PoolBlock:
    """One ``connectionPool``. ``connect_timeout`` is in seconds, None where the mesh's holds."""

    pool: ConnectionPool = field(factory=ConnectionPool)
    connect_timeout: float | None = None


def decode(node: Node, findings: Findings) -> PoolBlock:
    """The block, with the defaults for what is absent or wrong."""
    fields = Fields(node, findings, ("tcp", "http"))
    if not fields and node.kind == "mapping":
        findings.error(node.location, f"{node.path} needs http or tcp")
    tcp, http = fields.get("tcp"), fields.get("http")
    pool, connect_timeout, idle = ConnectionPool(), None, None
    if tcp is not None:
        inner = Fields(tcp, findings, _TCP)
        pool, connect_timeout, idle = _with_tcp(pool, inner), inner.duration("connectTimeout"), inner.get("idleTimeout")
    if http is not None:
        inner = Fields(http, findings, _HTTP)
        pool = _with_http(pool, inner)
        if idle is not None and "idleTimeout" in inner:
            findings.warning(idle.location, f"{idle.path} has no effect beside {inner.path_of('idleTimeout')}")
    return PoolBlock(pool, connect_timeout)


def _with_tcp(pool: ConnectionPool, tcp: Fields) -> ConnectionPool:
    idle_timeout = pool.idle_timeout
    if "idleTimeout" in tcp:
        # 0s means never.
        idle_timeout = tcp.duration("idleTimeout") if tcp.read("idleTimeout", Node.duration) else None
    return evolve(
        pool,
        max_connections=_limit(tcp, "maxConnections"),
        idle_timeout=idle_timeout,
        max_connection_duration=tcp.duration("maxConnectionDuration"),
        keepalive=_keepalive(tcp),
    )


def _with_http(pool: ConnectionPool, http: Fields) -> ConnectionPool:
    _check_http2(http)
    idle_timeout = http.duration("idleTimeout")
    return evolve(
        pool,
        max_pending=_limit(http, "http1MaxPendingRequests"),
        max_requests=_limit(http, "http2MaxRequests"),
        max_retries=_limit(http, "maxRetries"),
        max_requests_per_connection=_limit(http, "maxRequestsPerConnection"),
        idle_timeout=pool.idle_timeout if idle_timeout is None else idle_timeout,
    )


def _limit(fields: Fields, name: str) -> int:
    found = fields.integer(name, 0, _LARGEST_SIGNED)
    if found == 0:
        message = f"{fields.path_of(name)} has no effect: 0 means that there is no limit"
        fields.findings.warning(fields.location_of(name), message)
    return found or NO_LIMIT


def _keepalive(tcp: Fields) -> Keepalive | None:
    node = tcp.get("tcpKeepalive")
    if node is None:
        return None
    fields = Fields(node, tcp.findings, ("probes", "time", "interval"))
    probes = fields.integer("probes", 0, _LARGEST)
    return Keepalive(
        _taken(fields, "time", fields.duration("time"), _LONGEST_KEEPALIVE),
        _taken(fields, "interval", fields.duration("interval"), _LONGEST_KEEPALIVE),
        _taken(fields, "probes", probes or None, _MOST_PROBES),
    )


def _taken(fields: Fields, name: str, wanted: float | None, most: int) -> int | None:
    """What the system takes instead: whole numbers from 1 on."""
    if wanted is None:
        return None
    taken = min(max(1, int(wanted)), most)
    if taken != wanted:
        message = f"{fields.path_of(name)} is taken as {taken}: the system wants a whole number from 1 to {most}"
        fields.findings.warning(fields.location_of(name), message)
    return taken


def _check_http2(http: Fields) -> None:
    """Endpoints are spoken to in HTTP/1.1; what asks for another version is refused."""
    findings = http.findings
    upgrade = http.read("h2UpgradePolicy", lambda found: checks.one_of(found, _UPGRADES))
    as_client = http.boolean("useClientProtocol")
    if as_client and upgrade == "UPGRADE":
        message = f"{http.node.path} may have only one of h2UpgradePolicy: UPGRADE and useClientProtocol"
        findings.error(http.node.location, message)
    if upgrade == "UPGRADE":
        not_served(findings, http.location_of("h2UpgradePolicy"), f"{http.path_of('h2UpgradePolicy')} UPGRADE")
    if as_client:
        not_served(findings, http.location_of("useClientProtocol"), http.path_of("useClientProtocol"))
    http.integer("maxConcurrentStreams", 0, _LARGEST_SIGNED)
    keep_alive = http.get("http2KeepAlive")
    if keep_alive is not None:
        inner = Fields(keep_alive, findings, ("interval", "timeout"))
        for name in ("interval", "timeout"):
            inner.required(name)
            inner.duration(name)
    for name in _HTTP2:
        if name in http:
            message = f"{http.path_of(name)} has no effect: endpoints are spoken to in HTTP/1.1"
            findings.warning(http.node.key_location(name), message)


def decode_retry_budget(node: Node, findings: Findings) -> RetryBudget:
    """A ``retryBudget``, with the defaults for what is absent or wrong."""
    fields = Fields(node, findings, ("percent", "minRetryConcurrency"), ("budgetInterval",))
    fields.read("budgetInterval", Node.duration)
    default = RetryBudget()
    percent = fields.read("percent", lambda found: found.number(0, 100))
    minimum = fields.integer("minRetryConcurrency", 0, _LARGEST)
    return RetryBudget(default.percent if percent is None else percent, minimum or default.minimum)
