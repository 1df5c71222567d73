"""The clusters of one process as plain values, and those of several processes as one.

Values are what JSON has, so that a process can send its own to another one. ``docs/status.md`` says what each means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import monotonic

from attrs import asdict

from meshproxy.admin.recent import Value, add_times, told_sessions, told_times
from meshproxy.admin.shares import KnownShares
from meshproxy.admin.turns import Turns
from meshproxy.availability import Health
from meshproxy.http.gateway import Gateway
from meshproxy.model import Endpoint
from meshproxy.policies import NO_LIMIT
from meshproxy.priority import Loads
from meshproxy.upstream.describing import EndpointStatus, look
from meshproxy.upstream.hosts import ClusterState, HostState
from meshproxy.upstream.poolstate import host_pool_state

MOST_ENDPOINTS = 20_000
"""Endpoints beyond these, over all clusters, are only counted."""
MOST_TABLES = 50
"""Clusters whose tables are told."""
MAGLEV = "maglev"
"""The strategy whose table is indexed by the remainder of a hash."""

WORST_FIRST = [it.value for it in (Health.UNHEALTHY, Health.DRAINING, Health.DEGRADED, Health.HEALTHY)]
"""The states of endpoints."""
_OVERFLOWS = ("connection", "pending", "request", "retry")
_SUMMED = ("connections", "pending", "requests", "retries")
_SUMMED_OF_ENDPOINTS = ("active", "requests", "errors", "ejections", "connections", "connecting", "idle", "pending")


async def cluster_values(gateway: Gateway, shares: KnownShares, wall: float, part: str, turns: Turns) -> list[Value]:
    """The clusters with ``part`` in their names, by name. ``wall`` is the present Unix time."""
    began_at = wall - gateway.reactor.seconds()
    states = [state for name, state in sorted(gateway.upstreams.clusters.items()) if part in name]
    shares.forget(gateway.upstreams.clusters)
    origins = {} if gateway.snapshot is None else gateway.snapshot.origins
    indexed = {name for name, origin in origins.items() if origin.strategy == MAGLEV}
    await shares.find_out(states, indexed, turns)
    values, left, tables = [], MOST_ENDPOINTS, MOST_TABLES
    for state in states:
        hosts = list(state.hosts.items())
        loads, statuses = look(state)
        value = _cluster(gateway, state, loads)
        told, known = value["endpoints"], shares.of(state)
        for (endpoint, host), status in zip(hosts[:left], statuses, strict=False):
            told.append(_endpoint(endpoint, host, status, None if known is None else known.shares, began_at))
            if not len(told) % 50:
                await turns.pause()
        left -= len(told)
        value["endpoints_left_out"] = len(hosts) - len(told)
        if known is not None and tables:
            tables -= 1
            places = {endpoint["address"]: place for place, endpoint in enumerate(told)}
            value["table"] = [places.get(key) for key in known.points]
        values.append(value)
        await turns.pause()
    return values


def _cluster(gateway: Gateway, state: ClusterState, loads: Loads) -> Value:
    snapshot, breakers = gateway.snapshot, state.breakers
    origin = None if snapshot is None else snapshot.origins.get(state.name)
    _, _, subset, host = state.name.split("|", 3) if state.name.count("|") >= 3 else ("", "", "", state.name)
    limits = {name: value for name, value in asdict(state.cluster.pool).items() if name.startswith("max_")}
    each = zip(loads.healthy, loads.degraded, loads.panic, strict=True)
    return {
        "name": state.name,
        "host": host,
        "subset": subset,
        "strategy": "" if origin is None else origin.strategy,
        "strategy_from": "" if origin is None else origin.source,
        "strategy_at": None if origin is None or origin.location is None else str(origin.location),
        "limits": {name: None if value == NO_LIMIT else value for name, value in limits.items()},
        **{name: getattr(breakers, name) for name in _SUMMED},
        "overflows": {name: getattr(breakers, f"{name}_overflows") for name in _OVERFLOWS},
        "priorities": [{"healthy_load": it[0], "degraded_load": it[1], "panic": it[2]} for it in each],
        "_sessions": told_sessions(state.traffic.sessions.recent(monotonic())) if state.balancer.uses_hash else None,
        "table": None,
        "endpoints_left_out": 0,
        "endpoints": [],
    }


def _endpoint(
    endpoint: Endpoint,
    host: HostState,
    status: EndpointStatus,
    shares: Mapping[str, float] | None,
    began_at: float,
) -> Value:
    pool = host_pool_state(host)
    return {
        "address": host.key,
        "weight": endpoint.weight,
        "labels": dict(endpoint.labels),
        "locality": endpoint.locality,
        "priority": status.priority,
        "state": status.health.value,
        "reason": status.reason,
        "since": round(began_at + status.since, 3),
        "until": None if status.until is None else round(began_at + status.until, 3),
        "states": {status.health.value: 1},
        "share": None if shares is None else shares.get(host.key, 0.0),
        "ejections": status.ejections,
        "active": host.active,
        "requests": host.requests,
        "errors": host.errors,
        "connections": pool.connections,
        "connecting": pool.connecting,
        "idle": pool.idle,
        "pending": pool.pending,
        "_times": told_times(host.times.recent(monotonic())),
    }


def merged(processes: Sequence[Iterable[Value]]) -> list[Value]:
    """The clusters of several processes as one list, by name. The values that are given are changed.

    Numbers of what was counted or is under way are added. An endpoint is in the worst state that any process has it
    in, with that one's reason and times; ``states`` has the number of processes for each. Whatever comes from the
    configuration is that of the first process. ``recent.finish`` makes the rest of the values.
    """
    found: dict[str, Value] = {}
    for clusters in processes:
        for cluster in clusters:
            first = found.setdefault(cluster["name"], cluster)
            if first is not cluster:
                _add_cluster(first, cluster)
    return [found[name] for name in sorted(found)]


def _add_cluster(total: Value, cluster: Value) -> None:
    for name in _SUMMED:
        total[name] += cluster[name]
    for name, number in cluster["overflows"].items():
        total["overflows"][name] += number
    if total["_sessions"] is not None:
        total["_sessions"] += cluster["_sessions"] or ()
    endpoints = {endpoint["address"]: endpoint for endpoint in total["endpoints"]}
    for endpoint in cluster["endpoints"]:
        first = endpoints.get(endpoint["address"])
        if first is None:
            total["endpoints"].append(endpoint)
        else:
            _add_endpoint(first, endpoint)


def _add_endpoint(total: Value, endpoint: Value) -> None:
    for name in _SUMMED_OF_ENDPOINTS:
        total[name] += endpoint[name]
    add_times(total["_times"], endpoint["_times"])
    for state, number in endpoint["states"].items():
        total["states"][state] = total["states"].get(state, 0) + number
    if WORST_FIRST.index(endpoint["state"]) < WORST_FIRST.index(total["state"]):
        for name in ("state", "reason", "since", "until"):
            total[name] = endpoint[name]
