"""``trafficDistribution`` of a Service, and Istio's annotation for it: both ask for endpoints that are near.

Istio knows where a pod runs by its node, and a gateway without a cluster knows no nodes; so this is told, not done.
"""

from __future__ import annotations

from meshproxy.config.findings import Findings
from meshproxy.config.metadata import Document

_FIELD = "trafficDistribution"
_ANNOTATION = "networking.istio.io/traffic-distribution"
_MESSAGE = "{} has no effect: traffic is not distributed by where nodes are"
_HINT = "localityLbSetting of a DestinationRule or of the Mesh document goes by the localities of endpoints"


def warn_of_no_effect(document: Document, findings: Findings) -> None:
    """A warning where a service asks for this."""
    if document.spec is not None and document.spec.get(_FIELD) is not None:
        where = document.spec.key_location(_FIELD)
        findings.warning(where, _MESSAGE.format(f"spec.{_FIELD}"), _HINT)
    annotations = document.annotations
    if annotations is not None and annotations.get(_ANNOTATION) is not None:
        findings.warning(annotations.key_location(_ANNOTATION), _MESSAGE.format(f"the annotation {_ANNOTATION}"), _HINT)
