"""The ``tls`` block of a gateway's server: what has to be right about it.

Of its settings only ``httpsRedirect`` on a server of plain HTTP is served.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import HTTP_PROTOCOLS, TLS_PROTOCOLS

_PASSTHROUGH = ("PASSTHROUGH", "AUTO_PASSTHROUGH")
_MUTUAL = ("MUTUAL", "OPTIONAL_MUTUAL")
_MODES = (*_PASSTHROUGH, "SIMPLE", *_MUTUAL, "ISTIO_MUTUAL")
_VERSIONS = ("TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3")
_FILES = ("serverCertificate", "privateKey", "caCertificates")
_SOURCES = ("serverCertificate", "credentialName", "credentialNames", "tlsCertificates")
_CERTIFICATES = (*_FILES, "caCrl", "caCertCredentialName", *_SOURCES[1:])
_MOST_CERTIFICATES = 2
_FIELDS = (
    "httpsRedirect",
    "mode",
    "minProtocolVersion",
    "maxProtocolVersion",
    "cipherSuites",
    "ecdhCurves",
    "subjectAltNames",
    "verifyCertificateSpki",
    "verifyCertificateHash",
    "insecureSkipVerify",
    *_CERTIFICATES,
)
_CIPHER_SUITES = frozenset(
    f"{exchange}{cipher}"
    for exchange, ciphers in (
        ("ECDHE-ECDSA-", ("CHACHA20-POLY1305",)),
        ("ECDHE-RSA-", ("CHACHA20-POLY1305",)),
        ("", ("DES-CBC3-SHA",)),
        *(
            (it, ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA"))
            for it in ("ECDHE-ECDSA-", "ECDHE-RSA-", "")
        ),
    )
    for cipher in ciphers
)


def redirects(node: Node, protocol: str | None, findings: Findings) -> bool:
    """Whether the server answers plain requests with a redirect to https; everything that is wrong is reported.

    ``protocol`` is in upper case, None where the port is wrong: then it is not compared with it.
    """
    fields = Fields(node, findings, _FIELDS)
    redirect = fields.boolean("httpsRedirect") or False
    mode = fields.read("mode", lambda it: checks.one_of(it, _MODES))
    for name in ("minProtocolVersion", "maxProtocolVersion"):
        fields.read(name, lambda it: checks.one_of(it, _VERSIONS))
    fields.boolean("insecureSkipVerify")
    for name in (*_FILES, "caCrl", "caCertCredentialName", "credentialName"):
        fields.string(name)
    for name in ("ecdhCurves", "subjectAltNames", "verifyCertificateSpki", "verifyCertificateHash", "credentialNames"):
        checks.strings(fields, name)
    given = [name for name in _CERTIFICATES if _is_given(fields, name)]
    if protocol in HTTP_PROTOCOLS:
        if given or mode not in (None, *_PASSTHROUGH):
            findings.error(node.location, f"{node.path}: protocol {protocol} is plain text and has no certificates")
        return redirect
    if protocol is None:
        return False
    if protocol not in TLS_PROTOCOLS:
        findings.error(node.location, f"{node.path} is not for protocol {protocol}")
        return False
    if redirect:
        message = f"{node.path}.httpsRedirect has no effect: it is for servers of plain HTTP"
        findings.warning(node.key_location("httpsRedirect"), message, code="IST0133")
    if mode is not None or "mode" not in fields:
        _check_certificates(fields, mode or _PASSTHROUGH[0], given)
    _check_suites(fields)
    return False


def _is_given(fields: Fields, name: str) -> bool:
    node = fields.get(name)
    if node is None:
        return False
    return not fields.is_empty(name) if node.kind == "list" else bool(fields.string(name))


def _check_certificates(fields: Fields, mode: str, given: Sequence[str]) -> None:
    findings, node = fields.findings, fields.node
    sources = [name for name in _SOURCES if name in given]
    if mode in _PASSTHROUGH:
        if given:
            message = f"{node.path}: mode {mode} uses no certificates, so {given[0]} has no effect"
            findings.warning(node.key_location(given[0]), message, code="IST0133")
        return
    if mode == "ISTIO_MUTUAL":
        if sources or "privateKey" in given or "caCertificates" in given:
            findings.error(node.key_location(given[0]), f"{node.path}: mode {mode} has certificates of its own")
        return
    if len(sources) > 1:
        message = f"{node.path} may have only one source of certificates, not {' and '.join(sources)}"
        findings.error(node.key_location(sources[1]), message)
    _check_listed(fields)
    named = "credentialName" in given or "credentialNames" in given
    if not named and "tlsCertificates" not in given:
        for name in ("serverCertificate", "privateKey"):
            if name not in given:
                findings.error(node.location, f"{node.path}.{name} is required for mode {mode}", "or credentialName")
    if mode in _MUTUAL and not named and "caCertificates" not in given:
        findings.error(node.location, f"{node.path}.caCertificates is required for mode {mode}", "or credentialName")
    if "caCrl" in given and (mode == "SIMPLE" or "credentialName" in given):
        beside = f"mode {mode}" if mode == "SIMPLE" else "credentialName"
        findings.error(node.key_location("caCrl"), f"{node.path}.caCrl is not for {beside}")


def _check_listed(fields: Fields) -> None:
    for name in ("credentialNames", "tlsCertificates"):
        if name in fields and not 1 <= len(fields.items(name)) <= _MOST_CERTIFICATES:
            path = fields.path_of(name)
            fields.findings.error(fields.location_of(name), f"{path} must have one or two entries")
    for node in fields.items("tlsCertificates"):
        entry = Fields(node, fields.findings, _FILES)
        for name in _FILES:
            if not entry.string(name) and name != "caCertificates":
                fields.findings.error(node.location, f"{entry.path_of(name)} is required")


def _check_suites(fields: Fields) -> None:
    findings = fields.findings
    old = fields.get("minProtocolVersion")
    suites = checks.strings(fields, "cipherSuites")
    if old is not None and not suites and fields.string("minProtocolVersion") in _VERSIONS[1:3]:
        message = f"{old.path} has no effect without cipherSuites that old versions have"
        findings.warning(old.location, message, code="IST0133")
    seen: set[str] = set()
    for text, node in suites:
        if text in seen:
            findings.warning(node.location, f"{node.path} {text!r} is there twice", code="IST0133")
        elif text[:1].isalnum() and text != "ALL" and text not in _CIPHER_SUITES:
            findings.warning(node.location, f"{node.path} {text!r} is no cipher suite and is ignored", code="IST0133")
        seen.add(text)
