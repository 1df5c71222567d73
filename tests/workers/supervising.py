"""A supervisor whose workers are only played."""

from __future__ import annotations

from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.sources import Source, Sources
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.net.sockets import Sockets
from meshproxy.reload import Outcome
from meshproxy.serving import Settings
from meshproxy.workers import commands
from meshproxy.workers.commands import (
    Count,
    Share,
    Stop,
)
from meshproxy.workers.figures import dump
from meshproxy.workers.supervisor import (
    Supervisor,
)
from tests.serving import FakeReactor, snapshot
from tests.workers.crews import FakeLink

FIGURES = dump([CounterMetricFamily("asked", "Asked.", 5), GaugeMetricFamily("busy", "Busy.", 1)])
ALL = [getattr(commands, name) for name in commands.__all__ if name not in ("Text", "Refused")]


class RealDescriptors(FakeReactor):
    """Its sockets have a descriptor that can be copied."""

    def bind(self, ip: str, port: int, count: int, shared: bool) -> list[Any]:
        bound = super().bind(ip, port, count, shared)
        for each in bound:
            each.fileno = lambda: 0
        return bound


class SupervisorTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = RealDescriptors()
        self.links: list[FakeLink] = []
        self.told: list[str] = []
        self.given_up = 0
        self.willing = True
        self.next = snapshot(80)
        self.secret_files: dict[str, bytes | None] = {}

    def spawn(self, number: int) -> FakeLink:
        link = FakeLink(number, 100 + len(self.links))
        if self.willing:
            link.answers = {command: {} for command in ALL if command is not Stop}
            link.answers[Count] = {"figures": FIGURES}
        self.links.append(link)
        return link

    def supervisor(self, first: Snapshot | None = None, **settings: Any) -> Supervisor:
        def give_up() -> None:
            self.given_up += 1

        return Supervisor(
            self.reactor,
            (Sources((), "first"), first or self.next),
            Settings(**{"access_log": "off", "drain_timeout": 5.0, **settings}),
            ProxyIdentity(),
            2,
            self.spawn,
            [],
            lambda: Sources((Source("mesh.yaml", ""),), self.next.digest),
            lambda sources, previous: self.next,
            maybeDeferred,
            give_up,
            notify=self.told.append,
            sockets=Sockets(count=2, bind=self.reactor.bind),
            secret_files=lambda: self.secret_files,
        )

    def started(self, *args: Any, **settings: Any) -> Supervisor:
        supervisor = self.supervisor(*args, **settings)
        supervisor.privilegedStartService()
        supervisor.startService()
        self.addCleanup(self.stop, supervisor)
        for call in self.reactor.when_running:
            call()
        return supervisor

    def stop(self, supervisor: Supervisor) -> None:
        if supervisor.running:
            supervisor.stopService()
        for link in self.links:
            if not link.ended.called:
                link.end("status 0")

    def reload(self, supervisor: Supervisor, to: Snapshot) -> Deferred[Outcome]:
        self.next = to
        return supervisor.reload.ask("test")

    def kill(self, number: int) -> None:
        self.links[number].end()
        self.reactor.advance(0)

    def shares(self) -> list[tuple[int, int]]:
        """The last share that each worker was told."""
        return [
            next((a["position"], a["workers"]) for command, a in reversed(link.told) if command is Share)
            for link in self.links
        ]
