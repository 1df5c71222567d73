"""Priorities and panic: which priority of endpoints a request goes to.

Rules: pure integer arithmetic on counts of hosts, percent throughout. Hosts that are neither healthy nor degraded
(failed a check, were ejected) count in ``total`` alone. Source: ``load_balancer_impl.cc`` of Envoy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from attrs import evolve, frozen

from meshproxy.model import Endpoint

PANIC_THRESHOLD = 50
OVERPROVISIONING = 140
TRIES_PER_PRIORITY = 2
"""What Istio asks for with ``retryRemoteLocalities``."""


class Level(NamedTuple):
    """The hosts of one priority, counted."""

    healthy: int
    degraded: int
    total: int


@frozen
class Loads:
    """What each priority gets, in percent, and whether it is in panic: then all its hosts are used.

    ``healthy`` and ``degraded`` together add up to 100.
    """

    healthy: tuple[int, ...]
    degraded: tuple[int, ...]
    panic: tuple[bool, ...]

    def choose(self, hash: int) -> tuple[int, bool]:
        """The priority for a hash (or random number), and whether its degraded hosts are meant."""
        left = hash % 100 + 1
        for degraded, loads in ((False, self.healthy), (True, self.degraded)):
            for priority, load in enumerate(loads):
                left -= load
                if left <= 0:
                    return priority, degraded
        raise AssertionError("unreachable: the loads add up to 100")


def spread(
    levels: Sequence[Level], threshold: int = PANIC_THRESHOLD, overprovisioning: int = OVERPROVISIONING
) -> Loads:
    """The loads of priorities (at least one), for a panic threshold and an overprovisioning factor in percent."""
    health = [_availability(level.healthy, level.total, overprovisioning) for level in levels]
    degraded_health = [_availability(level.degraded, level.total, overprovisioning) for level in levels]
    norm = min(100, sum(health) + sum(degraded_health))
    healthy, degraded = _share_out(health, degraded_health, norm)
    panic = [norm != 100 and _available_percent(level) < min(threshold, 100) for level in levels]
    if all(panic):
        healthy, degraded = _by_size(levels), [0] * len(levels)
    return Loads(tuple(healthy), tuple(degraded), tuple(panic))


def _availability(hosts: int, total: int, overprovisioning: int) -> int:
    return min(100, overprovisioning * hosts // total) if total else 0


def _available_percent(level: Level) -> float:
    # Two quotients, not one: the sum's rounding decides at the threshold.
    return 100.0 * level.healthy / level.total + 100.0 * level.degraded / level.total if level.total else 0.0


def _share_out(health: Sequence[int], degraded_health: Sequence[int], norm: int) -> tuple[list[int], list[int]]:
    loads = [0] * (2 * len(health))
    both = [*health, *degraded_health]
    if norm == 0:
        loads[0] = 100
    else:
        left = 100
        for at, available in enumerate(both):
            loads[at] = min(left, available * 100 // norm)
            left -= loads[at]
        loads[next(at for at, available in enumerate(both) if available)] += left
    return loads[: len(health)], loads[len(health) :]


def _by_size(levels: Sequence[Level]) -> list[int]:
    total = sum(level.total for level in levels)
    if total == 0:
        return [100] + [0] * (len(levels) - 1)
    loads = [100 * level.total // total for level in levels]
    loads[next(at for at, level in enumerate(levels) if level.total)] += 100 - sum(loads)
    return loads


def loads_after(
    tried: Sequence[Endpoint],
    levels: Sequence[Level],
    usual: Loads,
    priority_of: Callable[[Endpoint], int | None],
    frequency: int = TRIES_PER_PRIORITY,
) -> Loads:
    """The loads for a retry that prefers priorities which no try before it has used.

    ``tried`` are the endpoints of those tries, in order; with every ``frequency`` of them, their priorities are left
    out. When none is left that has an endpoint, all are there again. Source: ``previous_priorities.cc`` of Envoy.
    """
    loads = usual
    counted: list[Endpoint] = []
    left_out: set[int] = set()
    for endpoint in tried:
        counted.append(endpoint)
        if len(counted) < frequency:
            loads = usual
        elif len(counted) % frequency == 0:
            left_out.update(number for it in counted if (number := priority_of(it)) is not None)
            adjusted = _without(left_out, levels, usual)
            if adjusted is None:
                left_out.clear()
                counted.clear()
                adjusted = _without(left_out, levels, usual)
            loads = adjusted or usual
    return loads


def _without(left_out: Collection[int], levels: Sequence[Level], usual: Loads) -> Loads | None:
    """The loads without some priorities; None if nothing is available then."""
    kept = [Level(0, 0, 0) if number in left_out else level for number, level in enumerate(levels)]
    available = [
        *[_availability(level.healthy, level.total, OVERPROVISIONING) for level in kept],
        *[_availability(level.degraded, level.total, OVERPROVISIONING) for level in kept],
    ]
    total = min(100, sum(available))
    if not total:
        return None
    loads = [0] * len(available)
    left = 100
    while left:  # what rounding leaves goes round once more
        for at, share in enumerate(available):
            more = min(left, share * 100 // total)
            loads[at] += more
            left -= more
    return evolve(usual, healthy=tuple(loads[: len(levels)]), degraded=tuple(loads[len(levels) :]))
