"""What ejections leave behind: figures, and lines in the log, of which a storm of them makes only so many.

Reasons are few, and no figure is kept for a cluster or an endpoint, so their number does not grow with the mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import frozen
from twisted.logger import Logger

from meshproxy.upstream.loglines import LineLimit
from meshproxy.upstream.outliers import Reason

_log = Logger()


@frozen
class Ejection:
    """That an endpoint was ejected, or without a ``reason`` that it is not any more, for other workers to follow.

    ``since`` is the clock's, which all processes of a machine share. It lasts for ``multiplier`` base times.
    """

    cluster: str
    key: str
    reason: Reason | None = None
    since: float = 0.0
    multiplier: int = 0

    def as_json(self) -> list[Any]:
        """As values that JSON has."""
        return [self.cluster, self.key, self.reason and self.reason.value, self.since, self.multiplier]

    @classmethod
    def from_json(cls, value: list[Any]) -> Ejection:
        """What ``as_json`` made."""
        cluster, key, reason, since, multiplier = value
        return cls(cluster, key, reason and Reason(reason), since, multiplier)


class Ejections:
    """Those of all clusters of a process. ``clock`` provides ``IReactorTime``.

    ``by_reason`` counts ejections since the process began, ``spared`` those that a limit prevented, ``active`` is how
    many endpoints are ejected now, also by other workers, who are told of what happens here by ``tell``.
    """

    def __init__(self, clock: Any) -> None:
        self.by_reason = dict.fromkeys(Reason, 0)
        self.spared = 0
        self.active = 0
        self.tell: Callable[[Ejection], None] = _told_to_nobody
        self._lines = LineLimit(clock, "ejections and returns")

    def ejected(self, ejection: Ejection, seconds: float) -> None:
        """An endpoint is ejected for so many seconds at least."""
        assert ejection.reason is not None
        self.by_reason[ejection.reason] += 1
        self.active += 1
        if self._lines.allows():
            text = "Endpoint {key} of cluster {cluster} is ejected for {seconds:g} s or more: {reason}"
            _log.warn(text, key=ejection.key, cluster=ejection.cluster, reason=ejection.reason.value, seconds=seconds)
        self.tell(ejection)

    def returned(self, cluster: str, key: str, seconds: float) -> None:
        """It is back after so many seconds."""
        self.active -= 1
        if self._lines.allows():
            text = "Endpoint {key} of cluster {cluster} is back after {seconds:.1f} s"
            _log.info(text, key=key, cluster=cluster, seconds=seconds)
        self.tell(Ejection(cluster, key))

    def forgotten(self, cluster: str, keys: Iterable[str]) -> None:
        """These ejected endpoints are no longer configured, or their cluster ejects none any more."""
        for key in keys:
            self.active -= 1
            self.tell(Ejection(cluster, key))


def _told_to_nobody(ejection: Ejection) -> None:
    """For a process that serves alone."""


__all__ = ["Ejection", "Ejections"]
