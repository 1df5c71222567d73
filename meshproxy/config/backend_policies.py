"""Which BackendPolicies apply to a service, and what they come to for one port and subset.

Rules: the namespaces are asked in the order in which a DestinationRule is looked for: that of the proxy, that of the
service, the root namespace. The first one with a policy for the host is the only one that counts, and in it the most
specific host. Of each block, the narrowest policy that has it counts, and of equals the oldest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve

from meshproxy.config.backend_policy import BLOCKS, BackendPolicy, Blocks
from meshproxy.config.names import HostSet
from meshproxy.config.rules import ROOT_NAMESPACE
from meshproxy.model import ProxyIdentity


class BackendPolicies:
    """All policies, oldest first."""

    def __init__(self, policies: Iterable[BackendPolicy], identity: ProxyIdentity) -> None:
        self._proxy = identity.namespace
        self._by_host: dict[str, dict[str, list[BackendPolicy]]] = {}
        for policy in policies:
            self._by_host.setdefault(policy.metadata.namespace, {}).setdefault(policy.host, []).append(policy)
        self._hosts = {namespace: HostSet(by_host) for namespace, by_host in self._by_host.items()}

    def find(self, host: str, namespace: str) -> Sequence[BackendPolicy]:
        """The policies for a service with this host in this namespace, for whatever ports and subsets of it."""
        for owner in dict.fromkeys((self._proxy, namespace, ROOT_NAMESPACE)):
            by_host = self._by_host.get(owner)
            if by_host is not None:
                best = host if host in by_host else self._hosts[owner].narrowest(host)
                if best is not None:
                    return by_host[best]
        return ()

    def blocks(self, host: str, namespace: str, port: int, subset: str) -> Blocks:
        """The blocks that hold for a cluster."""
        blocks = Blocks()
        covering = [policy for policy in self.find(host, namespace) if policy.covers(port, subset)]
        # The sort is stable: of equals the oldest stays first.
        for policy in sorted(covering, key=lambda it: it.narrowness, reverse=True):
            missing = {name for name in BLOCKS.values() if getattr(blocks, name) is None}
            blocks = evolve(blocks, **{name: getattr(policy.blocks, name) for name in missing})
        return blocks
