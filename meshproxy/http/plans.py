"""Routes made ready for requests: everything that can be worked out once for a route is worked out here.

A route's plan is made when the route is first found. ``plain`` and ``straight`` sum up what a route does *not* ask for,
so that requests of routes that ask for nothing pay for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from meshproxy.http.deadlines import Deadline
from meshproxy.http.filters import Cors
from meshproxy.http.headeroperations import HeaderChanges, compiled_changes
from meshproxy.http.mirroring import MIRROR_SECONDS, Mirrored
from meshproxy.http.retrying import NEVER, Retrying
from meshproxy.http.rewriting import CompiledRewrite
from meshproxy.interfaces import IHashKey
from meshproxy.routes import DirectResponse, Forward, Mirror, Redirect, Route, WeightedDestination
from meshproxy.stickyweights import StickyWeights

if TYPE_CHECKING:
    from meshproxy.http.forwarding import ForwardedRequest
    from meshproxy.http.tries import RetriedRequest


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Choice:
    """A destination. ``plain``: its requests and responses go on as they are, without a time limit."""

    __slots__ = ("changes", "cluster", "edits", "plain", "rewrite")

    def __init__(self, destination: WeightedDestination, plain: bool) -> None:
        self.cluster = destination.cluster
        self.changes: HeaderChanges | None = compiled_changes(destination.request_headers, of_request=True)
        self.edits: HeaderChanges | None = compiled_changes(destination.response_headers, of_request=False)
        self.rewrite = None if destination.rewrite is None else CompiledRewrite(destination.rewrite)
        self.plain = plain and self.changes is None and self.edits is None and self.rewrite is None


class Plan:
    """A route, ready for requests; ``route`` is that itself.

    ``only`` is the one destination; None where there are several, which ``choices`` has by what the route has.
    ``straight`` is the same, but None also where anything comes before a request is forwarded. ``sticky`` chooses by
    hash among several, and ``persistent`` tells that a session may be at one of several already. Of the
    deadlines, ``whole`` is for all tries together, ``per_try`` for each.
    """

    __slots__ = (
        "answer",
        "avoid_previous_hosts",
        "choices",
        "cors",
        "destinations",
        "edits",
        "expected_timeout",
        "fault",
        "hash_policy",
        "keeps_response",
        "keyless_status",
        "mirror_deadline",
        "mirrors",
        "name",
        "only",
        "per_try",
        "persistent",
        "retrying",
        "route",
        "sticky",
        "straight",
        "to_other_priorities",
        "whole",
    )

    def __init__(self, route: Route, plans: Plans) -> None:
        self.route = route
        # It goes into lines of logs, and into headers.
        self.name = _CONTROLS.sub("_", route.name).encode("utf-8", "replace")
        self.fault = route.fault
        self.answer: Redirect | DirectResponse | None = None
        self.edits: HeaderChanges | None = None
        self.cors: Cors | None = None
        self.only: Choice | None = None
        action = route.action
        if isinstance(action, Forward):
            self._forward(action, plans)
        else:
            self.answer = action
            self.edits = compiled_changes(route.response_headers, of_request=False)
        self.straight = self.only if self.fault is None and self.cors is None else None

    def _forward(self, forward: Forward, plans: Plans) -> None:
        self.destinations: Sequence[WeightedDestination] = forward.destinations
        self.hash_policy: Sequence[IHashKey] = forward.hash_policy
        self.keyless_status = forward.keyless_status
        several = len(forward.destinations) > 1
        self.sticky = StickyWeights(forward.destinations) if several and forward.sticky else None
        self.persistent = several and forward.persistent
        self.cors = None if forward.cors is None else Cors(forward.cors)
        self.mirrors: Sequence[Mirror] = forward.mirrors
        self.mirror_deadline = plans.mirror_deadline(forward.timeout or MIRROR_SECONDS)
        policy = forward.retries
        self.retrying = None if policy is None or policy.attempts <= 0 else Retrying(policy)
        self.avoid_previous_hosts = self.retrying is not None and self.retrying.avoid_previous_hosts
        self.to_other_priorities = policy is not None and policy.remote_localities
        per_try = None if policy is None else policy.per_try_timeout
        if per_try and forward.timeout and per_try >= forward.timeout:
            per_try = None  # the other one is always first
        self.whole = None if not forward.timeout else plans.whole_deadline(forward.timeout)
        self.per_try = None if not per_try else plans.try_deadline(per_try)
        expected = per_try or forward.timeout
        self.expected_timeout = b"%d" % round(expected * 1000) if expected else b""
        by_status = self.retrying is not None and self.retrying.from_status != NEVER
        self.keeps_response = plans.keeps_response
        plain = not expected and not self.mirrors and not by_status and not self.keeps_response
        self.choices = {destination: Choice(destination, plain) for destination in forward.destinations}
        if len(forward.destinations) == 1:
            self.only = self.choices[forward.destinations[0]]


class Plans(dict[Route, Plan]):
    """The plans of the present routes, each made when it is first asked for. ``clock`` provides ``IReactorTime``.

    ``keeps_response``: exchanges keep the header fields of their responses.
    """

    def __init__(self, clock: Any, keeps_response: bool = False) -> None:
        super().__init__()
        self._clock = clock
        self.keeps_response = keeps_response
        self._whole: dict[float, Deadline[ForwardedRequest]] = {}
        self._per_try: dict[float, Deadline[RetriedRequest]] = {}
        self._mirrors: dict[float, Deadline[Mirrored]] = {}

    def __missing__(self, route: Route) -> Plan:
        plan = self[route] = Plan(route, self)
        return plan

    def whole_deadline(self, seconds: float) -> Deadline[ForwardedRequest]:
        """The line of exchanges that have so long for all their tries."""
        if seconds not in self._whole:
            self._whole[seconds] = Deadline(self._clock, seconds, lambda exchange: exchange.timed_out())
        return self._whole[seconds]

    def try_deadline(self, seconds: float) -> Deadline[RetriedRequest]:
        """The line of exchanges that have so long for each try."""
        if seconds not in self._per_try:
            self._per_try[seconds] = Deadline(self._clock, seconds, lambda exchange: exchange.try_timed_out())
        return self._per_try[seconds]

    def mirror_deadline(self, seconds: float) -> Deadline[Mirrored]:
        """The line of copies whose mirrors have so long to answer."""
        if seconds not in self._mirrors:
            self._mirrors[seconds] = Deadline(self._clock, seconds, lambda copy: copy.timed_out())
        return self._mirrors[seconds]
