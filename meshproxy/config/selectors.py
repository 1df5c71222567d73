"""``workloadSelector``: the labels by which an object chooses workloads or proxies."""

from __future__ import annotations

from collections.abc import Mapping

from meshproxy.config.decoding import Fields
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node

_LONGEST_VALUE = 63


def read_selector(node: Node, labels: str, most: int, findings: Findings) -> Mapping[str, str]:
    """The labels in the field ``labels`` of a selector, without those that are wrong. None at all select everything."""
    fields = Fields(node, findings, (labels,))
    entries = fields.entries(labels)
    given = fields.get(labels)
    if not entries and (node.kind == "mapping" if given is None else given.kind == "mapping"):
        findings.warning(node.location, f"{node.path} without labels selects everything", code="IST0133")
    if len(entries) > most:
        findings.error(fields.location_of(labels), f"{fields.path_of(labels)} may have at most {most} labels")
    found = {}
    for key, child in entries:
        value = findings.attempt(child.string)
        if value is None:
            continue
        if not key:
            findings.error(child.location, f"a label of {fields.path_of(labels)} has no name")
        elif "*" in key or "*" in value:
            findings.error(child.location, f"{child.path} may not have '*' in it")
        elif len(value) > _LONGEST_VALUE:
            findings.error(child.location, f"{child.path} may have at most {_LONGEST_VALUE} characters")
        else:
            found[key] = value
    return found


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a selector takes what has these labels."""
    return selector.items() <= labels.items()
