"""From a request to its explanation: each decision of the data path in its order.

Source: the same order as ``http.exchange``: listener, head, virtual host, route, fault, answer or destination, hash
keys, endpoint. What is random is told with its shares instead of being drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from meshproxy.conditions import explain_routes
from meshproxy.config.diagnostics import suggest
from meshproxy.explain.asked import Asked, AskedRequest, read_asked, socket_address
from meshproxy.explain.destinations import explain_destination, tied_destination
from meshproxy.explain.texts import place, text, texts
from meshproxy.explain.values import (
    Answer,
    Explanation,
    FaultShare,
    Forwarding,
    SeenListener,
    SeenRequest,
    TriedRoute,
)
from meshproxy.http import filters
from meshproxy.http.requesthead import Refused
from meshproxy.http.routeanswers import preflight_answer, route_answer
from meshproxy.model import Listener
from meshproxy.routes import ALWAYS, Fault, Forward, Redirect, Route, VirtualHost
from meshproxy.routing import RouteTable, host_of

if TYPE_CHECKING:
    from meshproxy.http.gateway import Gateway
    from meshproxy.http.plans import Plan

_ANY_ADDRESS = "0.0.0.0"
_EXACT, _WILDCARD, _ANY, _NONE = "exact", "wildcard", "any", "none"


def explain(gateway: Gateway, asked: Asked, live: bool = False, brief: bool = False) -> Explanation:
    """What ``gateway`` does with a request, and why; ``live``: it is one that serves, so its state counts.

    ``brief``: without candidates and priorities, so that it takes no longer where there are many endpoints. Raises
    ``ValueError`` where the gateway has no listener for the port that is asked about.
    """
    listener = _listener(gateway, asked)
    local = socket_address(listener.bind or _ANY_ADDRESS, listener.port)
    seen = SeenRequest(asked.method, asked.scheme, asked.authority, asked.target, asked.address)
    explanation = Explanation(seen, SeenListener(listener.bind, listener.port, place(listener.location)), live=live)
    try:
        request = read_asked(gateway, asked, local)
    except Refused as refusal:
        answer = Answer(
            refusal.status,
            text(refusal.details),
            "DPE" if refusal.body else "",
            body=text(refusal.body),
            reason="the gateway does not take this for a request that it may pass on",
        )
        return evolve(explanation, answer=answer)
    request.brief = brief
    seen = SeenRequest(
        text(request.method),
        text(request.scheme),
        text(request.authority),
        text(request.path),
        text(request.source_ip),
        normalized=text(request.path) != asked.target.partition("#")[0],
    )
    return _routed(gateway, listener, request, evolve(explanation, request=seen))


def _listener(gateway: Gateway, asked: Asked) -> Listener:
    snapshot = gateway.snapshot
    listeners = () if snapshot is None else snapshot.listeners
    port = asked.gateway_port
    found = [listener for listener in listeners if port is None or listener.port == port]
    if len(found) > 1:
        # Several addresses of one port: what is bound to all of them is the likeliest.
        found.sort(key=lambda listener: listener.bind not in ("", _ANY_ADDRESS, "::"))
        if port is None and len({listener.port for listener in found}) > 1:
            found = []
    if found:
        return found[0]
    ports = ", ".join(str(listener.port) for listener in listeners) or "none"
    what = "the URL does not name one" if port is None else f"there is none for {port}"
    raise ValueError(f"the configuration has listeners for these ports: {ports}; {what}")


def _routed(gateway: Gateway, listener: Listener, request: AskedRequest, explanation: Explanation) -> Explanation:
    table = listener.routes
    virtual_host = table.virtual_host(request.authority) if isinstance(table, RouteTable) else None
    if virtual_host is None:
        reason = f"no virtual host is for {text(host_of(request.authority))}"
        answer = Answer(404, "route_not_found", "NR", reason=reason)
        return evolve(explanation, answer=answer, hint=_near(table, request))
    explanation = evolve(explanation, virtual_host=virtual_host.host, virtual_host_by=_found_by(virtual_host))
    tried = list(explain_routes(virtual_host, request))
    routes = tuple(
        TriedRoute(number, outcome.route.name, place(outcome.route.location), outcome.held, outcome.failed)
        for number, outcome in enumerate(tried, 1)
    )
    explanation = evolve(explanation, routes=routes, routes_left=len(virtual_host.routes) - len(tried))
    if not tried or not tried[-1].matches:
        reason = "no route of this virtual host matches, and no other virtual host is looked at"
        return evolve(explanation, answer=Answer(404, "route_not_found", "NR", reason=reason))
    route = tried[-1].route
    explanation = evolve(explanation, faults=tuple(_faults(route.fault)))
    return _acted(gateway, request, route, explanation)


def _acted(gateway: Gateway, request: AskedRequest, route: Route, explanation: Explanation) -> Explanation:
    plan = gateway.plans[route]
    request.route_name = plan.name
    aborted = _sure_abort(route.fault)
    if aborted is not None:
        return evolve(explanation, answer=aborted)
    action = route.action
    if not isinstance(action, Forward):
        return evolve(explanation, answer=_own_answer(plan, request))
    cors, preflight = _cors(plan, request)
    if preflight is not None:
        return evolve(explanation, answer=preflight)
    total = sum(destination.weight for destination in action.destinations)
    policy = action.retries
    attempts = 0 if plan.retrying is None else plan.retrying.attempts
    words: tuple[str, ...] = ()
    if policy is not None and attempts:
        words = (*sorted(policy.conditions), *map(str, sorted(policy.statuses)))
    tied, why = tied_destination(gateway, request, plan)
    percents = [100.0 * (it is tied) if tied is not None else 100 * it.weight / total for it in action.destinations]
    forwarding = Forwarding(
        tuple(
            explain_destination(gateway, request, plan, action, destination, percent)
            for destination, percent in zip(action.destinations, percents, strict=True)
        ),
        action.timeout or None,
        attempts,
        words,
        (policy.per_try_timeout or None) if policy is not None and attempts else None,
        tuple((mirror.cluster, 100 * mirror.share / ALWAYS) for mirror in action.mirrors if not request.upgrading),
        cors,
        why,
    )
    return evolve(explanation, forward=forwarding)


def _own_answer(plan: Plan, request: AskedRequest) -> Answer:
    assert plan.answer is not None
    request.details = b"direct_response"
    fields, body = route_answer(plan, request)
    reason = "the route redirects" if isinstance(plan.answer, Redirect) else "the route answers directly"
    return Answer(plan.answer.status, text(request.details), "", texts(fields), text(body), reason)


def _cors(plan: Plan, request: AskedRequest) -> tuple[str, Answer | None]:
    """What CORS does to the response, and the answer to a preflight that the gateway gives itself."""
    cors, origin = plan.cors, filters.origin_of(request.header_values)
    if cors is None or not origin:
        return "", None
    admitted = cors.admits(origin)
    fields = preflight_answer(cors, origin, request)
    if fields is not None:
        reason = f"a CORS preflight of {text(origin)}, which the corsPolicy {'admits' if admitted else 'refuses'}"
        return "", Answer(200, "cors_response", "", texts(fields), "", reason)
    return f"origin {text(origin)} is {'admitted' if admitted else 'not admitted'}", None


def _faults(fault: Fault | None) -> list[FaultShare]:
    if fault is None:
        return []
    found = []
    if fault.delay:
        found.append(FaultShare(f"delay of {fault.delay:g} s", 100 * fault.delay_share / ALWAYS))
    if fault.abort_status is not None:
        found.append(FaultShare(f"abort with {fault.abort_status}", 100 * fault.abort_share / ALWAYS))
    elif fault.abort_grpc_status is not None:
        found.append(FaultShare(f"abort with gRPC status {fault.abort_grpc_status}", 100 * fault.abort_share / ALWAYS))
    return found


def _sure_abort(fault: Fault | None) -> Answer | None:
    """The answer to every request that comes to a route, if a fault aborts all of them."""
    if fault is None or fault.abort_share < ALWAYS:
        return None
    status = filters.abort_status(fault)
    if status is None:
        return None
    flags = "DI,FI" if fault.delay and fault.delay_share >= ALWAYS else "FI"
    reason = "the fault aborts all requests of this route"
    return Answer(status, "fault_filter_abort", flags, body=text(filters.ABORTED), reason=reason)


def _found_by(virtual_host: VirtualHost) -> str:
    if virtual_host.host == "*":
        return _ANY
    return _WILDCARD if virtual_host.host.startswith("*") else _EXACT


def _near(table: object, request: AskedRequest) -> str:
    if not isinstance(table, RouteTable):
        return ""
    hosts = [virtual_host.host for virtual_host in table.virtual_hosts]
    near = suggest(text(host_of(request.authority)), hosts)
    return near or (f"there are {', '.join(hosts[:5])}{', ...' if len(hosts) > 5 else ''}" if hosts else "")
