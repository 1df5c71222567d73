"""Names as Istio completes and compares them: hosts, gateways, visibility.

Source: Istio's host and visibility packages, as an ingress gateway uses them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from meshproxy.config.syntax import canonical_ip

MESH = "mesh"
EVERYWHERE = "*"
NOWHERE = "~"


def complete_host(host: str, namespace: str, cluster_domain: str) -> str:
    """A short name as the host of the Kubernetes service that it means; all others unchanged."""
    if "." in host or host == "*" or canonical_ip(host) is not None:
        return host
    return f"{host}.{namespace}.svc.{cluster_domain}"


def gateway_name(reference: str, namespace: str) -> str:
    """``mesh``, or the gateway that an object in ``namespace`` refers to as ``namespace/name``."""
    if reference == MESH:
        return MESH
    if "/" in reference:
        owner, _, name = reference.partition("/")
        return f"{namespace if owner == '.' else owner}/{name}"
    if "." in reference:  # name.namespace.svc..., from before gateways had namespaces
        name, owner, *_ = reference.split(".")
        return f"{owner}/{name}"
    return f"{namespace}/{reference}"


def is_within(host: str, pattern: str) -> bool:
    """True if all that ``host`` stands for is covered by ``pattern``; either may be a wildcard. Case counts."""
    if not pattern.startswith("*"):
        return host == pattern
    if host.startswith("*"):
        return len(host) >= len(pattern) and host.endswith(pattern[1:])
    return host.endswith(pattern[1:])


def overlap(one: str, other: str) -> bool:
    """True if one of two hosts covers the other."""
    return is_within(one, other) or is_within(other, one)


class HostSet:
    """A list of hosts, prepared for finding what it has in common with others."""

    __slots__ = ("_exact", "_wildcards")

    def __init__(self, hosts: Collection[str]) -> None:
        self._exact = dict.fromkeys(host for host in hosts if not host.startswith("*"))
        self._wildcards = tuple(host for host in hosts if host.startswith("*"))

    def common(self, hosts: Iterable[str]) -> list[str]:
        """What both lists stand for: of each two hosts that overlap the narrower one, each once."""
        found: dict[str, None] = {}
        for host in hosts:
            if host in self._exact:
                found[host] = None
            if host.startswith("*"):
                found.update((narrow, None) for narrow in self._exact if is_within(narrow, host))
            for pattern in self._wildcards:
                if is_within(pattern, host):
                    found[pattern] = None
                elif is_within(host, pattern):
                    found[host] = None
        return list(found)


def is_visible(export_to: frozenset[str], namespace: str) -> bool:
    """Whether an object with this resolved ``exportTo`` can be seen from a namespace."""
    return EVERYWHERE in export_to or namespace in export_to
