"""Backend policies, or blocks of them, that no request comes to."""

from __future__ import annotations

from meshproxy.config.backend_policy import BLOCKS, BackendPolicy
from meshproxy.config.diagnostics import suggest
from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.findings import Findings
from meshproxy.config.names import HostSet
from meshproxy.config.services import Service


def warn_of_backend_policies(compiled: Compiled, findings: Findings) -> None:
    """Report policies for unknown hosts, those that lose to others, and those that no route leads to."""
    broken = compiled.objects.broken
    if broken & {"Service", "ServiceEntry"}:
        return
    hosts = HostSet(compiled.services.hosts)
    served: dict[BackendPolicy, list[Service]] = {}
    for host in compiled.services.hosts:
        for service in compiled.services.all(host):
            for policy in compiled.backend_policies.find(service.host, service.namespace):
                served.setdefault(policy, []).append(service)
    routed = bool(compiled.tables) and not broken & {"Gateway", "VirtualService"}
    known: dict[tuple[str, str, str, int | None, str], BackendPolicy] = {}
    for policy in compiled.objects.backend_policies:
        if policy.metadata in compiled.faulty:
            continue
        if hosts.first_within(policy.host) is None:
            message = f"there is no service {policy.host}, so {policy.metadata} has no effect"
            findings.warning(policy.location, message, suggest(policy.host, compiled.services.hosts))
        elif policy not in served:
            _warn_of_loser(policy, compiled, findings)
        else:
            if routed:
                _warn_of_unused(policy, served[policy], compiled, findings)
            _warn_of_lost_blocks(policy, known, findings)


def _warn_of_loser(policy: BackendPolicy, compiled: Compiled, findings: Findings) -> None:
    hint = "it is neither in the namespace of the service, of this proxy, nor in the root namespace"
    for service in compiled.services.all(policy.host):
        winners = compiled.backend_policies.find(service.host, service.namespace)
        if winners:
            hint = f"{winners[0].metadata} applies to {service.host} here, see {winners[0].metadata.location}"
    findings.warning(policy.location, f"{policy.metadata} has no effect", hint)


def _warn_of_unused(policy: BackendPolicy, services: list[Service], compiled: Compiled, findings: Findings) -> None:
    used = {found for service in services for found in compiled.used_of(service)}
    if any(policy.covers(port, subset) for port, subset in used):
        return
    parts = [f"port {policy.port}"] if policy.port is not None else []
    parts += [f"subset {policy.subset}"] if policy.subset else []
    what = " and ".join(parts)
    of_host = f"{what} of {policy.host}" if parts else policy.host
    findings.warning(policy.location, f"{policy.metadata} has no effect here: no route leads to {of_host}")


def _warn_of_lost_blocks(
    policy: BackendPolicy,
    known: dict[tuple[str, str, str, int | None, str], BackendPolicy],
    findings: Findings,
) -> None:
    """``known`` has the oldest policy for each block of a scope."""
    for field, name in BLOCKS.items():
        block = getattr(policy.blocks, name)
        if block is None:
            continue
        first = known.setdefault((policy.metadata.namespace, policy.host, policy.subset, policy.port, name), policy)
        if first is not policy:
            message = f"this {field} has no effect: {first.metadata} has one for {policy.host} and is older"
            findings.warning(block.location, message, f"see {getattr(first.blocks, name).location}")
