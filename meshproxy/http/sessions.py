"""Where the session of a request is already: its destination by sticky weights, its endpoint by a cookie.

The cookie names the endpoint that the client's answer comes from: a session whose endpoint is gone or ejected, or whose
request had to go elsewhere, gets a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meshproxy import selection
from meshproxy.http.tries import RetriedRequest
from meshproxy.interfaces import ILoadBalancer, IRequest
from meshproxy.model import Endpoint
from meshproxy.routes import WeightedDestination

if TYPE_CHECKING:
    from meshproxy.http.plans import Plan
    from meshproxy.upstream.hosts import ClusterState


class SessionRequest(RetriedRequest):
    """See the head of this module. ``cookies`` are the ``Set-Cookie`` values for the client."""

    __slots__ = ()

    cookies: Sequence[bytes] = ()
    _session_cookie: bytes | None = None  # that of ``cookies`` which names the endpoint

    def _choose(self, balancer: ILoadBalancer, key_hash: int) -> Endpoint | None:
        """An endpoint where more than the hash counts: the session, earlier tries, the load."""
        state, tried = self.cluster_state, self._tried or ()
        if state.sessions is not None and not tried:
            endpoint = state.session_host(self.header_values(b"cookie"))
            if endpoint is not None:
                return endpoint
        endpoint = endpoint_of_try(state, self.plan, balancer, key_hash, tried)
        if state.sessions is not None and endpoint is not None:
            cookie = state.session_cookie(endpoint)
            others = [it for it in self.cookies if it is not self._session_cookie]
            self._session_cookie = cookie
            self.cookies = others if cookie is None else [*others, cookie]
        return endpoint


def endpoint_of_try(
    state: ClusterState, plan: Plan, balancer: ILoadBalancer, key_hash: int, tried: Sequence[Endpoint]
) -> Endpoint | None:
    """The endpoint of a try that no session's cookie decides; ``tried`` are those of the tries before it."""
    if tried and plan.to_other_priorities:
        balancer = selection.after(tried, balancer)
    avoided = tried if plan.avoid_previous_hosts or state.sessions is not None else ()
    return selection.choose(balancer, key_hash, avoided, active=state.active)


def destination_of_session(
    plan: Plan, clusters: Mapping[str, ClusterState], request: IRequest
) -> tuple[WeightedDestination | None, Sequence[bytes]]:
    """The one of several destinations that a request's session is tied to, None where weights alone decide.

    Also the cookies that the client has to get for it; none where the endpoint is chosen by hash, which sees to them.
    """
    found: WeightedDestination | None = None
    cookies: Sequence[bytes] = ()
    if plan.sticky is not None:
        key_hash, cookies = selection.evaluate(plan.hash_policy, request)
        found = None if key_hash is None else plan.sticky.choose(key_hash)
    lines = request.header_values(b"cookie") if plan.persistent else ()
    if lines:
        # An endpoint may be in the clusters of several destinations; then it is no reason to leave the first one.
        for destination in plan.destinations if found is None else (found, *plan.destinations):
            state = clusters.get(destination.cluster)
            if state is not None and state.session_host(lines) is not None:
                found = destination
                break
    state = None if found is None else clusters.get(found.cluster)
    return found, () if state is None or state.balancer.uses_hash else cookies
