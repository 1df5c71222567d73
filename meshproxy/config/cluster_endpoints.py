"""The endpoints of a cluster: those of a service that its port and subset take, and those of them that drain."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from meshproxy.config.backend_policy import Blocks
from meshproxy.config.destination_rule import Subset
from meshproxy.config.destinations import Destination
from meshproxy.config.findings import Findings
from meshproxy.config.services import Service
from meshproxy.model import Endpoint
from meshproxy.policies import Drain

_ENDPOINT_KINDS = frozenset({"Service", "ServiceEntry", "WorkloadEntry", "EndpointSlice", "Endpoints", "Pod"})


def usable_endpoints(
    destination: Destination,
    service: Service,
    port: int,
    subset: Subset | None,
    broken: Collection[str],
    findings: Findings,
) -> tuple[Endpoint, ...]:
    """The endpoints of a service's port that a subset takes; that there are none is reported.

    ``broken``: kinds of which objects may be missing.
    """
    endpoints = service.endpoints(port, findings)
    if not endpoints:
        if not _ENDPOINT_KINDS & set(broken):
            message = f"port {port} of {service.host} has no endpoint: {destination.loss}"
            findings.warning(destination.host_location, message, service.reason_for_no_endpoint)
        return endpoints
    if subset is None or not subset.labels:
        return endpoints
    chosen = service.labelled(port, findings).with_labels(subset.labels)
    if not chosen and not _ENDPOINT_KINDS & set(broken):
        labels = ", ".join(f"{key}={value}" for key, value in sorted(subset.labels.items()))
        message = f"no endpoint of {service.host} has the labels {labels} of subset {subset.name}: {destination.loss}"
        unlabeled = not any(endpoint.labels for endpoint in endpoints) and service.metadata.kind == "Service"
        hint = "endpoints have the labels of their Pods, which have to be among the documents" if unlabeled else ""
        findings.warning(destination.subset_location, message, hint, "IST0173")
    return chosen


def of_subset(endpoints: tuple[Endpoint, ...], subset: Subset | None) -> tuple[Endpoint, ...]:
    """Those with the labels of a subset; all of them where there is none."""
    wanted = set() if subset is None else set(subset.labels.items())
    return tuple(endpoint for endpoint in endpoints if wanted <= set(endpoint.labels))


def drains(
    blocks: Blocks, service: Service, endpoints: tuple[Endpoint, ...], leaving: Sequence[Endpoint], findings: Findings
) -> tuple[Drain, ...]:
    """What drains of a cluster's endpoints: those that are ``leaving``, and what its policies say."""
    found = [Drain(endpoint.address, endpoint.port) for endpoint in leaving]
    if blocks.draining is not None:
        known = () if service.resolution.by_name else endpoints
        found += blocks.draining.of(known, blocks.persistence is not None, service.host, findings)
    return tuple(found)
