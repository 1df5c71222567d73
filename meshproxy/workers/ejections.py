"""One worker ejects an endpoint, and all of them do: the supervisor passes on what each says, and remembers it.

Each worker counts the failures that it sees itself, so an endpoint may fail more often before the first worker ejects
it than it would with one; from then on all are of one mind, and also about its return.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from meshproxy.upstream.ejections import Ejection
from meshproxy.workers import commands
from meshproxy.workers.crew import WorkerLink, tell


class SharedEjections:
    """See the head of this module. ``links`` are the workers that serve."""

    def __init__(self, links: Callable[[], Iterable[WorkerLink]]) -> None:
        self._links = links
        self._told: set[WorkerLink] = set()
        self._ejected: dict[tuple[str, str], Ejection] = {}

    def heard(self, link: WorkerLink, text: str) -> None:
        """A worker says what became of endpoints."""
        for ejection in map(Ejection.from_json, json.loads(text)):
            if ejection.reason is None:
                self._ejected.pop((ejection.cluster, ejection.key), None)
            else:
                self._ejected[ejection.cluster, ejection.key] = ejection
        for other in self._links():
            if other is not link:
                tell(other, commands.Ejected, ejections=text)

    def greet(self) -> None:
        """Tell workers that have begun to serve which endpoints are ejected."""
        serving = set(self._links())
        text = json.dumps([ejection.as_json() for ejection in self._ejected.values()])
        for link in serving - self._told if self._ejected else ():
            tell(link, commands.Ejected, ejections=text)
        self._told = serving


__all__ = ["SharedEjections"]
