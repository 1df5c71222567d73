"""The kind ``Mesh`` of meshproxy itself: settings for the whole process, under the names of Istio's MeshConfig.

``upgrades`` is our own; Istio leaves it to an EnvoyFilter.
"""

from __future__ import annotations

from attrs import field, frozen

from meshproxy.config import access_log, checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.http_policies import DEFAULT_RETRIES, Retries, decode_retries
from meshproxy.config.metadata import Document
from meshproxy.config.upgrades import decode_upgrades
from meshproxy.model import MeshSettings, UpgradeSettings

_CONNECT_TIMEOUT = 10.0
_MOST_PROXIES = 2**31 - 1
_SERVED = (
    "accessLogEncoding",
    "accessLogFile",
    "accessLogFormat",
    "connectTimeout",
    "defaultConfig",
    "defaultHttpRetryPolicy",
    "pathNormalization",
    "upgrades",
)
_LATER = (
    "defaultDestinationRuleExportTo",
    "defaultServiceExportTo",
    "defaultVirtualServiceExportTo",
    "h2UpgradePolicy",
    "localityLbSetting",
    "meshMTLS",
    "outboundTrafficPolicy",
    "rootNamespace",
    "tcpKeepalive",
    "tlsDefaults",
    "trustDomain",
)
_NORMALIZATIONS = {
    "DEFAULT": "BASE",
    "NONE": "NONE",
    "BASE": "BASE",
    "MERGE_SLASHES": "MERGE_SLASHES",
    "DECODE_AND_MERGE_SLASHES": "DECODE_AND_MERGE_SLASHES",
}
_LATER_PROXY = ("concurrency", "drainDuration", "proxyMetadata", "terminationDrainDuration", "tracing")
_LATER_TOPOLOGY = ("forwardClientCertDetails", "proxyProtocol")


@frozen
class MeshOptions:
    """What a ``Mesh`` document says. Seconds.

    ``connect_timeout`` holds where no DestinationRule has one, ``retries`` where a route has none.
    """

    settings: MeshSettings = field(factory=MeshSettings)
    connect_timeout: float = _CONNECT_TIMEOUT
    retries: Retries = DEFAULT_RETRIES


def decode(document: Document, findings: Findings) -> MeshOptions:
    """The settings, with the defaults for those that are wrong."""
    if document.spec is None:
        return MeshOptions()
    fields = Fields(document.spec, findings, _SERVED, _LATER)
    log_file = fields.string("accessLogFile") if "accessLogFile" in fields else None
    timeout = fields.duration("connectTimeout")
    proxies = 0
    proxy = fields.get("defaultConfig")
    if proxy is not None:
        topology = Fields(proxy, findings, ("gatewayTopology",), _LATER_PROXY).get("gatewayTopology")
        if topology is not None:
            inner = Fields(topology, findings, ("numTrustedProxies",), _LATER_TOPOLOGY)
            proxies = inner.integer("numTrustedProxies", 0, _MOST_PROXIES) or 0
    retries = fields.get("defaultHttpRetryPolicy")
    upgrades = fields.get("upgrades")
    return MeshOptions(
        MeshSettings(
            log_file,
            proxies,
            _normalization(fields),
            access_log.decode(fields),
            UpgradeSettings() if upgrades is None else decode_upgrades(upgrades, findings),
        ),
        _CONNECT_TIMEOUT if timeout is None else timeout,
        DEFAULT_RETRIES if retries is None else decode_retries(retries, findings),
    )


def _normalization(fields: Fields) -> str:
    node = fields.get("pathNormalization")
    if node is None:
        return "BASE"
    inner = Fields(node, fields.findings, ("normalization",))
    name = inner.read("normalization", lambda found: checks.one_of(found, _NORMALIZATIONS))
    return _NORMALIZATIONS[name or "DEFAULT"]
