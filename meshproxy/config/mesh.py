"""The kind ``Mesh`` of meshproxy itself: settings for the whole process, under the names of Istio's MeshConfig.

``explainHeaders``, ``limits`` and ``upgrades`` are our own; Istio leaves the like to an EnvoyFilter.
"""

from __future__ import annotations

from importlib.util import find_spec

from attrs import evolve, field, frozen

from meshproxy.config import access_log, checks, limits, locality
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.http_policies import DEFAULT_RETRIES, Retries, decode_retries
from meshproxy.config.locality import LocalitySetting
from meshproxy.config.metadata import Document
from meshproxy.config.upgrades import decode_upgrades
from meshproxy.limits import Limits
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
    "enableTracing",
    "explainHeaders",
    "limits",
    "localityLbSetting",
    "pathNormalization",
    "upgrades",
)
_LATER = (
    "defaultDestinationRuleExportTo",
    "defaultServiceExportTo",
    "defaultVirtualServiceExportTo",
    "h2UpgradePolicy",
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
_LATER_PROXY = ("concurrency", "drainDuration", "terminationDrainDuration", "tracing")
_HTTP10, _IDLE_TIMEOUT = "ISTIO_META_HTTP10", "ISTIO_META_IDLE_TIMEOUT"
_LATER_TOPOLOGY = ("forwardClientCertDetails", "proxyProtocol")


@frozen
class MeshOptions:
    """What a ``Mesh`` document says. Seconds.

    ``connect_timeout`` and ``locality`` hold where no DestinationRule has one, ``retries`` where a route has none.
    """

    settings: MeshSettings = field(factory=MeshSettings)
    connect_timeout: float = _CONNECT_TIMEOUT
    retries: Retries = DEFAULT_RETRIES
    locality: LocalitySetting | None = None


def decode(document: Document, findings: Findings) -> MeshOptions:
    """The settings, with the defaults for those that are wrong."""
    if document.spec is None:
        return MeshOptions()
    fields = Fields(document.spec, findings, _SERVED, _LATER)
    log_file = fields.string("accessLogFile") if "accessLogFile" in fields else None
    timeout = fields.duration("connectTimeout")
    proxies = 0
    limits_node, proxy = fields.get("limits"), fields.get("defaultConfig")
    bounds = Limits() if limits_node is None else limits.decode(limits_node, findings)
    http10 = False
    if proxy is not None:
        config = Fields(proxy, findings, ("gatewayTopology", "proxyMetadata"), _LATER_PROXY)
        http10, idle = _proxy_metadata(config)
        bounds = bounds if idle is None else evolve(bounds, idle_timeout=idle)
        topology = config.get("gatewayTopology")
        if topology is not None:
            inner = Fields(topology, findings, ("numTrustedProxies",), _LATER_TOPOLOGY)
            proxies = inner.integer("numTrustedProxies", 0, _MOST_PROXIES) or 0
    retries = fields.get("defaultHttpRetryPolicy")
    upgrades = fields.get("upgrades")
    places = fields.get("localityLbSetting")
    return MeshOptions(
        MeshSettings(
            log_file,
            proxies,
            _normalization(fields),
            access_log.decode(fields),
            UpgradeSettings() if upgrades is None else decode_upgrades(upgrades, findings),
            http10,
            bounds,
            _tracing(fields),
            fields.boolean("explainHeaders") or False,
        ),
        _CONNECT_TIMEOUT if timeout is None else timeout,
        DEFAULT_RETRIES if retries is None else decode_retries(retries, findings),
        # Whether there is an outlierDetection beside it is a matter of each destination.
        None if places is None else locality.decode(places, findings, ejecting=True),
    )


def _proxy_metadata(fields: Fields) -> tuple[bool, float | None]:
    """Whether HTTP/1.0 is served, and the idle timeout of client connections: variables that Istio gives its proxy."""
    http10, idle = False, None
    for name, node in fields.entries("proxyMetadata"):
        text = fields.findings.attempt(node.string)
        if text is None:
            continue
        if name == _HTTP10:
            http10 = text == "1"
            if text not in ("0", "1"):
                fields.findings.warning(node.location, f"{name} is {text!r}, which is off: only '1' is on")
        elif name == _IDLE_TIMEOUT:
            idle = fields.findings.attempt(limits.seconds, node)
        else:
            hint = f"{_HTTP10} and {_IDLE_TIMEOUT} have one"
            fields.findings.warning(node.location, f"{node.path} has no effect here", hint)
    return http10, idle


def _tracing(fields: Fields) -> bool:
    wanted = fields.boolean("enableTracing") or False
    if wanted and not _is_installed("opentelemetry.trace"):
        message = f"{fields.path_of('enableTracing')} needs OpenTelemetry's API, which is not installed"
        fields.findings.error(fields.location_of("enableTracing"), message, "pip install 'meshproxy[tracing]'")
    return wanted


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _normalization(fields: Fields) -> str:
    node = fields.get("pathNormalization")
    if node is None:
        return "BASE"
    inner = Fields(node, fields.findings, ("normalization",))
    name = inner.read("normalization", lambda found: checks.one_of(found, _NORMALIZATIONS))
    return _NORMALIZATIONS[name or "DEFAULT"]
