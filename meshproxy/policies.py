"""What a DestinationRule says about the health of endpoints and about where they are, as frozen values.

Source of all defaults: what Istio makes of a rule that is silent, and Envoy of what Istio does not send.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class OutlierDetection:
    """When an endpoint that fails is ejected, and for how long. A count of 0 switches its rule off. Times are seconds.

    ``split_local_origin``: connections that fail, break or time out count apart from responses, for
    ``consecutive_local_origin_failures``; otherwise they count as responses do. ``error_statuses``, if there are any,
    are the only statuses of responses that count as failures. ``min_health_percent`` is the panic threshold.
    """

    consecutive_5xx: int = 5
    consecutive_gateway_errors: int = 0
    split_local_origin: bool = False
    consecutive_local_origin_failures: int = 5
    interval: float = 10.0
    base_ejection_time: float = 30.0
    max_ejection_percent: int = 10
    min_health_percent: int = 0
    error_statuses: frozenset[int] = frozenset()


@frozen
class Warmup:
    """How an endpoint that is new gets its share of the requests: growing over ``seconds``.

    It begins with ``minimum_percent`` of the weight. ``aggression`` above 1 gives more in the first part of the time.
    """

    seconds: float
    aggression: float = 1.0
    minimum_percent: float = 10.0


@frozen
class Localities:
    """How endpoints are told apart by place, as seen from a proxy at ``origin`` (``region/zone/subzone``).

    ``weighted``: requests are shared among the localities of a priority first, then within each. ``shares`` are
    patterns of localities with the percentage that each gets, None for weights of their own. ``by_distance``: how far
    a locality is makes its priority, where ``failover`` (pairs of regions) says which other region comes first.
    ``labels`` make priorities by how many of them, from the first one on, an endpoint shares with ``origin_labels``;
    ``NAME=VALUE`` is compared with that value.
    """

    origin: str = ""
    weighted: bool = False
    shares: tuple[tuple[str, int], ...] | None = None
    by_distance: bool = False
    failover: tuple[tuple[str, str], ...] = ()
    labels: tuple[str, ...] = ()
    origin_labels: frozenset[tuple[str, str]] = frozenset()
