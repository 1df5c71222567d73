"""What ejections leave behind: figures, and lines in the log, of which a storm of them makes only so many.

Reasons are few, and no figure is kept for a cluster or an endpoint, so their number does not grow with the mesh.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from meshproxy.upstream.loglines import LineLimit
from meshproxy.upstream.outliers import Reason

_log = Logger()


class Ejections:
    """Those of all clusters of a process. ``clock`` provides ``IReactorTime``.

    ``by_reason`` counts ejections since the process began, ``spared`` those that a limit prevented, ``active`` is how
    many endpoints are ejected now.
    """

    def __init__(self, clock: Any) -> None:
        self.by_reason = dict.fromkeys(Reason, 0)
        self.spared = 0
        self.active = 0
        self._lines = LineLimit(clock, "ejections and returns")

    def ejected(self, cluster: str, key: str, reason: Reason, seconds: float) -> None:
        """An endpoint is ejected for so many seconds at least."""
        self.by_reason[reason] += 1
        self.active += 1
        if self._lines.allows():
            text = "Endpoint {key} of cluster {cluster} is ejected for {seconds:g} s or more: {reason}"
            _log.warn(text, key=key, cluster=cluster, reason=reason.value, seconds=seconds)

    def returned(self, cluster: str, key: str, seconds: float) -> None:
        """It is back after so many seconds."""
        self.active -= 1
        if self._lines.allows():
            text = "Endpoint {key} of cluster {cluster} is back after {seconds:.1f} s"
            _log.info(text, key=key, cluster=cluster, seconds=seconds)

    def forgotten(self, count: int) -> None:
        """So many ejected endpoints are no longer configured, or their cluster ejects none any more."""
        self.active -= count


__all__ = ["Ejections"]
