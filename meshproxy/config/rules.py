"""Which DestinationRule applies to a service, and what its levels come to for one port and subset.

Source: Istio's order of lookup, its merging of rules for one host, and its levels of traffic policy. The hash key of a
route is found in another way than the load balancer of a cluster, which shows where a destination names no port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import define, field

from meshproxy.config.balancing import Balancing
from meshproxy.config.destination_rule import DestinationRule, Policy, Subset
from meshproxy.config.findings import Findings
from meshproxy.config.names import HostSet, is_visible
from meshproxy.config.selectors import selects
from meshproxy.model import ProxyIdentity

ROOT_NAMESPACE = "istio-system"


@define(eq=False)
class MergedRule:
    """The rules of one namespace for one host that count as one; ``rules`` are those it consists of, oldest first.

    ``selector``: only for proxies with these labels; None: for all. ``hashes``: some level has a ``consistentHash``.
    """

    host: str
    export_to: frozenset[str]
    policy: Policy | None
    subsets: dict[str, Subset]
    selector: Mapping[str, str] | None = None
    rules: list[DestinationRule] = field(factory=list)
    hashes: bool = False

    def add(self, rule: DestinationRule) -> None:
        """Take over what is not there yet."""
        self.policy = self.policy or rule.policy
        for subset in rule.subsets:
            self.subsets.setdefault(subset.name, subset)
        self.rules.append(rule)
        self.hashes = self.hashes or _hashes(rule)

    def effective(self, port: int, subset: Subset | None) -> Policy:
        """The blocks that hold for a cluster; a block that is None has its default."""
        levels = [policy for _, policy in self._levels(port, subset)]
        # A port of a subset replaces all that the levels above say, but for a retry budget, which no port has.
        above = [policy for _, policy in self._levels(port, None)]
        return Policy(
            next((it.balancing for it in levels if it.balancing is not None), None),
            next((it.connection_pool for it in levels if it.connection_pool is not None), None),
            outliers=next((it.outliers for it in levels if it.outliers is not None), None),
            retry_budget=next((it.retry_budget for it in [*levels, *above] if it.retry_budget is not None), None),
        )

    def balancing_level(self, port: int, subset: Subset | None) -> str:
        """The level that a cluster's load balancer comes from, in words; empty for the default."""
        return next((words for words, policy in self._levels(port, subset) if policy.balancing is not None), "")

    def _levels(self, port: int, subset: Subset | None) -> list[tuple[str, Policy]]:
        """What counts for a cluster, in words and the narrowest first; of each block the first one holds."""
        levels = []
        if subset is not None and subset.policy is not None:
            own = subset.policy
            if port in own.ports:
                return [(f"port {port} of subset {subset.name}", own.ports[port])]
            levels.append((f"subset {subset.name}", own))
        if self.policy is not None:
            at_port = self.policy.ports.get(port)
            levels.append(("trafficPolicy", self.policy) if at_port is None else (f"port {port}", at_port))
        return levels

    def consistent(self, port: int | None, subset: Subset | None) -> Balancing | None:
        """The ``consistentHash`` that gives a route its hash key. ``port``: what the destination names, if it does."""
        for policy in (None if subset is None else subset.policy, self.policy):
            if policy is not None:
                levels = [policy.ports.get(port) if port is not None else None, policy]
                for level in levels:
                    if level is not None and level.balancing is not None and level.balancing.consistent:
                        return level.balancing
        return None


def _hashes(rule: DestinationRule) -> bool:
    levels = [policy for policy in (rule.policy, *(it.policy for it in rule.subsets)) if policy is not None]
    blocks = [it.balancing for level in levels for it in (level, *level.ports.values())]
    return any(block is not None and block.consistent for block in blocks)


_Audience = tuple[frozenset[str], frozenset[tuple[str, str]] | None]
"""Who sees a rule: its ``exportTo``, and the labels that a proxy has to have."""


class _Index:
    """The rules of one namespace by host, for rules that pass a test."""

    def __init__(self, rules: Iterable[DestinationRule]) -> None:
        self._by_host: dict[str, list[DestinationRule]] = {}
        # Those for some proxies first; the order is that of age otherwise.
        for rule in sorted(rules, key=lambda rule: rule.selector is None):
            self._by_host.setdefault(rule.host, []).append(rule)
        self._hosts = HostSet(self._by_host)

    def best(self, host: str) -> Sequence[DestinationRule]:
        """The rules of the most specific host that covers ``host``."""
        exact = self._by_host.get(host)
        if exact is not None:
            return exact
        pattern = self._hosts.narrowest(host)
        return () if pattern is None else self._by_host[pattern]


