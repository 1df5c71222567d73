"""Health checks for all workers: the supervisor makes them, workers are told what comes of it.

The names of endpoints are looked up here too, though only where endpoints are checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any

from meshproxy.model import Cluster
from meshproxy.net.probing import Prober
from meshproxy.reload import RunInThread
from meshproxy.upstream.building import Builds
from meshproxy.upstream.checking import Verdicts
from meshproxy.upstream.discovery import Discovery
from meshproxy.upstream.names import Resolver
from meshproxy.upstream.probes import HealthProbes, Probe
from meshproxy.upstream.resolver import SystemResolver
from meshproxy.workers import commands
from meshproxy.workers.crew import WorkerLink, tell


class Checks:
    """See the head of this module. ``links`` are the workers that serve; the rest is as for ``service.MeshService``."""

    def __init__(
        self,
        reactor: Any,
        links: Callable[[], Iterable[WorkerLink]],
        run_in_thread: RunInThread,
        probe: Probe | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._links = links
        self._told: set[WorkerLink] = set()
        self._prober = Prober(reactor)
        self.probes = HealthProbes(reactor, probe or self._prober, self._publish, Random().random)
        self._resolver = SystemResolver(reactor) if resolver is None else None
        names_from: Any = self._resolver or resolver
        self._discovery = Discovery(reactor, names_from, Builds(run_in_thread), self.probes.replace)

    def follow(self, clusters: Mapping[str, Cluster]) -> None:
        """These clusters are served from now on."""
        checked = {name: cluster for name, cluster in clusters.items() if cluster.health_check is not None}
        self.probes.follow(self._discovery.follow(checked))

    def greet(self) -> None:
        """Tell workers that have begun to serve all that is known."""
        serving = set(self._links())
        verdicts = self.probes.verdicts()
        for link in serving - self._told if verdicts else ():
            _apply(link, verdicts)
        self._told = serving

    def stop(self) -> None:
        """Check nothing any more."""
        self.probes.stop()
        self._prober.close()
        self._discovery.stop()
        if self._resolver is not None:
            self._resolver.close()

    def _publish(self, verdicts: Sequence[Verdicts]) -> None:
        for link in self._links():
            _apply(link, verdicts)


def _apply(link: WorkerLink, verdicts: Iterable[Verdicts]) -> None:
    tell(link, commands.Apply, verdicts=json.dumps([it.as_json() for it in verdicts]))


__all__ = ["Checks"]
