"""The kind ``Mesh`` of meshproxy itself: settings for the whole process, under the names of Istio's MeshConfig."""

from __future__ import annotations

from attrs import field, frozen

from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document
from meshproxy.model import MeshSettings

_CONNECT_TIMEOUT = 10.0
_MOST_PROXIES = 2**31 - 1
_LATER = (
    "accessLogEncoding",
    "accessLogFormat",
    "defaultDestinationRuleExportTo",
    "defaultHttpRetryPolicy",
    "defaultServiceExportTo",
    "defaultVirtualServiceExportTo",
    "h2UpgradePolicy",
    "localityLbSetting",
    "meshMTLS",
    "outboundTrafficPolicy",
    "pathNormalization",
    "rootNamespace",
    "tcpKeepalive",
    "tlsDefaults",
    "trustDomain",
)
_LATER_PROXY = ("concurrency", "drainDuration", "proxyMetadata", "terminationDrainDuration", "tracing")
_LATER_TOPOLOGY = ("forwardClientCertDetails", "proxyProtocol")


@frozen
class MeshOptions:
    """What a ``Mesh`` document says; ``connect_timeout`` holds where no DestinationRule has one. Seconds."""

    settings: MeshSettings = field(factory=MeshSettings)
    connect_timeout: float = _CONNECT_TIMEOUT


def decode(document: Document, findings: Findings) -> MeshOptions:
    """The settings, with the defaults for those that are wrong."""
    if document.spec is None:
        return MeshOptions()
    fields = Fields(document.spec, findings, ("accessLogFile", "connectTimeout", "defaultConfig"), _LATER)
    log_file = fields.string("accessLogFile") if "accessLogFile" in fields else None
    timeout = fields.duration("connectTimeout")
    proxies = 0
    proxy = fields.get("defaultConfig")
    if proxy is not None:
        topology = Fields(proxy, findings, ("gatewayTopology",), _LATER_PROXY).get("gatewayTopology")
        if topology is not None:
            inner = Fields(topology, findings, ("numTrustedProxies",), _LATER_TOPOLOGY)
            proxies = inner.integer("numTrustedProxies", 0, _MOST_PROXIES) or 0
    return MeshOptions(MeshSettings(log_file, proxies), _CONNECT_TIMEOUT if timeout is None else timeout)
