"""Destination rules, or parts of them, that no request comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import frozen

from meshproxy.config.balancing import Balancing
from meshproxy.config.destination_rule import DestinationRule, Policy
from meshproxy.config.diagnostics import suggest
from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.findings import Findings
from meshproxy.config.labelled import Labelled
from meshproxy.config.names import HostSet, is_visible
from meshproxy.config.rules import ROOT_NAMESPACE, MergedRule, warn_of_lost_parts
from meshproxy.config.services import Service
from meshproxy.errors import Location

_BLOCKS = {
    "balancing": "loadBalancer",
    "connection_pool": "connectionPool",
    "outliers": "outlierDetection",
    "retry_budget": "retryBudget",
}
_HINT = "it is used where the destination of a VirtualService that this gateway serves leads there"


@frozen(eq=False)
class _Applied:
    """A merged rule, the services that it applies to, and the ports and subsets of them that routes lead to."""

    merged: MergedRule
    services: list[Service]
    used: set[tuple[int, str]]


def warn_of_destination_rules(compiled: Compiled, findings: Findings) -> None:
    """Report rules for unknown hosts, rules that lose to others, and what no route leads to."""
    if compiled.objects.broken & {"Service", "ServiceEntry"}:
        return
    hosts = HostSet(compiled.services.hosts)
    applied = _applied(compiled)
    by_rule: dict[DestinationRule, list[_Applied]] = {}
    for it in applied:
        for rule in it.merged.rules:
            by_rule.setdefault(rule, []).append(it)
    # Only as long as it is certain which routes there are.
    routed = bool(compiled.tables) and not compiled.objects.broken & {"Gateway", "VirtualService"}
    alone = _Alone(compiled.objects.destination_rules)
    for rule in compiled.objects.destination_rules:
        if rule.metadata in compiled.faulty:
            continue
        covered = hosts.first_within(rule.host)
        if covered is None:
            message = f"there is no service {rule.host}, so this rule has no effect"
            findings.warning(rule.location, message, suggest(rule.host, compiled.services.hosts), "IST0174")
        elif rule not in by_rule:
            _warn_of_loser(rule, covered, compiled, findings)
        elif routed:
            _warn_of_unused(rule, by_rule[rule], alone, findings)
    for it in applied:
        if len(it.merged.rules) > 1:
            warn_of_lost_parts(it.merged, findings)
        if routed:
            _warn_of_empty_subsets(it, findings)
            if not compiled.faulty.intersection(rule.metadata for rule in it.merged.rules):
                _warn_of_replaced_blocks(it, findings)


def _applied(compiled: Compiled) -> list[_Applied]:
    found: dict[int, _Applied] = {}
    for host in compiled.services.hosts:
        for service in compiled.services.all(host):
            merged = compiled.rules.find(service.host, service.namespace)
            if merged is not None:
                it = found.setdefault(id(merged), _Applied(merged, [], set()))
                it.services.append(service)
                it.used.update(compiled.used_of(service))
    return list(found.values())


def _warn_of_loser(rule: DestinationRule, host: str, compiled: Compiled, findings: Findings) -> None:
    """``host`` is one that the rule covers."""
    namespace = compiled.identity.namespace
    services = compiled.services.all(host)
    winner = next(filter(None, (compiled.rules.find(host, service.namespace) for service in services)), None)
    first = next((found for it in services for found in compiled.rules.looked_at(host, it.namespace)), None)
    if rule.selector is not None and not rule.selector.items() <= dict(compiled.identity.labels).items():
        hint = "its workloadSelector asks for labels that this proxy does not have"
    elif winner is not None:
        best = winner.rules[0]
        hint = f"{best.metadata} applies to {winner.host} here, see {best.metadata.location}"
    elif not is_visible(rule.export_to, namespace):
        hint = f"its exportTo hides it from namespace {namespace}"
    elif first is not None and rule.metadata.namespace in (
        namespace,
        ROOT_NAMESPACE,
        *(it.namespace for it in services),
    ):
        hint = f"{first.metadata} is looked at before it for {host}, though it does not apply, see {first.location}"
    else:
        hint = "it is neither in the namespace of the service, of this proxy, nor in the root namespace"
    findings.warning(rule.location, f"{rule.metadata} has no effect", hint)


class _Alone:
    """Tells the rules without which no other one would apply to their hosts."""

    def __init__(self, rules: Sequence[DestinationRule]) -> None:
        self._counts = Counter(rule.host for rule in rules)
        self._hosts = HostSet(self._counts)

    def has(self, rule: DestinationRule) -> bool:
        """True only where that is certain."""
        return "*" not in rule.host and self._counts[rule.host] == 1 and self._hosts.narrowest(rule.host) is None


def _warn_of_unused(rule: DestinationRule, applied: list[_Applied], alone: _Alone, findings: Findings) -> None:
    used = {found for it in applied for found in it.used}
    if not used:
        message = f"{rule.metadata} has no effect here: no route leads to {rule.host}"
        findings.warning(rule.location, message, _HINT)
        return
    used_ports, used_subsets = {port for port, _ in used}, {subset for _, subset in used}
    if rule.policy is None and rule.subsets and used_subsets == {""} and alone.has(rule):
        message = f"{rule.metadata} has no effect here: no route leads to a subset of {rule.host}"
        findings.warning(rule.location, message, "a destination has to say subset: NAME")
        return
    for it in rule.subsets:
        if it.policy is not None and it.name not in used_subsets:
            message = f"the trafficPolicy of subset {it.name!r} has no effect here: no route leads to the subset"
            findings.warning(it.location, message, f"a destination has to say subset: {it.name}")
    for number, subset, location in _ports(rule):
        if number not in used_ports or (subset in used_subsets and (number, subset) not in used):
            exists = any(number in service.ports for found in applied for service in found.services)
            what = f"port {number} of subset {subset}" if number in used_ports else f"port {number}"
            there = f"no route leads to {what}" if exists else f"{rule.host} has no port {number}"
            message = f"these portLevelSettings have no effect here: {there}"
            findings.warning(location, message, f"routes lead to {', '.join(map(str, sorted(used_ports)))}")


def _warn_of_empty_subsets(applied: _Applied, findings: Findings) -> None:
    """Those that no route leads to; the others are looked at where their clusters are made."""
    used = {subset for _, subset in applied.used}
    unused = [it for it in applied.merged.subsets.values() if it.name not in used and it.labels]
    if not used or not unused:
        return
    ports = ((service, port) for service in applied.services for port in service.ports)
    found = {it.labels for service, port in ports for it in service.endpoints(port, findings)}
    labelled = Labelled(list(found), iter)
    for subset in unused if found else ():
        if not labelled.has_any(subset.labels):
            text = ", ".join(f"{key}={value}" for key, value in sorted(subset.labels.items()))
            findings.warning(subset.location, f"no endpoint has the labels {text} of this subset", code="IST0173")


def _warn_of_replaced_blocks(applied: _Applied, findings: Findings) -> None:
    """Blocks in the place of which narrower ones come at each port and subset that routes lead to."""
    merged = applied.merged
    if not (merged.policy is not None and merged.policy.ports) and all(
        subset.policy is None for subset in merged.subsets.values()
    ):
        return  # nearly all: there is nothing narrower
    numbers = {number for service in applied.services for number in service.ports}
    used = [(port, merged.subsets.get(name)) for port, name in sorted(applied.used) if port in numbers]
    policies: dict[int, Policy] = {}
    at_ports: dict[int, Policy] = {}
    for port, subset in used:
        for policy in (merged.policy, None if subset is None else subset.policy):
            if policy is not None:
                policies[id(policy)] = policy
                narrower = policy.ports.get(port)
                if narrower is not None:
                    at_ports[id(narrower)] = narrower
    effective = [merged.effective(port, subset) for port, subset in used]
    holding = {name: {id(getattr(it, name)) for it in effective} for name in _BLOCKS}
    for level in (*policies.values(), *at_ports.values()):
        lost = [
            name
            for attribute, name in _BLOCKS.items()
            if (block := getattr(level, attribute)) is not None
            and id(block) not in holding[attribute]
            and not (isinstance(block, Balancing) and block.consistent)  # sessions that it costs are told
        ]
        if lost and level.location is not None:
            verb = "have" if len(lost) > 1 else "has"
            message = (
                f"{' and '.join(lost)} {verb} no effect here: at each port and subset that routes lead to,"
                " narrower settings take the place of these"
            )
            hint = "settings for a port replace all that the levels above say"
            findings.warning(level.location, message, hint if at_ports else "")


def _ports(rule: DestinationRule) -> Iterator[tuple[int, str, Location]]:
    """The ports that have settings of their own: number, name of the subset or "" where it is for all, and place."""
    policies = [("", rule.policy), *((subset.name, subset.policy) for subset in rule.subsets)]
    for name, policy in policies:
        if policy is not None:
            for number, port_policy in policy.ports.items():
                yield number, name, port_policy.location or rule.location
