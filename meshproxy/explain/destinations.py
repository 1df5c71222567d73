"""What happens to a request at one destination of its route: keys, hash, place in the table, endpoint, retries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice, takewhile
from math import inf
from typing import TYPE_CHECKING

from attrs import evolve

from meshproxy import selection
from meshproxy.availability import Health
from meshproxy.explain.texts import place, text
from meshproxy.explain.values import Candidate, Destination, FoundKey, HeaderChange, Policy, PriorityLoad
from meshproxy.http.headeroperations import Field
from meshproxy.http.sessions import destination_of_session, endpoint_of_try
from meshproxy.interfaces import ILoadBalancer, ILocatesHash, IShowsKey
from meshproxy.model import Endpoint
from meshproxy.routes import Forward, HeaderOperations, WeightedDestination
from meshproxy.upstream.describing import look

if TYPE_CHECKING:
    from meshproxy.explain.asked import AskedRequest
    from meshproxy.http.gateway import Gateway
    from meshproxy.http.plans import Plan
    from meshproxy.upstream.hosts import ClusterState

_MOST_CANDIDATES = 1000


def explain_destination(
    gateway: Gateway,
    request: AskedRequest,
    plan: Plan,
    forward: Forward,
    destination: WeightedDestination,
    percent: float,
) -> Destination:
    """What a request comes to that goes to ``destination``, one of ``forward``'s, of which ``plan`` is made."""
    choice = plan.choices[destination]
    changed = request
    if not choice.plain:
        changed = request.changed(choice.changes, choice.rewrite, plan.expected_timeout)
    explained = Destination(
        destination.cluster,
        percent,
        request_changes=tuple(changes(request.fields, changed.fields)),
        response_changes=tuple(_operations(destination.response_headers)),
    )
    state = gateway.upstreams.clusters.get(destination.cluster)
    if state is None:
        return evolve(explained, why="there is no such cluster: 503, flag NC")
    snapshot = gateway.snapshot
    origin = None if snapshot is None else snapshot.origins.get(destination.cluster)
    if origin is not None:
        explained = evolve(explained, policy=Policy(origin.strategy, origin.source, place(origin.location)))
    try:
        return _chosen(changed, plan, forward, state, explained)
    except Exception as error:  # noqa: BLE001 - a strategy that fails here fails on requests too
        return evolve(explained, why=f"the strategy failed: {type(error).__name__}: {error}; 500")


def tied_destination(gateway: Gateway, request: AskedRequest, plan: Plan) -> tuple[WeightedDestination | None, str]:
    """The one of several destinations that a request's session is tied to, and by what; None where it is drawn."""
    if plan.only is not None or (plan.sticky is None and not plan.persistent):
        return None, ""
    try:
        tied, _ = destination_of_session(plan, gateway.upstreams.clusters, request)
        key_hash, cookies = selection.evaluate(plan.hash_policy, request)
    except Exception:  # noqa: BLE001 - told where the endpoint is chosen
        return None, ""
    state = None if tied is None else gateway.upstreams.clusters.get(tied.cluster)
    if state is not None and plan.persistent and state.session_host(request.header_values(b"cookie")) is not None:
        return tied, "the session's cookie names an endpoint of this destination"
    if tied is None or key_hash is None:
        return None, "sticky weights: no hash key was found in the request" if plan.sticky is not None else ""
    if cookies:
        # Its value is that of the addresses that were made up here.
        return None, "sticky weights: the client gets a cookie that ties it to one of these"
    return tied, f"sticky weights: the hash {key_hash:016x} wins this destination"


def _session(request: AskedRequest, state: ClusterState) -> tuple[Endpoint | None, str]:
    """The endpoint that a session's cookie names, and what it says in words."""
    if state.sessions is None:
        return None, ""
    name = state.sessions.policy.cookie.name
    endpoint = state.session_host(request.header_values(b"cookie"))
    if endpoint is None:
        return None, f"no cookie {name} that is good: the client gets one for the endpoint it comes to"
    return endpoint, f"the cookie {name} names {endpoint.key}"


def _chosen(
    request: AskedRequest, plan: Plan, forward: Forward, state: ClusterState, explained: Destination
) -> Destination:
    balancer = state.balancer
    key_hash = None
    keys: tuple[FoundKey, ...] = ()
    if balancer.uses_hash and plan.hash_policy:
        key_hash, _ = selection.evaluate(plan.hash_policy, request)
        keys = tuple(_keys(forward, request))
    kept, session = _session(request, state)
    explained = evolve(explained, keys=keys, session=session)
    if not state.cluster.endpoints:
        found_later = " that is known yet: names are looked up while serving" if state.cluster.targets else ""
        return evolve(explained, why=f"the cluster has no endpoint{found_later}; 503, flag UH")
    if keys and key_hash is None and forward.keyless_status is not None:
        return evolve(explained, why=f"no hash key was found in the request; {forward.keyless_status}")
    why = _why_drawn(balancer, keys)
    if kept is not None:
        tries = [kept] if key_hash is None or why else _tries(state, plan, key_hash, kept)
        explained = _with_candidates(explained, request, state)
        return evolve(explained, endpoint=kept.key, retries=tuple(endpoint.key for endpoint in tries[1:]))
    if next(iter(balancer.candidates(0)), None) is None:
        explained = _with_candidates(explained, request, state)
        return evolve(explained, why="no endpoint may be chosen now; 503, flag UH")
    if key_hash is None or why:
        explained = _with_candidates(explained, request, state)
        return evolve(explained, drawn=True, why=why, candidates=tuple(sorted(explained.candidates, key=_by_priority)))
    locates = ILocatesHash(balancer, None)
    tries = _tries(state, plan, key_hash)
    return evolve(
        _with_candidates(explained, request, state, key_hash),
        hash=f"{key_hash:016x}",
        at={} if locates is None else dict(locates.locate(key_hash)),
        endpoint=tries[0].key if tries else None,
        retries=tuple(endpoint.key for endpoint in tries[1:]),
        why="" if tries else "the hash comes to a priority without endpoints; 503, flag UH",
    )


