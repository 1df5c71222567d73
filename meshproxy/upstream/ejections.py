"""What ejections leave behind: figures, and lines in the log, of which a storm of them makes only so many.

Reasons are few, and no figure is kept for a cluster or an endpoint, so their number does not grow with the mesh.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from meshproxy.upstream.outliers import Reason

MOST_LINES = 20
LINES_SECONDS = 10.0
"""That many lines in so many seconds."""

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
        self._clock = clock
        self._window_began = float("-inf")
        self._lines = 0
        self._summary: Any = None

    def ejected(self, cluster: str, key: str, reason: Reason, seconds: float) -> None:
        """An endpoint is ejected for so many seconds at least."""
        self.by_reason[reason] += 1
        self.active += 1
        if self._may_log():
            text = "Endpoint {key} of cluster {cluster} is ejected for {seconds:g} s or more: {reason}"
            _log.warn(text, key=key, cluster=cluster, reason=reason.value, seconds=seconds)

    def returned(self, cluster: str, key: str, seconds: float) -> None:
        """It is back after so many seconds."""
        self.active -= 1
        if self._may_log():
            text = "Endpoint {key} of cluster {cluster} is back after {seconds:.1f} s"
            _log.info(text, key=key, cluster=cluster, seconds=seconds)

    def forgotten(self, count: int) -> None:
        """So many ejected endpoints are no longer configured, or their cluster ejects none any more."""
        self.active -= count

    def _may_log(self) -> bool:
        now = self._clock.seconds()
        if now - self._window_began >= LINES_SECONDS:
            if self._summary is not None:
                self._summary.cancel()
                self._sum_up()
            self._window_began = now
            self._lines = 0
        self._lines += 1
        if self._lines > MOST_LINES and self._summary is None:
            self._summary = self._clock.callLater(self._window_began + LINES_SECONDS - now, self._sum_up)
        return self._lines <= MOST_LINES

    def _sum_up(self) -> None:
        self._summary = None
        _log.warn("{count} more ejections and returns are not logged", count=self._lines - MOST_LINES)


__all__ = ["LINES_SECONDS", "MOST_LINES", "Ejections"]
