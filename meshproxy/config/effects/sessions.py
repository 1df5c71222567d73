"""Where requests of one session do not stay at one endpoint although a rule says so.

Source: Istio takes the hash key of a route from the destination rule by the port that the destination *names*, and the
load balancer of a cluster by the port that it *has*; settings for a port replace those of the whole rule; and among
several destinations one is drawn anew for each request.
"""

from __future__ import annotations

from functools import cache, partial

from meshproxy.config.backend_policy import Blocks
from meshproxy.config.destinations import Destination
from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.findings import Findings
from meshproxy.config.http_route import HttpRoute
from meshproxy.config.rules import MergedRule
from meshproxy.config.virtual_service import VirtualService


def warn_of_lost_sessions(compiled: Compiled, findings: Findings) -> None:
    """Report destinations of active virtual services of which a ``consistentHash`` does not do what it says."""
    are_kept = cache(partial(_are_kept, compiled))
    for service in compiled.active:
        namespace = service.metadata.namespace
        kept = any(are_kept(host, namespace) for host in service.destination_hosts)
        if kept and service.metadata not in compiled.faulty:
            for route in service.http:
                if route.destinations:
                    _warn_of_route(route, service, compiled, findings)


def _are_kept(compiled: Compiled, host: str, namespace: str) -> bool:
    """Whether a rule or a policy may keep the sessions at a host, as an object in ``namespace`` means it."""
    service, rule = compiled.target(host, namespace)
    if service is None:
        return False
    return (rule is not None and rule.hashes) or bool(compiled.backend_policies.find(service.host, service.namespace))


def _warn_of_route(route: HttpRoute, service: VirtualService, compiled: Compiled, findings: Findings) -> None:
    weighed = [it.destination for it in route.drawn]
    sticky = [it for it in weighed if _check_destination(it, service, compiled, findings)]
    if len(weighed) == 1:
        return
    blocks = [_blocks(it, service, compiled) for it in weighed]
    switch = next((it.sticky_weights for it in blocks if it.is_sticky), None)
    if switch is not None:
        hashed = any(it.consistent_hash is not None and it.consistent_hash.keys.keys for it in blocks)
        why = "" if sticky or hashed else "its requests have no hash key"
        if not all(it.is_sticky for it in blocks):
            why = "not all destinations of this route have it"
        if why:
            findings.warning(weighed[0].location, f"stickyWeights has no effect: {why}", f"see {switch.location}")
    elif sticky:
        message = (
            "sessions do not stay at one of these destinations: by weight one of them is drawn for each request,"
            " whatever the consistentHash of the rule says"
        )
        hint = "for sessions that stay, set stickyWeights in a BackendPolicy"
        findings.warning(sticky[0].location, message, hint)


def _blocks(destination: Destination, virtual_service: VirtualService, compiled: Compiled) -> Blocks:
    """The blocks of backend policies that hold for a destination, at the first of its ports if there are several."""
    service = compiled.services.find(destination.host, virtual_service.metadata.namespace)
    ports = [] if service is None else _ports(destination, virtual_service, compiled)
    if service is None or not ports:
        return Blocks()
    return compiled.backend_policies.blocks(service.host, service.namespace, ports[0], destination.subset)


def _check_destination(
    destination: Destination, virtual_service: VirtualService, compiled: Compiled, findings: Findings
) -> bool:
    """Whether requests have a hash key that counts; reports what keeps them from it."""
    service, rule = compiled.target(destination.host, virtual_service.metadata.namespace)
    if service is None or rule is None:
        return False
    ports = [port for port in _ports(destination, virtual_service, compiled) if port in service.ports]
    if destination.port is None and len(service.ports) == 1:
        ports = list(service.ports)
    subset = rule.subsets.get(destination.subset)
    key = rule.consistent(destination.port, subset)
    hashed = False
    for port in ports:
        balancing = rule.effective(port, subset).balancing
        if balancing is not None and balancing.consistent:
            if key is None and balancing.hash_key is not None:
                message = (
                    f"requests go to random endpoints: the consistentHash for port {port} is taken only by"
                    " destinations that name the port"
                )
                findings.warning(destination.location, message, f"write port: {{number: {port}}}")
            hashed = hashed or (key is not None and key.hash_key is not None)
        elif key is not None and key.hash_key is not None:
            _warn_of_replaced(destination, port, rule, findings)
    return hashed


def _ports(destination: Destination, service: VirtualService, compiled: Compiled) -> list[int]:
    if destination.port is not None:
        return [destination.port]
    return sorted({port for _, port in compiled.places_of(service)})


def _warn_of_replaced(destination: Destination, port: int, rule: MergedRule, findings: Findings) -> None:
    """Settings of a port that say nothing of balancing, and with that switch it back to the default."""
    subset = rule.subsets.get(destination.subset)
    for policy in (None if subset is None else subset.policy, rule.policy):
        replacing = None if policy is None else policy.ports.get(port)
        if replacing is not None and replacing.balancing is None:
            message = (
                f"these settings for port {port} of {rule.host} replace the whole trafficPolicy: its consistentHash"
                " does not hold for this port"
            )
            hint = "write loadBalancer again here"
            findings.warning(replacing.location or rule.rules[0].location, message, hint)
            return
