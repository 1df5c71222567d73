"""Slow start: the factor by which a new host's weight is reduced.

Source: ``load_balancer_impl.cc`` of Envoy (``applySlowStartFactor``).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from meshproxy.model import Endpoint
from meshproxy.policies import Warmup

Factor = Callable[[Endpoint], float]
"""By what the weight of an endpoint is multiplied now, above 0 and at most 1."""


def factor(age_ms: float, window_ms: float, aggression: float = 1.0, minimum_percent: float = 10.0) -> float:
    """The factor, at most 1, for a host that has been in service for ``age_ms`` milliseconds.

    ``aggression`` above 1 gives the host more in the first part of the window; what is no positive number counts as 1.
    """
    if age_ms >= window_ms:
        return 1.0
    if math.isnan(aggression) or aggression <= 0:
        aggression = 1.0
    elapsed: float = max(1.0, age_ms) / window_ms
    return max(math.pow(elapsed, 1.0 / aggression), minimum_percent / 100)


def factors(warmup: Warmup, age: Callable[[Endpoint], float]) -> Factor:
    """The factors of endpoints whose ages ``age`` tells, in seconds."""
    window = warmup.seconds * 1000

    def of(endpoint: Endpoint) -> float:
        return factor(age(endpoint) * 1000, window, warmup.aggression, warmup.minimum_percent)

    return of
