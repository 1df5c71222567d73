"""``localityLbSetting``: shares of the requests for localities, as seen from the proxy's own.

Source: Istio. Only ``distribute`` has an effect of its own; ``failover`` and ``failoverPriority`` make priorities,
which count once endpoints can be found unhealthy.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from attrs import frozen
from zope.interface import implementer

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.errors import Location, Severity
from meshproxy.interfaces import ILoadBalancer, ILoadBalancerBuilder, IWeighsLocalities
from meshproxy.model import Endpoint

ANY = "*"
_LARGEST_SHARE = 2**32 - 1
_TOPOLOGY = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")


@frozen
class Distribution:
    """For proxies in ``origin``: which part of the requests, in percent, goes to which localities. All are patterns."""

    origin: str
    shares: tuple[tuple[str, int], ...]


@frozen(eq=False)
class LocalitySetting:
    """``distribute`` is empty where localities do not count."""

    distribute: tuple[Distribution, ...]
    location: Location

    def builder(self, builder: IWeighsLocalities, locality: str) -> DistributedBuilder:
        """What builds the balancers of a proxy in ``locality``."""
        found = next((entry.shares for entry in self.distribute if matches(locality, entry.origin)), None)
        return DistributedBuilder(builder, found)


@implementer(ILoadBalancerBuilder)
@frozen
class DistributedBuilder:
    """Shares requests among localities; ``shares`` is None where no entry is for the proxy's locality.

    Then a locality has the weight of its endpoints together.
    """

    inner: IWeighsLocalities
    shares: tuple[tuple[str, int], ...] | None

    def build(self, endpoints: Sequence[Endpoint]) -> ILoadBalancer:
        """See ``ILoadBalancerBuilder``."""
        return self.inner.build_by_locality(self.weighed(endpoints))

    def weighed(self, endpoints: Sequence[Endpoint]) -> list[tuple[int, Sequence[Endpoint]]]:
        """The localities that get requests, in the order in which they come, each with its weight."""
        localities: dict[str, list[Endpoint]] = {}
        for endpoint in endpoints:
            localities.setdefault(endpoint.locality, []).append(endpoint)
        sizes = {name: sum(endpoint.weight for endpoint in found) for name, found in localities.items()}
        weights = sizes if self.shares is None else _divided(sizes, self.shares)
        return [(weights[name], found) for name, found in localities.items() if name in weights]


def _divided(sizes: dict[str, int], shares: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Each share divided among the localities that match it and no earlier one, by their size."""
    weights: dict[str, int] = {}
    for pattern, percent in shares:
        claimed = [name for name in sizes if name not in weights and matches(name, pattern)]
        total = sum(sizes[name] for name in claimed)
        weights.update((name, ceil(sizes[name] * percent / total)) for name in claimed)
    return weights


def matches(locality: str, pattern: str) -> bool:
    """Whether a pattern takes a locality; a part of the pattern that is missing takes everything."""
    region, zone, subzone = _parts(locality)
    wanted_region, wanted_zone, wanted_subzone = _parts(pattern)
    return wanted_region in (ANY, region) and wanted_zone in (ANY, "", zone) and wanted_subzone in (ANY, "", subzone)


def _parts(locality: str) -> tuple[str, str, str]:
    region, _, rest = locality.partition("/")
    zone, _, subzone = rest.partition("/")
    return region, zone, subzone


def decode(node: Node, findings: Findings, ejecting: bool) -> LocalitySetting | None:
    """The setting; None if it is wrong. ``ejecting``: an ``outlierDetection`` stands in the same policy."""
    known = len(findings.diagnostics)
    fields = Fields(node, findings, ("enabled", "distribute", "failover", "failoverPriority"))
    enabled = fields.boolean("enabled")
    if fields.items("distribute") and fields.items("failover"):
        findings.error(node.location, f"{node.path} may have only one of distribute and failover")
        return None
    distribute = [_distribution(entry, findings) for entry in fields.items("distribute")]
    problem = overlap([entry.origin for entry in distribute])
    if problem:
        findings.error(fields.location_of("distribute"), f"{fields.path_of('distribute')}: from {problem}")
    for entry in fields.items("failover"):
        _check_failover(entry, findings)
    for label, child in checks.strings(fields, "failoverPriority"):
        if label in _TOPOLOGY and fields.items("failover"):
            findings.error(child.location, f"{child.path} may not be {label} beside failover")
    if not ejecting:
        for name in ("failover", "failoverPriority"):
            if fields.items(name):
                message = f"{fields.path_of(name)} has no effect without outlierDetection beside it"
                findings.warning(node.key_location(name), message, code="IST0133")
    if any(it.severity is Severity.ERROR for it in findings.diagnostics[known:]):
        return None
    return LocalitySetting(() if enabled is False else tuple(distribute), node.location)


def _distribution(node: Node, findings: Findings) -> Distribution:
    fields = Fields(node, findings, ("from", "to"))
    shares = []
    for pattern, child in fields.entries("to"):
        percent = findings.attempt(child.integer, 0, _LARGEST_SHARE)
        if percent is not None and not 1 <= percent <= 100:
            findings.error(child.location, f"{child.path} must be between 1 and 100, not {percent}")
            percent = None
        shares.append((pattern, percent or 0))
    if fields.read("to", lambda found: found.kind) in (None, "mapping"):
        total = sum(percent for _, percent in shares)
        if total != 100 and all(percent for _, percent in shares):
            findings.error(fields.location_of("to"), f"{fields.path_of('to')} must add up to 100, not {total}")
        problem = overlap([pattern for pattern, _ in shares])
        if problem:
            findings.error(fields.location_of("to"), f"{fields.path_of('to')}: {problem}")
    return Distribution(fields.string("from"), tuple(shares))


def overlap(patterns: Sequence[str]) -> str:
    """What is wrong with patterns that stand side by side, "" if nothing is."""
    seen: list[str] = []
    for pattern in patterns:
        if ANY in pattern[:-1]:
            return f"{pattern!r} may have '*' only at its end"
        if "" in pattern.split("/", 2):
            return f"{pattern!r} has an empty part"
        for earlier in seen:
            # A wildcard after what is narrower stands for the rest.
            if matches(pattern, earlier) or (ANY not in pattern and matches(earlier, pattern)):
                return f"{pattern!r} overlaps with {earlier!r} before it"
        seen.append(pattern)
    return ""


def _check_failover(node: Node, findings: Findings) -> None:
    fields = Fields(node, findings, ("from", "to"))
    origin, target = fields.string("from"), fields.string("to")
    if origin == target:
        findings.error(node.location, f"{node.path} must be from one region to another")
    for name, region in (("from", origin), ("to", target)):
        if "/" in region or ANY in region:
            findings.error(fields.location_of(name), f"{fields.path_of(name)} must be a region, not {region!r}")
