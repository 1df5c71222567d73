"""The status of a gateway as one JSON document: what it serves, in which state, and since when.

The document is a promise to programs: keys may be added, none is renamed or removed while ``version`` is the same.
``docs/status.md`` describes it. It is made and written in pieces, so that many endpoints do not hold up requests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from meshproxy import __version__
from meshproxy.admin import routelist
from meshproxy.admin.clusterstatus import merged
from meshproxy.admin.recent import Value, finish
from meshproxy.admin.served import Served
from meshproxy.admin.turns import Turns
from meshproxy.config.findings import as_object, in_order
from meshproxy.errors import Diagnostic
from meshproxy.reload import Outcome, Reload

VERSION = 1
MOST_FINDINGS = 100


async def gathered(service: Served, part: str, now: float, uptime: float, turns: Turns) -> Value:
    """The whole document, clusters with ``part`` in their names in it. ``now``: Unix time, ``uptime``: seconds."""
    processes = await service.clusters(part)
    clusters = merged(processes)
    await finish(clusters, turns)
    reload = service.reload
    snapshot = reload.snapshot
    return {
        "version": VERSION,
        "meshproxy": __version__,
        "time": round(now, 3),
        "uptime": round(uptime, 3),
        "ready": service.ready,
        "processes": len(processes),
        "configuration": _configuration(reload),
        "listeners": [] if snapshot is None else await routelist.listeners(snapshot, turns),
        "clusters": clusters,
    }


def _configuration(reload: Reload) -> Value:
    snapshot, outcome = reload.snapshot, reload.last_outcome
    warnings = () if snapshot is None else snapshot.warnings
    return {
        "generation": reload.generation,
        "digest": None if snapshot is None else snapshot.digest,
        "installed_at": reload.last_success_at,
        "documents": 0 if snapshot is None else snapshot.documents,
        "warnings": len(warnings),
        "findings": _findings(warnings),
        "last_reload": None
        if outcome is None
        else {
            "result": outcome.result.value,
            "at": reload.last_outcome_at,
            "error": _error(outcome) or None,
            "findings": _findings(outcome.findings),
        },
    }


def _error(outcome: Outcome) -> str:
    """Without the source lines, too."""
    return "\n".join(map(str, in_order(outcome.findings))) or outcome.error


def _findings(diagnostics: Iterable[Diagnostic]) -> list[Value]:
    """Without the source lines, which may have what is secret."""
    found = [as_object(diagnostic) for diagnostic in in_order(diagnostics)[:MOST_FINDINGS]]
    return [{name: value for name, value in it.items() if name != "excerpt"} for it in found]


async def encoded(document: Value, turns: Turns) -> str:
    """The document as JSON."""
    return f'{_without(document, "clusters")}, "clusters": {await encoded_clusters(document["clusters"], turns)}}}\n'


async def encoded_clusters(clusters: Sequence[Value], turns: Turns) -> str:
    """Clusters as JSON."""
    pieces = ["["]
    for number, cluster in enumerate(clusters):
        pieces += (", " if number else "", _without(cluster, "endpoints"), ', "endpoints": [')
        for at, endpoint in enumerate(cluster["endpoints"]):
            pieces += (", " if at else "", json.dumps(endpoint))
            if not at % 50:
                await turns.pause()
        pieces.append("]}")
    return "".join([*pieces, "]"])


def _without(value: Value, name: str) -> str:
    """An object that is still open."""
    return json.dumps({key: it for key, it in value.items() if key != name}).removesuffix("}")


__all__ = ["MOST_FINDINGS", "VERSION", "encoded", "encoded_clusters", "gathered"]
