"""The kind ``BackendPolicy`` of meshproxy itself: what Istio's rules cannot say about the endpoints of a host.

Rules: each block has a module of its own, which decodes it and says where it has no effect. A policy never changes what
Istio's documents mean; whoever has none pays for none.
"""

from __future__ import annotations

from attrs import fields, frozen

from meshproxy.config import checks, consistent_hash, health_check, persistence
from meshproxy.config import draining as drains
from meshproxy.config.balancing import Strategies
from meshproxy.config.consistent_hash import HashSetting
from meshproxy.config.decoding import Fields
from meshproxy.config.draining import DrainingSetting
from meshproxy.config.findings import Findings
from meshproxy.config.health_check import CheckSetting
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.names import complete_host
from meshproxy.config.persistence import Persisting
from meshproxy.errors import Location

_SCOPE = ("host", "subset", "port")


@frozen(eq=False)
class Switch:
    """A block that is ``true`` or ``false``."""

    on: bool
    location: Location


@frozen(eq=False)
class Blocks:
    """The blocks of a policy, or those that hold for a cluster. None: not said. Each has its ``location``."""

    consistent_hash: HashSetting | None = None
    health_check: CheckSetting | None = None
    persistence: Persisting | None = None
    sticky_weights: Switch | None = None
    draining: DrainingSetting | None = None

    @property
    def is_sticky(self) -> bool:
        """Whether the hash of a session's key decides among destinations with weights."""
        return self.sticky_weights is not None and self.sticky_weights.on


BLOCKS = {
    "consistentHash": "consistent_hash",
    "healthCheck": "health_check",
    "persistence": "persistence",
    "stickyWeights": "sticky_weights",
    "draining": "draining",
}
"""The field of ``spec`` that each block stands in, and its attribute of ``Blocks``."""

assert set(BLOCKS.values()) == {it.name for it in fields(Blocks)}


@frozen(eq=False)
class BackendPolicy:
    """``host`` is completed and may be a wildcard. ``subset`` "" and ``port`` None: for all of them."""

    metadata: Metadata
    host: str
    subset: str
    port: int | None
    blocks: Blocks
    location: Location

    @property
    def narrowness(self) -> tuple[bool, bool]:
        """Sorts policies of one host: what names a subset counts before what names a port."""
        return (bool(self.subset), self.port is not None)

    def covers(self, port: int, subset: str) -> bool:
        """Whether the policy is for this port and subset of its host."""
        return self.subset in ("", subset) and self.port in (None, port)


def decode(document: Document, cluster_domain: str, findings: Findings, strategies: Strategies) -> BackendPolicy | None:
    """The policy, without the blocks that are wrong; None if it is unclear what it is for."""
    metadata = document.metadata
    if document.spec is None:
        findings.error(document.node.location, "spec is required")
        return None
    spec = Fields(document.spec, findings, (*_SCOPE, *BLOCKS))
    spec.required("host")
    host = spec.read("host", checks.wildcard_domain)
    subset = spec.read("subset", checks.dns_label)
    port = spec.integer("port", 1, checks.LARGEST_PORT)
    if len(spec) == sum(name in spec for name in _SCOPE) and document.spec.kind == "mapping":
        listed = ", ".join(BLOCKS)
        findings.warning(document.spec.location, f"{metadata} has no effect: it has no block", f"one of {listed}")
    names = ("consistentHash", "healthCheck", "persistence", "draining")
    hashing, checking, persisting, draining = (spec.get(name) for name in names)
    blocks = Blocks(
        None if hashing is None else consistent_hash.decode(hashing, findings, strategies),
        None if checking is None else health_check.decode(checking, findings),
        None if persisting is None else persistence.decode(persisting, metadata.namespace, findings),
        spec.read("stickyWeights", lambda node: Switch(node.boolean(), node.location)),
        None if draining is None else drains.decode(draining, findings),
    )
    if host is None or (subset is None and "subset" in spec) or (port is None and "port" in spec):
        return None
    completed = complete_host(host, metadata.namespace, cluster_domain)
    return BackendPolicy(metadata, completed, subset or "", port, blocks, spec.location_of("host"))