class Rules:
    """All destination rules, oldest first."""

    def __init__(self, rules: Iterable[DestinationRule], identity: ProxyIdentity) -> None:
        self._proxy = identity.namespace
        self._labels = dict(identity.labels)
        by_namespace: dict[str, list[DestinationRule]] = {}
        for rule in rules:
            by_namespace.setdefault(rule.metadata.namespace, []).append(rule)
        in_root = self._proxy == ROOT_NAMESPACE
        usable: Callable[[DestinationRule], bool] = is_private if in_root else self._is_seen
        self._own = _Index(filter(usable, by_namespace.get(self._proxy, ())))
        self._exported = {
            namespace: _Index(rule for rule in owned if not is_private(rule))
            for namespace, owned in by_namespace.items()
        }
        self._known: dict[tuple[str, str], MergedRule | None] = {}
        self._merged: dict[DestinationRule, MergedRule] = {}

    def find(self, host: str, namespace: str) -> MergedRule | None:
        """The rule for a service with this host in this namespace."""
        key = (host, namespace)
        if key not in self._known:
            self._known[key] = self._find(host, namespace)
        return self._known[key]

    def looked_at(self, host: str, namespace: str) -> Sequence[DestinationRule]:
        """The rules that are looked at first for a service, by their hosts alone: whether they hold is another matter.

        Where none of them does, hardly another one can: at most one of another namespace.
        """
        return self._own.best(host) or self._exported_by(namespace, host) or self._exported_by(ROOT_NAMESPACE, host)

    def _exported_by(self, namespace: str, host: str) -> Sequence[DestinationRule]:
        """The exported rules of a namespace for the most specific host that covers one."""
        index = self._exported.get(namespace)
        return () if index is None else index.best(host)

    def _find(self, host: str, namespace: str) -> MergedRule | None:
        own = self._own.best(host)
        if own:
            return self._merge(own, self._chosen(own))
        for owner in (namespace, ROOT_NAMESPACE):
            # The host is chosen first and its visibility looked at afterwards.
            seen = [rule for rule in self._exported_by(owner, host) if self._is_seen(rule)]
            if seen:
                return self._merge(seen, _last_audience(seen))
        return None

    def _chosen(self, rules: Sequence[DestinationRule]) -> _Audience | None:
        """The first one that selects this proxy, else the last one for all proxies."""
        for rule in rules:
            if rule.selector is not None and selects(rule.selector, self._labels):
                return _audience(rule)
        return _last_audience([rule for rule in rules if rule.selector is None])

    def _merge(self, rules: Sequence[DestinationRule], audience: _Audience | None) -> MergedRule | None:
        """What the rules for an audience come to.

        A rule for more namespaces than these would be added to them too, but then there is an audience behind this one:
        its own.
        """
        first = next((rule for rule in rules if _audience(rule) == audience), None)
        if first is None:
            return None
        if first not in self._merged:
            merged = self._merged[first] = MergedRule(first.host, first.export_to, None, {}, first.selector)
            for rule in rules:
                if _audience(rule) == audience:
                    merged.add(rule)
        return self._merged[first]

    def _is_seen(self, rule: DestinationRule) -> bool:
        return is_visible(rule.export_to, self._proxy)


def _audience(rule: DestinationRule) -> _Audience:
    return rule.export_to, None if rule.selector is None else frozenset(rule.selector.items())


def _last_audience(rules: Iterable[DestinationRule]) -> _Audience | None:
    """The one that comes up last for the first time."""
    return next(reversed(dict.fromkeys(map(_audience, rules))), None)


def is_private(rule: DestinationRule) -> bool:
    """Whether only its own namespace sees a rule."""
    return rule.selector is not None or rule.export_to == {rule.metadata.namespace}


def warn_of_lost_parts(rule: MergedRule, findings: Findings) -> None:
    """Report what rules for the same host lose when they are merged."""
    subsets: dict[str, Subset] = {}
    policy: DestinationRule | None = None
    for part in rule.rules:
        for subset in part.subsets:
            first = subsets.setdefault(subset.name, subset)
            if first is not subset:
                message = f"subset {subset.name!r} has no effect: an older rule for {rule.host} has one of that name"
                findings.warning(subset.location, message, f"see {first.location}")
        if part.policy is not None:
            if policy is None:
                policy = part
            else:
                message = f"this trafficPolicy has no effect: {policy.metadata} has one for {rule.host} and is older"
                findings.warning(part.location, message, f"see {policy.location}")
