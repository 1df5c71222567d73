"""``outlierDetection``: when an endpoint that fails is ejected. Source: Istio's translation to Envoy."""

from __future__ import annotations

from attrs import frozen

from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.errors import Location
from meshproxy.policies import OutlierDetection

_LARGEST = 2**32 - 1
_LARGEST_SIGNED = 2**31 - 1
_DEFAULT = OutlierDetection()
_COUNTS = ("consecutive5xxErrors", "consecutiveGatewayErrors", "consecutiveLocalOriginFailures")
_TIMES = ("interval", "baseEjectionTime")
_PERCENTS = ("maxEjectionPercent", "minHealthPercent")
_SPLIT = "splitExternalLocalOriginErrors"
_STATUSES = "outlierDetectionHttpErrorCodes"


@frozen(eq=False)
class OutlierSetting:
    """The block and where it stands."""

    detection: OutlierDetection
    location: Location

    @property
    def ejects(self) -> bool:
        """False where none of its counts can be reached."""
        it = self.detection
        return bool(it.consecutive_5xx or it.consecutive_gateway_errors or it.split_local_origin)

    def warn_of_never(self, endpoints: int, service: str, findings: Findings) -> None:
        """Report that not a single one of a service's endpoints may ever be ejected."""
        most = self.detection.max_ejection_percent
        if self.ejects and endpoints and 100.0 / endpoints > most:
            share = (
                f"one of its {endpoints} endpoints is more than" if endpoints > 1 else "its one endpoint is more than"
            )
            message = f"no endpoint of {service} is ever ejected: {share} {most} percent"
            findings.warning(self.location, message, "set maxEjectionPercent, such as 100")


def decode(node: Node, findings: Findings) -> OutlierSetting:
    """The block, with the defaults for what is wrong with it."""
    fields = Fields(node, findings, (*_COUNTS, *_TIMES, *_PERCENTS, "consecutiveErrors", _SPLIT, _STATUSES))
    errors, gateway_errors, local_failures = (fields.integer(name, 0, _LARGEST) for name in _COUNTS)
    interval, base = (fields.duration(name) for name in _TIMES)
    most_ejected, least_healthy = (fields.integer(name, 0, 100) for name in _PERCENTS)
    if most_ejected is None and "maxEjectionPercent" in fields:
        most_ejected = 100  # it is wrong, and nothing is to follow from that
    if fields.integer("consecutiveErrors", -_LARGEST_SIGNED, _LARGEST_SIGNED) is not None:
        location = node.key_location("consecutiveErrors")
        message = f"{fields.path_of('consecutiveErrors')} is deprecated and has no effect"
        findings.warning(location, message, "write consecutive5xxErrors", "IST0133")
    split = fields.boolean(_SPLIT) or False
    if local_failures and not split:
        message = f"{fields.path_of('consecutiveLocalOriginFailures')} needs {_SPLIT}: true"
        findings.error(fields.location_of("consecutiveLocalOriginFailures"), message)
    statuses = [findings.attempt(entry.integer, 100, 599) for entry in fields.items(_STATUSES)]
    detection = OutlierDetection(
        _DEFAULT.consecutive_5xx if errors is None else errors,
        gateway_errors or 0,
        split,
        # Zero, where it may stand, means the default, and so does a percentage of zero.
        local_failures or _DEFAULT.consecutive_local_origin_failures,
        interval or _DEFAULT.interval,
        base or _DEFAULT.base_ejection_time,
        most_ejected or _DEFAULT.max_ejection_percent,
        least_healthy or 0,
        frozenset(status for status in statuses if status is not None),
    )
    setting = OutlierSetting(detection, node.location)
    if not setting.ejects:
        findings.warning(node.location, f"{node.path} ejects nobody: its counts are 0", "set consecutive5xxErrors")
    return setting
