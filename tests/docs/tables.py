"""The tables of fields under ``docs/reference``, read back.

A table stands behind a paragraph "At `PATH`, `PATH`:" (or "At the top of the document:"), its rows have fields in their
first column and a status in the second. A heading of the second level that is the name of a kind begins its tables.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from meshproxy.config.objects import KINDS
from tests.docs.fieldnames import ANY_KEY

STATUSES = ("served", "partly", "not yet", "no effect", "refused")
_HEADING = re.compile(r"^#+ (\w+)")
_WORD = re.compile(r"`([^`]+)`")


def tables(pages: Sequence[Path]) -> dict[str, dict[str, str]]:
    """For each kind the paths of its fields, and the status of each."""
    found: dict[str, dict[str, str]] = {}
    for page in pages:
        kind = ""
        places: list[str] = []
        for paragraph in page.read_text().split("\n\n"):
            heading = _HEADING.match(paragraph)
            if heading is not None:
                kind = heading[1] if heading[1] in KINDS else kind
            elif paragraph.startswith("At "):
                places = [f"{place}." for place in _WORD.findall(paragraph)] or [""]
            elif paragraph.startswith("| Field "):
                for row in paragraph.splitlines()[2:]:
                    _, fields, status, *_ = (cell.strip() for cell in row.split("|"))
                    if status not in STATUSES:
                        raise ValueError(f"{page.name}: {status!r} is no status, in {row!r}")
                    paths = (f"{place}{field}" for place in places for field in _WORD.findall(fields))
                    for path in (it.replace("KEY", ANY_KEY) for it in paths):
                        if path in found.setdefault(kind, {}):
                            raise ValueError(f"{page.name} has {path} of {kind} twice")
                        found[kind][path] = status
    return found
