"""Where endpoints are: in which priority each one is, and what its locality weighs there. Pure.

Source: ``loadbalancer.go`` of Istio. A group is what Envoy calls the endpoints of a locality: those of one priority and
one locality, in the order of the configuration. Priorities are numbered from 0 without a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import NamedTuple

from meshproxy.model import Endpoint
from meshproxy.policies import Localities

ANY = "*"
NETWORK = "topology.istio.io/network"
TOPOLOGY = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")

# One more than the largest distance, which is that of a region where another one comes first.
_DISTANCES = 5
_OTHER_REGION, _OTHER_THAN_FAILOVER = 3, 4


class Group(NamedTuple):
    """Endpoints of one locality in one priority. ``weight`` is at least 1."""

    weight: int
    endpoints: tuple[Endpoint, ...]


def arranged(endpoints: Iterable[Endpoint], policy: Localities) -> list[list[Group]]:
    """The groups of each priority, of which there is at least one. Endpoints that get no requests are in none."""
    found: dict[tuple[str, int], list[Endpoint]] = {}
    rank = _ranking(policy)
    for endpoint in endpoints:
        found.setdefault((endpoint.locality, rank(endpoint)), []).append(endpoint)
    # The order of localities is that of the endpoints; what labels make of one follows by rank.
    order = {locality: number for number, locality in enumerate(dict.fromkeys(locality for locality, _ in found))}
    keys = sorted(found, key=lambda key: (order[key[0]], key[1]))
    localities = [locality for locality, _ in keys]
    sizes = [sum(endpoint.weight for endpoint in found[key]) for key in keys]
    weights = sizes if policy.shares is None else divided(localities, sizes, policy.shares)
    priorities = _compacted([unlikeness for _, unlikeness in keys])
    if policy.by_distance:
        both = zip(priorities, localities, strict=True)
        priorities = _compacted([priority * _DISTANCES + _distance(locality, policy) for priority, locality in both])
    groups: list[list[Group]] = [[] for _ in range(max(priorities, default=0) + 1)]
    for key, weight, priority in zip(keys, weights, priorities, strict=True):
        if weight:
            groups[priority].append(Group(weight, tuple(found[key])))
    return groups


def divided(localities: Sequence[str], sizes: Sequence[int], shares: Sequence[tuple[str, int]]) -> list[int]:
    """The weights of localities: each share is divided among those that match it and no earlier one, by their size.

    Those that no share is for weigh 0.
    """
    weights = [0] * len(localities)
    left = set(range(len(localities)))
    for pattern, percent in shares:
        claimed = [at for at in sorted(left) if matches(localities[at], pattern)]
        total = sum(sizes[at] for at in claimed)
        for at in claimed:
            weights[at] = ceil(sizes[at] * percent / total)
        left.difference_update(claimed)
    return weights


def matches(locality: str, pattern: str) -> bool:
    """Whether a pattern takes a locality; a part of the pattern that is missing takes everything."""
    region, zone, subzone = parts(locality)
    wanted_region, wanted_zone, wanted_subzone = parts(pattern)
    return wanted_region in (ANY, region) and wanted_zone in (ANY, "", zone) and wanted_subzone in (ANY, "", subzone)


def parts(locality: str) -> tuple[str, str, str]:
    """Region, zone and subzone."""
    region, _, rest = locality.partition("/")
    zone, _, subzone = rest.partition("/")
    return region, zone, subzone


def _compacted(numbers: Sequence[int]) -> list[int]:
    places = {number: place for place, number in enumerate(sorted(set(numbers)))}
    return [places[number] for number in numbers]


def _distance(locality: str, policy: Localities) -> int:
    here, there = parts(policy.origin), parts(locality)
    if here == there:
        return 0
    if here[:2] == there[:2]:
        return 1
    if here[0] == there[0]:
        return 2
    wanted = next((target for origin, target in policy.failover if origin == here[0]), None)
    return _OTHER_REGION if wanted in (None, there[0]) else _OTHER_THAN_FAILOVER


def _ranking(policy: Localities) -> Callable[[Endpoint], int]:
    """What tells how unlike the proxy an endpoint is by labels: 0 if all are equal, more the earlier they differ."""
    # A proxy without labels is like none, and then labels do not count.
    names = policy.labels if policy.origin_labels else ()
    own = _with_place(dict(policy.origin_labels), policy.origin)
    split = [name.split("=") for name in names]
    wanted = [(name, rest[0] if len(rest) == 1 else own.get(name, "")) for name, *rest in split]
    count = len(wanted)

    def rank(endpoint: Endpoint) -> int:
        labels = _with_place(dict(endpoint.labels), endpoint.locality)
        added = 0
        for at, (name, value) in enumerate(wanted):
            if labels.get(name, "") != value:
                if at == 0 and name == NETWORK:
                    added = count  # another network is further away than anything within one
                    continue
                return added + count - at
        return added

    return rank if wanted else lambda endpoint: 0


def _with_place(labels: dict[str, str], locality: str) -> Mapping[str, str]:
    """The labels, and those that Istio adds for the locality."""
    return {**labels, **{name: part for name, part in zip(TOPOLOGY, parts(locality), strict=True) if part}}
