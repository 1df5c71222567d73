"""The kind ``DestinationRule``: how the endpoints of a host are reached and chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import evolve, field, frozen

from meshproxy.config import balancing, checks, connection_pool, outliers, policy_blocks
from meshproxy.config.balancing import Balancing, Strategies
from meshproxy.config.connection_pool import PoolBlock
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document, Metadata
from meshproxy.config.names import complete_host
from meshproxy.config.nodes import Node
from meshproxy.config.outliers import OutlierSetting
from meshproxy.config.selectors import read_selector
from meshproxy.errors import Location
from meshproxy.policies import RetryBudget

_PORT_BLOCKS = ("loadBalancer", "connectionPool", "outlierDetection")
_LATER_PORT_BLOCKS = ("tls",)
_LATER_POLICY = (*_LATER_PORT_BLOCKS, "tunnel", "proxyProtocol")
_LATER_CHECKS: Mapping[str, Callable[[Node, Findings], None]] = {
    "tls": policy_blocks.check_tls,
    "tunnel": policy_blocks.check_tunnel,
    "proxyProtocol": policy_blocks.check_proxy_protocol,
}
_MOST_PORTS = _MOST_SELECTOR_LABELS = 4096


@frozen(eq=False)
class Policy:
    """A ``trafficPolicy`` or a port's part of it, and where that stands. A block that is None is not there."""

    balancing: Balancing | None = None
    connection_pool: PoolBlock | None = None
    retry_budget: RetryBudget | None = None
    ports: Mapping[int, Policy] = field(factory=dict)
    location: Location | None = None
    outliers: OutlierSetting | None = None


@frozen(eq=False)
class Subset:
    """Endpoints of a host that have some labels."""

    name: str
    labels: Mapping[str, str]
    policy: Policy | None
    location: Location


@frozen(eq=False)
class DestinationRule:
    """``host`` is completed and may be a wildcard. ``selector``: the rule is only for proxies with these labels."""

    metadata: Metadata
    host: str
    export_to: frozenset[str]
    policy: Policy | None
    subsets: tuple[Subset, ...]
    location: Location
    selector: Mapping[str, str] | None = None


def decode(
    document: Document, cluster_domain: str, findings: Findings, strategies: Strategies
) -> DestinationRule | None:
    """The rule, without the parts that are wrong; None if it has no host."""
    metadata = document.metadata
    if document.spec is None:
        findings.error(document.node.location, "spec is required")
        return None
    fields = Fields(document.spec, findings, ("host", "trafficPolicy", "subsets", "exportTo", "workloadSelector"))
    fields.required("host")
    host = fields.read("host", checks.wildcard_domain)
    export_to = checks.export_to(fields, metadata.namespace)
    selector = _selector(fields, export_to, metadata.namespace)
    policy_node = fields.get("trafficPolicy")
    policy = None if policy_node is None else _policy(policy_node, findings, strategies)
    if policy_node is not None:
        policy_blocks.warn_of_unverified(policy_node, selector is not None, findings)
    names: set[str] = set()
    read = [_subset(node, names, findings, strategies) for node in fields.items("subsets")]
    subsets = tuple(subset for subset in read if subset is not None)
    if policy_node is None and fields.is_empty("subsets"):
        findings.warning(metadata.location, f"{metadata} has no effect: it has neither trafficPolicy nor subsets")
    if host is None:
        return None
    completed = complete_host(host, metadata.namespace, cluster_domain)
    return DestinationRule(metadata, completed, export_to, policy, subsets, fields.location_of("host"), selector)


def _selector(fields: Fields, export_to: frozenset[str], namespace: str) -> Mapping[str, str] | None:
    node = fields.get("workloadSelector")
    if node is None:
        return None
    if "exportTo" in fields and fields.items("exportTo") and export_to != {namespace}:
        message = "spec.exportTo may only be the rule's own namespace beside workloadSelector"
        fields.findings.error(fields.location_of("exportTo"), message)
    return read_selector(node, "matchLabels", _MOST_SELECTOR_LABELS, fields.findings)


def _subset(node: Node, names: set[str], findings: Findings, strategies: Strategies) -> Subset | None:
    fields = Fields(node, findings, ("name", "labels", "trafficPolicy"))
    name = fields.required("name") and fields.read("name", checks.dns_label)
    if name in names:
        findings.error(fields.location_of("name"), f"{fields.path_of('name')} {name!r} is there twice in this rule")
    labels = checks.labels(fields, "labels")
    policy_node = fields.get("trafficPolicy")
    policy = None if policy_node is None else _policy(policy_node, findings, strategies)
    if not name or name in names:
        return None
    names.add(name)
    return Subset(name, labels, policy, fields.location_of("name"))


def _policy(node: Node, findings: Findings, strategies: Strategies) -> Policy:
    fields = Fields(node, findings, (*_PORT_BLOCKS, "retryBudget", "portLevelSettings"), _LATER_POLICY)
    if not fields and node.kind == "mapping":
        findings.error(node.location, f"{node.path} needs at least one field")
    if "tunnel" in fields and "proxyProtocol" in fields:
        findings.error(node.key_location("proxyProtocol"), f"{node.path} may have only one of tunnel and proxyProtocol")
    if len(fields.items("portLevelSettings")) > _MOST_PORTS:
        message = f"{fields.path_of('portLevelSettings')} may have at most {_MOST_PORTS} items"
        findings.error(fields.location_of("portLevelSettings"), message)
    ports: dict[int, Policy] = {}
    for entry in fields.items("portLevelSettings"):
        read = _port_policy(entry, findings, strategies)
        if read is None:
            continue
        number, policy = read
        if number in ports:
            findings.warning(entry.location, f"{entry.path} has no effect: an earlier entry is for port {number} too")
        else:
            ports[number] = policy
    return evolve(_blocks(fields, strategies), retry_budget=_retry_budget(fields), ports=ports, location=node.location)


def _port_policy(node: Node, findings: Findings, strategies: Strategies) -> tuple[int, Policy] | None:
    fields = Fields(node, findings, ("port", *_PORT_BLOCKS), _LATER_PORT_BLOCKS)
    if len(fields) - ("port" in fields) == 0 and node.kind == "mapping":
        names = ", ".join((*_PORT_BLOCKS, *_LATER_PORT_BLOCKS))
        findings.error(node.location, f"{node.path} needs at least one of {names}")
    fields.required("port")
    number = fields.read("port", checks.port_selector)
    policy = evolve(_blocks(fields, strategies), location=node.location)
    return None if number is None else (number, policy)


def _blocks(fields: Fields, strategies: Strategies) -> Policy:
    findings = fields.findings
    for name, check in _LATER_CHECKS.items():
        block = fields.get(name)
        if block is not None:
            check(block, findings)
    load_balancer, pool, ejection = (fields.get(name) for name in _PORT_BLOCKS)
    return Policy(
        None if load_balancer is None else balancing.decode(load_balancer, findings, strategies, ejection is not None),
        None if pool is None else connection_pool.decode(pool, findings),
        outliers=None if ejection is None else outliers.decode(ejection, findings),
    )


def _retry_budget(fields: Fields) -> RetryBudget | None:
    node = fields.get("retryBudget")
    if node is None:
        return None
    pool = fields.get("connectionPool")
    http = None if pool is None else pool.get("http")
    limit = None if http is None else http.get("maxRetries")
    if limit is not None:
        message = f"{limit.path} has no effect beside {node.path}"
        fields.findings.warning(limit.location, message)
    return connection_pool.decode_retry_budget(node, fields.findings)
