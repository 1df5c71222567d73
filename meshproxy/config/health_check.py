"""``healthCheck`` of a BackendPolicy: endpoints are asked again and again whether they are healthy.

Source of the fields: Envoy's health checks, which Istio does not let one ask for.
"""

from __future__ import annotations

import re

from attrs import evolve, field, frozen

from meshproxy.config import checks
from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.syntax import is_token
from meshproxy.errors import ConfigError, Location
from meshproxy.policies import HealthCheck, HttpProbe

_MOST = 1_000
_MOST_PERCENT = 100
_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_TARGET = re.compile(r"/[!-~]*")
_VALUE = re.compile(r"[!-~]([\t -~]*[!-~])?|")
_STATUSES = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?")
# What frames the request or says who asks is not for the configuration.
_OWN = frozenset({"host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "expect"})
_DEFAULT = HealthCheck()


@frozen(eq=False)
class CheckSetting:
    """The block and where it stands."""

    location: Location
    check: HealthCheck = field(factory=HealthCheck)

    def of(self, service: str) -> HealthCheck:
        """The check of a service's endpoints: without a host of its own, it asks for the service's."""
        http = self.check.http
        return self.check if http is None or http.host else evolve(self.check, http=evolve(http, host=service))


def decode(node: Node, findings: Findings) -> CheckSetting:
    """The block, with the defaults for what is wrong with it."""
    times, thresholds = ("interval", "timeout"), ("unhealthyThreshold", "healthyThreshold")
    fields = Fields(node, findings, ("http", "tcp", *times, "jitterPercent", *thresholds, "port"))
    http, tcp = fields.get("http"), fields.get("tcp")
    if tcp is not None:
        Fields(tcp, findings, ())
    if (http is None) == (tcp is None) and node.kind == "mapping":
        findings.error(node.location, f"{node.path} must have one of http and tcp", "such as http: {path: /healthz}")
    interval, timeout = (fields.duration(name) for name in times)
    jitter = fields.integer("jitterPercent", 0, _MOST_PERCENT)
    unhealthy, healthy = (fields.integer(name, 1, _MOST) for name in thresholds)
    check = HealthCheck(
        None if http is None else _http(http, findings),
        interval or _DEFAULT.interval,
        _DEFAULT.jitter if jitter is None else jitter / 100,
        timeout or _DEFAULT.timeout,
        unhealthy or _DEFAULT.unhealthy_threshold,
        healthy or _DEFAULT.healthy_threshold,
        fields.read("port", checks.port_number),
    )
    return CheckSetting(node.location, check)


def _http(node: Node, findings: Findings) -> HttpProbe:
    fields = Fields(node, findings, ("path", "host", "method", "headers", "expectedStatuses"))
    headers: list[tuple[str, str]] = []
    for name, value in fields.entries("headers"):
        text = findings.attempt(value.string)
        if not is_token(name) or name.lower() in _OWN:
            message = f"{name!r} in {fields.path_of('headers')} is no header that can be set"
            findings.error(value.location, message, "host is a field of its own" if name.lower() == "host" else "")
        elif text is not None and not _VALUE.fullmatch(text):
            findings.error(value.location, f"{value.path} must be visible ASCII")
        elif text is not None:
            headers.append((name, text))
    statuses = [findings.attempt(_statuses, entry) for entry in fields.items("expectedStatuses")]
    return HttpProbe(
        fields.read("path", _path) or "/",
        fields.read("host", checks.host_or_ip) or "",
        fields.read("method", lambda it: checks.one_of(it, _METHODS)) or "GET",
        tuple(headers),
        tuple(found for found in statuses if found is not None) or ((200, 200),),
    )


def _path(node: Node) -> str:
    text = node.string()
    if not _TARGET.fullmatch(text) or "#" in text:
        node.fail(f"{node.path} must be a path that begins with a slash, not {text!r}")
    return text


def _statuses(node: Node) -> tuple[int, int]:
    try:
        text = node.string()
    except ConfigError:
        status = node.integer(100, 599)
        return (status, status)
    match = _STATUSES.fullmatch(text)
    if match is None or match[1] > (match[2] or match[1]):
        node.fail(f"{node.path} must be a status or a range", "such as 204 or 200-399")
    return (int(match[1]), int(match[2] or match[1]))
