"""From a request to an endpoint: which destination, which hash, which endpoint at which try.

Rules: pure. The data path and ``explain`` call the same functions; randomness and load are arguments. Source: Envoy's
hash policies, weighted clusters and host selection on retries, as Istio configures them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import ParamSpec, cast

from meshproxy.availability import Priorities
from meshproxy.hashing import BITS, mix
from meshproxy.interfaces import HashKey, IHashKey, IHasTable, ILoadBalancer, IObservesLoad, IRequest
from meshproxy.model import Endpoint
from meshproxy.priority import TRIES_PER_PRIORITY
from meshproxy.routes import WeightedDestination

_P = ParamSpec("_P")
_BREAKS_A_LINE = re.compile(rb"[\0\r\n]").search

# A retry that avoids hosts asks the balancer for attempts 0 to this one.
MOST_ATTEMPTS = 5


def tables(balancer: ILoadBalancer) -> list[IHasTable]:
    """The tables of a balancer, each of which can be built by itself."""
    if isinstance(balancer, Priorities):
        return balancer.tables()
    table = IHasTable(balancer, None)
    return [] if table is None else [table]


def build_tables(balancers: Iterable[ILoadBalancer]) -> None:
    """Have balancers build their tables, so that no request waits for one. It may take long."""
    for balancer in balancers:
        for table in tables(balancer):
            table.build_table()


def ready(build: Callable[_P, ILoadBalancer], *args: _P.args, **kwargs: _P.kwargs) -> ILoadBalancer:
    """The balancer that ``build`` makes, with its table."""
    balancer = build(*args, **kwargs)
    build_tables([balancer])
    return balancer


def choose_destination(destinations: Sequence[WeightedDestination], random64: int) -> WeightedDestination:
    """One of the destinations by weight, for an unsigned 64-bit random number. At least one weight is above 0."""
    left = random64 % sum([destination.weight for destination in destinations])
    for destination in destinations:
        left -= destination.weight
        if left < 0:
            return destination
    raise AssertionError("unreachable: the weights add up to more than the rest")


def evaluate(policy: Sequence[IHashKey], request: IRequest) -> tuple[int | None, Sequence[bytes]]:
    """The combined hash of a request's keys and the ``Set-Cookie`` values that the client has to get.

    None: no key had a hash. A terminal key ends the evaluation once there is a hash, be it from a key before it. Raises
    whatever a key raises, and ``TypeError`` or ``ValueError`` for what is no hash and for what cannot be a header.
    """
    total = None
    cookies: Sequence[bytes] = ()
    for key in policy:
        found = key.evaluate(request)
        if found is not None:
            key_hash, cookie = found
            if key_hash >> BITS:
                raise ValueError(f"{key!r} made the hash {key_hash}, which is no unsigned 64-bit number")
            total = key_hash if total is None else mix(total, key_hash)
            if cookie is not None:
                if not isinstance(cookie, bytes):
                    raise TypeError(f"{key!r} made the cookie {cookie!r}, which is not bytes")
                if _BREAKS_A_LINE(cookie):
                    raise ValueError(f"{key!r} made the cookie {cookie!r}, which would not stay one header line")
                cookies = [*cookies, cookie]
        if total is not None and key.terminal:
            break
    return total, cookies


def looked_at(policy: Sequence[IHashKey], request: IRequest) -> list[HashKey | None]:
    """What each of the keys that ``evaluate`` looks at finds in a request; those behind them are not looked at."""
    found: list[HashKey | None] = []
    for key in policy:
        found.append(key.evaluate(request))
        if key.terminal and any(it is not None for it in found):
            break
    return found


def choose(
    balancer: ILoadBalancer, hash: int, tried: Collection[Endpoint], active: Callable[[Endpoint], int]
) -> Endpoint | None:
    """The endpoint for one try of a request; None only when the balancer has none.

    ``tried``: endpoints that an earlier try of this request used and that this one avoids; empty at the first try and
    where retries do not mind. The first untried one of attempts 0 to 5 is taken, the last of them if all were tried.
    ``active``: the number of requests in flight at an endpoint.
    """
    pick = balancer.pick
    if IObservesLoad.providedBy(balancer):  # a seventh of what adapting costs
        pick_with_load = cast(IObservesLoad, balancer).pick_with_load

        def pick(hash: int, attempt: int) -> Endpoint | None:
            return pick_with_load(hash, attempt, active)

    endpoint = pick(hash, 0)
    if tried:
        for attempt in range(1, MOST_ATTEMPTS + 1):
            if endpoint is None or endpoint not in tried:
                break
            endpoint = pick(hash, attempt)
    return endpoint


def after(
    tried: Sequence[Endpoint], balancer: ILoadBalancer, tries_per_priority: int = TRIES_PER_PRIORITY
) -> ILoadBalancer:
    """The balancer for a retry that prefers priorities without tried endpoints; itself if it has but one priority."""
    return balancer.after(tried, tries_per_priority) if isinstance(balancer, Priorities) else balancer
