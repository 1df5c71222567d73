"""Findings for programs: JSON, and the workflow commands that GitHub shows beside the lines of a change.

The JSON is a promise to scripts: keys may be added, none is renamed or removed while ``version`` is the same.
``docs/check.md`` describes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from attrs import asdict, frozen

from meshproxy.config.diagnostics import visible
from meshproxy.config.findings import as_object, in_order
from meshproxy.errors import Diagnostic, Severity

VERSION = 1


@frozen
class Checked:
    """What a check looked at, in numbers."""

    documents: int
    listeners: int
    routes: int
    clusters: int

    def __str__(self) -> str:
        counts = [f"{number} {name if number != 1 else name[:-1]}" for name, number in asdict(self).items()]
        return f"{counts[0]}: {', '.join(counts[1:])}"


def as_json(diagnostics: Iterable[Diagnostic], checked: Checked | None) -> str:
    """One JSON object; ``checked`` is null where the configuration does not load."""
    findings = in_order(diagnostics)
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    report = {
        "version": VERSION,
        "errors": errors,
        "warnings": len(findings) - errors,
        "checked": None if checked is None else asdict(checked),
        "findings": [as_object(finding) for finding in findings],
    }
    return json.dumps(report, indent=2) + "\n"


def as_github(diagnostics: Iterable[Diagnostic]) -> str:
    """A workflow command for each finding, in order of place."""
    return "".join(f"{_command(finding)}\n" for finding in in_order(diagnostics))


def _command(finding: Diagnostic) -> str:
    place = finding.location
    properties = {} if place is None else {"file": place.file, "line": str(place.line), "col": str(place.column)}
    if finding.code:
        properties["title"] = finding.code
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    message = visible(finding.message)
    if finding.hint:
        message += f"\nhint: {visible(finding.hint)}"
    return f"::{finding.severity.value}{' ' if listed else ''}{listed}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
