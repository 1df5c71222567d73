"""``localityLbSetting``: what the places of endpoints mean for a proxy that has a place itself.

Source: Istio. ``distribute`` shares requests among localities; otherwise localities make priorities, which count once
endpoints can be found unhealthy: that is, where there is ``outlierDetection``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from attrs import frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.errors import Location, Severity
from meshproxy.localities import ANY, TOPOLOGY, matches, parts
from meshproxy.model import Endpoint, ProxyIdentity
from meshproxy.policies import Localities

_LARGEST_SHARE = 2**32 - 1


@frozen
class Distribution:
    """For proxies in ``origin``: which part of the requests, in percent, goes to which localities. All are patterns."""

    origin: str
    shares: tuple[tuple[str, int], ...]


@frozen(eq=False)
class LocalitySetting:
    """The block and where it stands. Where it is not ``enabled``, localities do not count."""

    location: Location
    enabled: bool = True
    distribute: tuple[Distribution, ...] = ()
    failover: tuple[tuple[str, str], ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def weighted(self) -> bool:
        """Whether balancers may have to share requests among localities."""
        return self.enabled and bool(self.distribute or self.failover or self.labels)


def localities(setting: LocalitySetting | None, proxy: ProxyIdentity, ejecting: bool) -> Localities:
    """What a setting comes to, or what holds without one. ``ejecting``: endpoints can be found unhealthy."""
    if setting is not None and not setting.enabled:
        return Localities()
    if setting is not None and setting.distribute:
        found = next((entry.shares for entry in setting.distribute if matches(proxy.locality, entry.origin)), None)
        return Localities(proxy.locality, weighted=True, shares=found)
    if not ejecting:
        return Localities()
    if setting is None:
        return Localities(proxy.locality, by_distance=True)
    return Localities(
        proxy.locality,
        weighted=setting.weighted,
        by_distance=bool(setting.failover) or not setting.labels,
        failover=setting.failover,
        labels=setting.labels,
        origin_labels=proxy.labels,
    )


def warn_of_no_effect(setting: LocalitySetting, proxy: ProxyIdentity, findings: Findings) -> None:
    """Report entries none of which is for the place of the proxy."""
    if not setting.enabled:
        return
    hint = "" if proxy.locality else "--proxy-locality says it"
    place = proxy.locality or "unknown"
    if setting.distribute:
        if not any(matches(proxy.locality, entry.origin) for entry in setting.distribute):
            message = f"no entry of distribute is for the locality of this proxy, which is {place}"
            findings.warning(setting.location, message, hint)
    elif setting.failover:
        region = parts(proxy.locality)[0]
        if not any(origin == region for origin, _ in setting.failover):
            message = f"no entry of failover is from the region of this proxy, whose locality is {place}"
            findings.warning(setting.location, message, hint)


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
    failover = tuple(_failover(entry, findings) for entry in fields.items("failover"))
    labels = checks.strings(fields, "failoverPriority")
    for label, child in labels:
        if label in TOPOLOGY and fields.items("failover"):
            findings.error(child.location, f"{child.path} may not be {label} beside failover")
    if enabled is False:
        for name in ("distribute", "failover", "failoverPriority"):
            if fields.items(name):
                findings.warning(node.key_location(name), f"{fields.path_of(name)} has no effect: enabled is false")
    elif not ejecting:
        for name in ("failover", "failoverPriority"):
            if fields.items(name):
                message = f"{fields.path_of(name)} has no effect without outlierDetection beside it"
                findings.warning(node.key_location(name), message, code="IST0133")
    if any(it.severity is Severity.ERROR for it in findings.diagnostics[known:]):
        return None
    names = tuple(label for label, _ in labels)
    return LocalitySetting(node.location, enabled is not False, tuple(distribute), failover, names)


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
    # The first pattern of those parts, of that region and zone, of that region.
    seen: dict[tuple[str, ...], int] = {}
    for place, pattern in enumerate(patterns):
        if ANY in pattern[:-1]:
            return f"{pattern!r} may have '*' only at its end"
        if "" in pattern.split("/", 2):
            return f"{pattern!r} has an empty part"
        region, zone, subzone = parts(pattern)
        wider = product({ANY, region}, {ANY, "", zone}, {ANY, "", subzone})
        # A wildcard after what is narrower stands for the rest.
        narrower = (
            [] if ANY in pattern else [(region,) if not zone else (region, zone) if not subzone else parts(pattern)]
        )
        earlier = min((seen[key] for key in (*wider, *narrower) if key in seen), default=None)
        if earlier is not None:
            return f"{pattern!r} overlaps with {patterns[earlier]!r} before it"
        for key in ((region, zone, subzone), (region, zone), (region,)):
            seen.setdefault(key, place)
    return ""


def _failover(node: Node, findings: Findings) -> tuple[str, str]:
    fields = Fields(node, findings, ("from", "to"))
    origin, target = fields.string("from"), fields.string("to")
    if origin == target:
        findings.error(node.location, f"{node.path} must be from one region to another")
    for name, region in (("from", origin), ("to", target)):
        if "/" in region or ANY in region:
            findings.error(fields.location_of(name), f"{fields.path_of(name)} must be a region, not {region!r}")
    return origin, target


def warn_of_left_out(
    setting: LocalitySetting,
    endpoints: Sequence[Endpoint],
    used: Sequence[Endpoint],
    service: str,
    findings: Findings,
) -> None:
    """Report the localities of a service's endpoints that are not used."""
    lost = sorted({endpoint.locality for endpoint in endpoints} - {endpoint.locality for endpoint in used})
    if lost:
        names = ", ".join(name or "no locality" for name in lost)
        message = f"endpoints of {service} in {names} get no requests, since distribute does not name it"
        findings.warning(setting.location, message)
