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
_TLS_MODES = ("DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL")
_FILES = ("clientCertificate", "privateKey", "caCertificates", "caCrl")


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


def warn_of_unverified(policy: Node, selecting: bool, findings: Findings) -> None:
    """Report where a traffic policy or its ports do not say who vouches for the certificates of servers.

    ``selecting``: the rule is only for some proxies, which have the authority from a credential.
    """
    ports = policy.get("portLevelSettings")
    if ports is None and policy.get("tls") is None:
        return  # nearly all
    elsewhere = Findings()  # what is wrong is reported by those who read it
    entries = (None if ports is None else elsewhere.attempt(ports.items)) or ()
    for entry, code in ((policy, "IST0128"), *((port, "IST0129") for port in entries)):
        tls = entry.get("tls")
        mode = None if tls is None else tls.get("mode")
        if tls is None or mode is None or elsewhere.attempt(mode.string) not in ("SIMPLE", "MUTUAL"):
            continue
        named = tls.get("caCertificates") or (tls.get("credentialName") if selecting else None)
        if named is None or named.is_empty_text:
            findings.warning(tls.location, f"{tls.path} names no caCertificates to verify servers with", code=code)


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
