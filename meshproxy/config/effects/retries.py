"""Retries for other localities where there is no other locality to go to."""

from __future__ import annotations

from meshproxy.availability import AvailableBuilder
from meshproxy.config.effects.compiled import Compiled
from meshproxy.config.findings import Findings
from meshproxy.localities import arranged
from meshproxy.model import Cluster
from meshproxy.routes import Forward


def warn_of_retries(compiled: Compiled, findings: Findings) -> None:
    """Report ``retryRemoteLocalities`` of routes none of whose clusters has endpoints of several priorities."""
    clusters = compiled.clusters.clusters
    for route in compiled.routes:
        action = route.action
        if not isinstance(action, Forward) or action.retries is None or not action.retries.remote_localities:
            continue
        found = [clusters[it.cluster] for it in action.destinations if it.cluster in clusters]
        if found and not any(map(_has_priorities, found)):
            message = "retryRemoteLocalities has no effect: these requests have no endpoints of several priorities"
            hint = "outlierDetection makes priorities of localities, but not where a hash decides"
            findings.warning(route.location, message, hint)


def _has_priorities(cluster: Cluster) -> bool:
    """Whether retries may go from one priority of its endpoints to another."""
    builder = cluster.builder
    if not isinstance(builder, AvailableBuilder) or cluster.balancer.uses_hash:
        return False
    return len(arranged(cluster.targets or cluster.endpoints, builder.localities)) > 1
