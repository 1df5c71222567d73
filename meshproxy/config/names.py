"""Names as Istio completes and compares them: hosts, gateways, visibility.

Source: Istio's host and visibility packages, as an ingress gateway uses them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence

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
    """A list of hosts, prepared for finding what it has in common with others in a time that hardly grows with it."""

    __slots__ = ("_backwards", "_exact", "_hosts", "_lengths", "_wildcards")

    def __init__(self, hosts: Collection[str]) -> None:
        self._hosts = tuple(dict.fromkeys(hosts))
        self._exact = {host for host in hosts if not host.startswith("*")}
        self._wildcards = {host[1:] for host in hosts if host.startswith("*")}
        self._lengths = sorted({len(suffix) for suffix in self._wildcards}, reverse=True)
        self._backwards: list[tuple[str, int]] | None = None

    def common(self, hosts: Iterable[str]) -> list[str]:
        """What both lists stand for: of each two hosts that overlap the narrower one, each once."""
        found: dict[str, None] = {}
        exact, wildcards, lengths = self._exact, self._wildcards, self._lengths
        for host in hosts:  # of which there may be half a million in a load, so ``narrowest`` is written out
            if host.startswith("*"):
                found.update(dict.fromkeys(self.within(host)))
            if host in exact:
                found[host] = None
                continue
            size = len(host)
            for length in lengths:
                if length <= size and host[size - length :] in wildcards:
                    found[host] = None
                    break
        return list(found)

    def overlaps(self, host: str) -> bool:
        """Whether one of the hosts of this list covers one, or is covered by it."""
        return host in self._exact or self.narrowest(host) is not None or self.first_within(host) is not None

    def overlapping(self, hosts: Iterable[str]) -> list[str]:
        """The hosts of this list that cover one of these, or that one of these covers."""
        found: dict[str, None] = {}
        for host in hosts:
            found.update(dict.fromkeys(self.within(host)))
            name = host.removeprefix("*")
            for length in self._lengths:
                if length <= len(name) and name[len(name) - length :] in self._wildcards:
                    found[f"*{name[len(name) - length :]}"] = None
        return list(found)

    def narrowest(self, host: str) -> str | None:
        """The longest wildcard of this list that covers a host."""
        name = host.removeprefix("*")
        size = len(name)
        for length in self._lengths:
            if length <= size and name[size - length :] in self._wildcards:
                return f"*{name[size - length :]}"
        return None

    def first_within(self, pattern: str) -> str | None:
        """One of the hosts that a pattern covers."""
        if not pattern.startswith("*"):
            return pattern if pattern in self._exact else None
        return next((host for _, host in self._covered(pattern)), None)

    def within(self, pattern: str) -> list[str]:
        """The hosts of this list that a pattern covers, in order."""
        if not pattern.startswith("*"):
            return [pattern] if pattern in self._exact else []
        return [host for _, host in sorted(self._covered(pattern))]

    def _covered(self, pattern: str) -> Iterator[tuple[int, str]]:
        """The positions of what a wildcard covers, and the hosts themselves."""
        if self._backwards is None:
            names = (host.removeprefix("*")[::-1] for host in self._hosts)
            self._backwards = sorted((name, position) for position, name in enumerate(names))
        start = pattern[:0:-1]
        for at in range(bisect_left(self._backwards, (start, -1)), len(self._backwards)):
            name, position = self._backwards[at]
            if not name.startswith(start):
                return
            yield position, self._hosts[position]


def is_visible(export_to: frozenset[str], namespace: str) -> bool:
    """Whether an object with this resolved ``exportTo`` can be seen from a namespace."""
    return EVERYWHERE in export_to or namespace in export_to


def overlapping(hosts: Sequence[str]) -> dict[int, int]:
    """For hosts that overlap with an earlier one, the positions of both: the later one's leads to the earlier one's.

    One of each group of overlapping hosts is found at least, in a time that hardly grows faster than their number.
    """
    found: dict[int, int] = {}
    # Read from their ends, what a wildcard covers begins with it, so it stands next to it when sorted.
    backwards = sorted((host.removeprefix("*")[::-1], position) for position, host in enumerate(hosts))
    for host, position in backwards:
        pattern = hosts[position]
        start = bisect_left(backwards, (host, -1))
        for other, other_position in backwards[start : start + 2]:
            covered = other.startswith(host) if pattern.startswith("*") else pattern == hosts[other_position]
            if other_position != position and covered:
                found[max(position, other_position)] = min(position, other_position)
    return found
