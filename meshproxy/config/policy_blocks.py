"""Blocks of a traffic policy that are not served yet: only whether they are right, so that a wrong one says why.

Each function gets the block and reports what Istio would refuse about it. That the block has no effect is reported by
whoever reads the policy.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import canonical_ip, is_fqdn

_LARGEST = 2**32 - 1
_LARGEST_SIGNED = 2**31 - 1
_UPGRADES = ("DEFAULT", "DO_NOT_UPGRADE", "UPGRADE")
_TLS_MODES = ("DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL")
_FILES = ("clientCertificate", "privateKey", "caCertificates", "caCrl")
_HTTP_LIMITS = (
    "http1MaxPendingRequests",
    "http2MaxRequests",
    "maxRequestsPerConnection",
    "maxRetries",
    "maxConcurrentStreams",
)


def check_http_pool(node: Node, findings: Findings) -> None:
    """``connectionPool.http``."""
    names = (*_HTTP_LIMITS, "idleTimeout", "h2UpgradePolicy", "useClientProtocol", "http2KeepAlive")
    fields = Fields(node, findings, names)
    for name in _HTTP_LIMITS:
        fields.integer(name, 0, _LARGEST_SIGNED)
    fields.duration("idleTimeout")
    upgrade = fields.read("h2UpgradePolicy", lambda found: checks.one_of(found, _UPGRADES))
    if fields.boolean("useClientProtocol") and upgrade == "UPGRADE":
        message = f"{node.path} may have only one of h2UpgradePolicy: UPGRADE and useClientProtocol"
        findings.error(node.location, message)
    keep_alive = fields.get("http2KeepAlive")
    if keep_alive is not None:
        inner = Fields(keep_alive, findings, ("interval", "timeout"))
        for name in ("interval", "timeout"):
            inner.required(name)
            inner.duration(name)


def check_tcp_pool(fields: Fields) -> None:
    """The fields of ``connectionPool.tcp`` beside ``connectTimeout``."""
    fields.integer("maxConnections", 0, _LARGEST_SIGNED)
    fields.duration("maxConnectionDuration")
    idle = fields.read("idleTimeout", Node.duration)
    if idle:  # 0s means never
        fields.duration("idleTimeout")
    keep_alive = fields.get("tcpKeepalive")
    if keep_alive is not None:
        inner = Fields(keep_alive, fields.findings, ("probes", "time", "interval"))
        inner.integer("probes", 0, _LARGEST)
        inner.duration("time")
        inner.duration("interval")


def check_tls(node: Node, findings: Findings) -> None:
    """``tls``."""
    texts = (*_FILES, "credentialName", "sni")
    fields = Fields(node, findings, ("mode", *texts, "subjectAltNames", "insecureSkipVerify"))
    mode = fields.read("mode", lambda found: checks.one_of(found, _TLS_MODES)) or "DISABLE"
    given = {name for name in texts if fields.string(name)}
    if checks.strings(fields, "subjectAltNames"):
        given.add("subjectAltNames")
    if mode in ("SIMPLE", "MUTUAL") and "credentialName" in given:
        _refuse(fields, _FILES, given, "beside credentialName")
    elif mode == "MUTUAL":
        for name in ("clientCertificate", "privateKey"):
            if name not in given:
                findings.error(node.location, f"{fields.path_of(name)} is required with mode MUTUAL")
    if fields.boolean("insecureSkipVerify") and mode in ("SIMPLE", "MUTUAL"):
        unwanted = ("caCertificates", "subjectAltNames", *(("credentialName",) if mode == "SIMPLE" else ()))
        _refuse(fields, unwanted, given, f"beside insecureSkipVerify with mode {mode}")


def _refuse(fields: Fields, unwanted: Sequence[str], given: set[str], where: str) -> None:
    for name in unwanted:
        if name in given:
            fields.findings.error(fields.node.key_location(name), f"{fields.path_of(name)} may not stand {where}")


def check_tunnel(node: Node, findings: Findings) -> None:
    """``tunnel``."""
    fields = Fields(node, findings, ("protocol", "targetHost", "targetPort"))
    fields.required("targetHost")
    fields.required("targetPort")
    fields.read("protocol", lambda found: checks.one_of(found, ("", "CONNECT", "POST")))
    fields.read("targetHost", _host_or_ip)
    fields.read("targetPort", checks.port_number)


def _host_or_ip(node: Node) -> str:
    text = node.string()
    if not is_fqdn(text) and canonical_ip(text) is None:
        node.fail(f"{node.path} must be a host name or an IP address, not {text!r}")
    return text


def check_proxy_protocol(node: Node, findings: Findings) -> None:
    """``proxyProtocol``."""
    Fields(node, findings, ("version",)).read("version", lambda found: checks.one_of(found, ("V1", "V2")))


def check_retry_budget(node: Node, findings: Findings) -> None:
    """``retryBudget``."""
    fields = Fields(node, findings, ("percent", "minRetryConcurrency", "budgetInterval"))
    fields.read("percent", lambda found: found.number(0, 100))
    fields.integer("minRetryConcurrency", 0, _LARGEST)
    fields.read("budgetInterval", Node.duration)


def check_zone_aware(node: Node, findings: Findings) -> None:
    """``loadBalancer.zoneAwareLbSetting``."""
    fields = Fields(node, findings, ("enabled", "failover", "failoverPriority", "minClusterSize"))
    fields.boolean("enabled")
    fields.integer("minClusterSize", 1, _LARGEST)
    checks.strings(fields, "failoverPriority")
    for entry in fields.items("failover"):
        inner = Fields(entry, findings, ("from", "to"))
        inner.string("from")
        inner.string("to")


def check_utilization(node: Node, findings: Findings) -> None:
    """``loadBalancer.backendUtilization``."""
    periods = ("weightExpirationPeriod", "weightStabilizationPeriod", "weightUpdatePeriod")
    names = (*periods, "errorUtilizationPenaltyPercent", "metricNamesForComputingUtilization")
    fields = Fields(node, findings, names)
    for name in periods:
        fields.read(name, Node.duration)
    fields.integer("errorUtilizationPenaltyPercent", 0, _LARGEST)
    checks.strings(fields, "metricNamesForComputingUtilization")