def _by_priority(candidate: Candidate) -> float:
    """Those that get requests first."""
    return inf if candidate.priority is None else candidate.priority


def _why_drawn(balancer: ILoadBalancer, keys: Sequence[FoundKey]) -> str:
    """Why the request alone does not tell the endpoint; empty where it does."""
    if not balancer.uses_hash:
        return "this strategy looks at no request"
    if not keys:
        return "the route has no hash key"
    if any(key.set_cookie is not None for key in keys):
        return "the client gets a cookie, whose value is made of the addresses of its connection"
    if all(key.hash is None for key in keys):
        return "no hash key was found in the request"
    return ""


def _tries(state: ClusterState, plan: Plan, key_hash: int, kept: Endpoint | None = None) -> list[Endpoint]:
    """The endpoints of the first try, which is at ``kept`` if that is there, and of each retry if all before failed."""
    attempts = 0 if plan.retrying is None else plan.retrying.attempts
    tried = [] if kept is None else [kept]
    while len(tried) <= attempts:
        endpoint = endpoint_of_try(state, plan, state.balancer, key_hash, tried)
        if endpoint is None:
            break
        tried.append(endpoint)
    return tried


def _keys(forward: Forward, request: AskedRequest) -> Iterable[FoundKey]:
    looked_at = selection.looked_at(forward.hash_policy, request)
    for number, (key, origin) in enumerate(zip(forward.hash_policy, forward.key_origins, strict=True)):
        evaluated = looked_at[number] if number < len(looked_at) else None
        found = FoundKey(origin.name, place(origin.location), skipped=number >= len(looked_at))
        if evaluated is None:
            yield found
        elif evaluated.set_cookie is not None:
            # Its value is that of the addresses that were made up here.
            yield evolve(found, set_cookie=text(evaluated.set_cookie).partition("=")[0])
        else:
            shows = IShowsKey(key, None)
            shown = None if shows is None else shows.key_text(request)
            yield evolve(found, value=None if shown is None else text(shown), hash=f"{evaluated.hash:016x}")


def _order(state: ClusterState, key_hash: int) -> list[Endpoint]:
    """The endpoints in the order in which a hash comes to them; those that are passed over stay at their places.

    These are told by the balancer that serves while all endpoints are healthy. What it does not know comes last.
    """
    order = dict.fromkeys(islice(state.balancer.candidates(key_hash), _MOST_CANDIDATES))
    usual: Iterable[Endpoint] = ()
    if state.balancer is not state.cluster.balancer:
        usual = islice(state.cluster.balancer.candidates(key_hash), _MOST_CANDIDATES)
    passed_over = takewhile(lambda endpoint: endpoint not in order, usual)
    return list(dict.fromkeys([*passed_over, *order, *state.cluster.endpoints]))


def _with_candidates(
    explained: Destination, request: AskedRequest, state: ClusterState, key_hash: int | None = None
) -> Destination:
    """With the endpoints in the order of a hash and their states, and with what each priority gets."""
    if request.brief:
        return explained
    endpoints = state.cluster.endpoints if key_hash is None else _order(state, key_hash)
    loads, statuses = look(state)
    status_of = dict(zip(state.hosts, statuses, strict=True))
    candidates = []
    for endpoint in endpoints[:_MOST_CANDIDATES]:
        status = status_of.get(endpoint)
        if status is not None:  # else it has just gone, and the balancer that knew it is about to
            reason = status.reason if status.health is Health.UNHEALTHY else ""
            found = Candidate(endpoint.key, status.health.value, endpoint.locality, reason, status.priority)
            candidates.append(found)
    each = zip(loads.healthy, loads.degraded, loads.panic, strict=True)
    return evolve(explained, candidates=tuple(candidates), priorities=tuple(PriorityLoad(*it) for it in each))


def changes(before: Iterable[Field], after: Iterable[Field]) -> Iterable[HeaderChange]:
    """The fields that differ, in the order in which they come; lines of one name are taken together."""
    old, new = _by_name(before), _by_name(after)
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield HeaderChange(text(name), old.get(name), new.get(name))


def _by_name(fields: Iterable[Field]) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for name, value in fields:
        found[name] = f"{found[name]}, {text(value)}" if name in found else text(value)
    return found


def _operations(levels: Iterable[HeaderOperations]) -> Iterable[str]:
    for level in levels:
        yield from (f"remove {text(name)}" for name in level.remove)
        yield from (f"set {text(name)}: {value}" for name, value in level.set)
        yield from (f"add {text(name)}: {value}" for name, value in level.add)
