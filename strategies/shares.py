"""Shares of hosts on a ring or in a table, from weights.

Rules: a share is a double between 0 and 1, computed in exactly this order of operations, for the result's last bit
moves entries. Source: ``thread_aware_lb_impl.cc`` of Envoy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from meshproxy.model import Endpoint

_Host = TypeVar("_Host")


def flat(hosts: Sequence[tuple[_Host, int]]) -> list[tuple[_Host, float]]:
    """Hosts with their weights (at least 1) to hosts with their shares, in the same order."""
    total = sum(weight for _, weight in hosts)
    return [(host, weight * 1.0 / total) for host, weight in hosts]


def by_locality(localities: Sequence[tuple[float, Sequence[tuple[_Host, int]]]]) -> list[tuple[_Host, float]]:
    """Localities as pairs of their weight and hosts with weights to hosts with shares, locality by locality.

    The hosts of a locality of weight 0 are left out.
    """
    total = sum(locality_weight for locality_weight, _ in localities)
    shares = []
    for locality_weight, hosts in localities:
        if locality_weight:
            locality_share = locality_weight / total
            weights = sum(weight for _, weight in hosts)
            shares += [(host, weight * locality_share / weights) for host, weight in hosts]
    return shares


def of_localities(localities: Sequence[tuple[float, Sequence[Endpoint]]]) -> list[tuple[Endpoint, float]]:
    """Endpoints with their shares, by the weight of their locality first and their own within it."""
    return by_locality(
        [(weight, [(endpoint, endpoint.weight) for endpoint in endpoints]) for weight, endpoints in localities]
    )


def of_endpoints(endpoints: Iterable[Endpoint]) -> list[tuple[Endpoint, float]]:
    """Endpoints with their shares by weight alone."""
    return flat([(endpoint, endpoint.weight) for endpoint in endpoints])
