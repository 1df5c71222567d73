"""The rules: which requests may fail in chaos, and why.

A request may fail only

- on the very connection of a worker that was killed;
- on a kept connection that is closed before the request has come to any endpoint, as happens when a worker drains that
  is idle for a moment: clients repeat such requests (RFC 9112, 9.3.1);
- by endpoints that fail: an answer of the gateway's own whose line in the access log has flags, or a response that its
  endpoint cut.

A session of the service that never fails never moves; one of the other service moves only if its request was tried more
than once, or one of both endpoints failed shortly before, or a health check of it did on a machine that is too busy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from attrs import define, field

from tests.chaos.clients import Ending
from tests.chaos.endpoints import ChaosEndpoint

STEADY, SHAKY = "steady", "shaky"
_LATE_SECONDS = 8.0
"""How long after an endpoint's failure health checks may take effect."""
_DRAIN_SECONDS = 10.0
"""How long after the order to drain connections may be closed for it."""
_LOG_SECONDS = 5.0
"""How long lines of the access log may wait in a worker, on a busy machine."""


@define
class Disturbances:
    """What was done to the gateway.

    ``kills`` are the times at which workers were killed, ``killed`` the ports of their clients, ``drains`` from when to
    when workers may have begun to drain. ``acts`` has all that was done and when it began.
    """

    kills: list[float] = field(factory=list)
    killed: set[int] = field(factory=set)
    drains: list[tuple[float, float]] = field(factory=list)
    acts: list[tuple[float, str]] = field(factory=list)

    def before(self, when: float) -> str:
        """The last acts before a time, for people."""
        return ", ".join(f"{what} {when - at:.2f} s before" for at, what in self.acts if 0 < when - at < _DRAIN_SECONDS)

    def counts(self) -> Counter[str]:
        """How often each was done."""
        return Counter(what for _, what in self.acts)


@define
class Verdict:
    """What was counted. ``failures`` are by their causes; the others break a rule."""

    requests: int = 0
    failures: Counter[str] = field(factory=Counter)
    corrupted: int = 0
    lost: list[Ending] = field(factory=list)
    moved: list[Ending] = field(factory=list)
    stale: list[Ending] = field(factory=list)

    @property
    def is_good(self) -> bool:
        """Whether no rule was broken, by requests that there were."""
        return self.requests > 0 and not (self.lost or self.moved or self.stale or self.corrupted)


def judge(
    endings: Iterable[Ending],
    disturbances: Disturbances,
    endpoints: Iterable[ChaosEndpoint],
    logged: Mapping[str, str],
    named: Callable[[set[str], float], bool],
) -> Verdict:
    """Count.

    ``logged`` has the flags of the access log by the identity of a request, ``named`` is ``Gateway.named``.
    """
    by_name = {it.name: it for it in endpoints}
    verdict = Verdict()
    places: dict[str, str] = {}
    for ending in endings:
        verdict.requests += 1
        verdict.corrupted += ending.corrupted
        if ending.status == 200:
            if ending.generation < ending.least:
                verdict.stale.append(ending)
            before = places.get(ending.session, ending.endpoint)
            if before != ending.endpoint and not (
                _may_move(ending, before, by_name)
                or (ending.service == SHAKY and named({before, ending.endpoint}, ending.ended))
            ):
                verdict.moved.append(ending)
            if ending.attempt == 1:
                places[ending.session] = ending.endpoint
            continue
        cause = _cause(ending, disturbances, by_name.values(), logged)
        if cause:
            verdict.failures[cause] += 1
        else:
            verdict.lost.append(ending)
    return verdict


def _may_move(ending: Ending, before: str, endpoints: Mapping[str, ChaosEndpoint]) -> bool:
    if ending.service == STEADY:
        return False
    since = ending.begun - _LATE_SECONDS
    return ending.attempt > 1 or any(
        endpoints[name].was_in_trouble(since, ending.ended) for name in (before, ending.endpoint)
    )


def _cause(
    ending: Ending, disturbances: Disturbances, endpoints: Iterable[ChaosEndpoint], logged: Mapping[str, str]
) -> str:
    """Why a request was allowed to fail; empty where it was not."""
    if ending.why == "broken connection":
        if ending.port in disturbances.killed:
            return "on the connection of a killed worker"
        seen = any(ending.identity in it.seen for it in endpoints)
        drains = any(since <= ending.ended <= until + _DRAIN_SECONDS for since, until in disturbances.drains)
        if not (ending.is_first or ending.got or seen) and drains:
            return "kept connection closed by a drain before the request had gone anywhere, repeated"
    if ending.service == STEADY:
        return ""
    since = ending.begun - _LATE_SECONDS
    if not any(it.was_in_trouble(since, ending.ended) for it in endpoints):
        return ""
    flags = logged.get(ending.identity, "")
    if not flags and any(0 <= at - ending.ended <= _LOG_SECONDS for at in disturbances.kills):
        flags = "a worker was killed before it wrote its log"
    if flags and ending.why == "broken connection" and ending.got:
        return f"cut by its endpoint, {flags}"
    if flags and ending.status in (502, 503, 504):
        return f"{ending.status} for failing endpoints, {flags}"
    return ""
