"""The service tree of a process that lets workers serve: sockets, the reloadable configuration, workers.

Rules. Sockets are opened here, with the privileges that the process begins with, and live as long as this process, so a
connection that waits to be accepted is not lost with a worker. A configuration is loaded and checked here; only then do
workers hear of it (``rollout``). A worker that cannot take what was checked drains and is followed; only if none can is
the configuration refused.

Ready when each worker serves or has at least tried; from then on, while any does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from attrs import evolve
from prometheus_client.core import Metric
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from meshproxy.admin.metrics import checks
from meshproxy.admin.recent import Value
from meshproxy.admin.served import Processes
from meshproxy.config.sources import Sources
from meshproxy.explain import Asked, Explanation
from meshproxy.handover import Handover
from meshproxy.http.counters import Counters
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.net.sockets import Sockets
from meshproxy.reload import Reload, RunInThread
from meshproxy.service import at_configured_port, warn_about_settings
from meshproxy.serving import Settings, access_log_path, all_ended, open_access_log
from meshproxy.signals import ProcessSignals
from meshproxy.systemd import notify_supervisor, tell_reload
from meshproxy.upstream.drains import Drains, dump_drains
from meshproxy.upstream.traffic import Requests
from meshproxy.workers import commands, inquiries
from meshproxy.workers.census import Census
from meshproxy.workers.checks import Checks
from meshproxy.workers.crew import Crew, WorkerLink, tell
from meshproxy.workers.ejections import SharedEjections
from meshproxy.workers.ending import Ending
from meshproxy.workers.process import Orders
from meshproxy.workers.rollout import Rollout
from meshproxy.workers.sealed import seal

FOLLOW_SECONDS = 10.0
"""How long a reload whose workers have all ended waits for another one."""
HOPELESS = 3
"""So many early ends of a worker while none has ever served end the start."""

_log = Logger()


class Supervisor(MultiService):
    """See the head of this module.

    ``read``, ``load``, ``run_in_thread`` and ``secret_files`` are those of ``reload.Reload``; ``first`` is what they
    gave at first. There are ``size`` workers, ``spawn`` starts the one with a number. ``give_up`` is called when none
    can be started. The rest is as for ``service.MeshService``.
    """

    name = "meshproxy"

    def __init__(
        self,
        reactor: Any,
        first: tuple[Sources, Snapshot],
        settings: Settings,
        identity: ProxyIdentity,
        size: int,
        spawn: Callable[[int], WorkerLink],
        paths: Sequence[str],
        read: Callable[[], Sources],
        load: Callable[[Sources, Snapshot | None], Snapshot],
        run_in_thread: RunInThread,
        give_up: Callable[[], None],
        with_signals: bool = False,
        settle: Callable[[], None] = lambda: None,
        notify: Callable[[str], None] = notify_supervisor,
        sockets: Sockets | None = None,
        secret_files: Callable[[], Mapping[str, bytes | None]] = dict,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reactor = reactor
        self.settings = settings
        self.identity = identity
        self.ready = False
        self.sockets = sockets or Sockets(settings.mapped_ports, settings.listen_address, size)
        self.reload = Reload(
            *(paths, read, self._load, self._installed, reactor, run_in_thread),
            prepare=self._publish,
            secret_files=secret_files,
        )
        self.crew = Crew(reactor, size, spawn, self._admit, self._changed)
        self._rollout = Rollout(Orders(settings.access_log, settings.drain_timeout, identity))
        self.drains = Drains(self._tell_drains)
        self._ending = Ending(reactor, self.crew, settings.drain_timeout)
        self._census = Census(reactor, lambda: self.crew.links, self.crew.replace)
        self._ejections = SharedEjections(lambda: self.crew.serving)
        self._checks = Checks(reactor, lambda: self.crew.serving, run_in_thread)
        sources, snapshot = first
        self._first = self._loaded = (evolve(sources, secret_files=secret_files()), snapshot)
        self._compile, self._secret_files = load, secret_files
        self._run_in_thread = run_in_thread
        self._give_up, self._settle, self._notify = give_up, settle, notify
        self._shares: dict[WorkerLink, tuple[int, int]] = {}
        self._another: Deferred[None] = Deferred()
        self.handover: Handover | None = None
        self._has_served = self._was_ready = self._is_hopeless = False
        self._signals: ProcessSignals | None = None
        if with_signals:
            self._signals = ProcessSignals(
                reactor, settings.drain_timeout, self._hang_up, self.reopen_access_log, self._restart, self.hurry
            )

    # Start

    def check(self) -> None:
        """As ``service.MeshService.check``."""
        _, snapshot = self._first
        self.sockets.open(snapshot.listeners)
        self._try_access_log(snapshot)

    def privilegedStartService(self) -> None:
        """Open the sockets unless that was done; raises ``ConfigError``."""
        self.sockets.open(self._first[1].listeners)
        super().privilegedStartService()  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        """Start the workers as soon as the reactor runs."""
        if self._signals is not None:
            self._signals.install()
        sources, snapshot = self._first
        self.sockets.open(snapshot.listeners)
        self._rollout.begin(sources, self.sockets.serving(snapshot.listeners))
        warn_about_settings(self.settings, self.sockets, snapshot)
        super().startService()  # type: ignore[no-untyped-call]
        self.reactor.callWhenRunning(self._start_workers)

    def _start_workers(self) -> None:
        if self.running:
            self._checks.follow(self._first[1].clusters)
            self._census.start()
            self.crew.start()

    # Workers

    def _admit(self, link: WorkerLink) -> Deferred[None]:
        link.ended.addCallback(self._gone, link)
        link.on_ejections = partial(self._ejections.heard, link)
        return Deferred.fromCoroutine(self._rollout.admit(link))

    def _gone(self, how: str, link: WorkerLink) -> str:
        self._rollout.forget(link)
        self._census.gone(link)
        self._shares.pop(link, None)
        return how

    def _changed(self) -> None:
        serving = self.crew.serving
        is_another = not self._shares.keys() >= set(serving)
        for position, link in enumerate(serving):
            share = (position, len(serving))
            if self._shares.get(link) != share:
                if link not in self._shares and self.drains.all:
                    tell(link, commands.Drain, drains=dump_drains(self.drains.all))
                self._shares[link] = share
                tell(link, commands.Share, position=position, workers=len(serving))
        self._checks.greet()
        self._ejections.greet()
        if is_another:
            self._wait_no_longer()
        if serving and not self._has_served:
            self._has_served = True
            self.reload.installed(self._first[1])
            self.reload.setServiceParent(self)  # type: ignore[no-untyped-call]
            self._settle()
        self.ready = bool(serving) and (self._was_ready or self.crew.settled)
        if self.ready and not self._was_ready:
            self._was_ready = True
            _log.info("{n} workers serve", n=len(serving))
            self._notify("READY=1")
        if not (self._has_served or self._is_hopeless) and self.crew.most_early_ends >= HOPELESS:
            self._is_hopeless = True
            _log.critical("No worker can be started: giving up")
            self._give_up()

    def _tell_drains(self) -> None:
        for link in self.crew.serving:
            tell(link, commands.Drain, drains=dump_drains(self.drains.all))

    # Configuration

    def _load(self, sources: Sources, previous: Snapshot | None) -> Snapshot:
        snapshot = self._compile(sources, previous)
        self._loaded = (evolve(sources, secret_files=self._secret_files()), snapshot)
        return snapshot

    def _publish(self, snapshot: Snapshot) -> Deferred[None]:
        return Deferred.fromCoroutine(self._publish_in_steps(snapshot))

    async def _publish_in_steps(self, snapshot: Snapshot) -> None:
        sources, loaded = self._loaded
        assert loaded is snapshot
        self._try_access_log(snapshot)
        opened = self.sockets.open(snapshot.listeners)
        try:
            sealed = await self._run_in_thread(seal, sources)
            serving = self.sockets.serving(snapshot.listeners)
            await self._rollout.publish(
                sealed, serving, lambda: self.crew.serving, self._cannot_take, self._wait_for_another
            )
        except Exception:
            self.sockets.close(opened)
            raise

    def _cannot_take(self, link: WorkerLink, why: str) -> None:
        # It is to finish what it has; perhaps it is doing that already.
        if self.running and link in self.crew.serving:
            self.crew.retire(link, why)
            tell(link, commands.Stop)

    def _wait_for_another(self) -> Deferred[None]:
        self._another = Deferred()
        return self._another.addTimeout(FOLLOW_SECONDS, self.reactor).addErrback(lambda late: None)

    def _wait_no_longer(self) -> None:
        if not self._another.called:
            self._another.callback(None)

    def _installed(self, snapshot: Snapshot) -> None:
        """All workers serve it."""
        self._checks.follow(snapshot.clusters)
        self.sockets.keep(snapshot.listeners)

    def _try_access_log(self, snapshot: Snapshot) -> None:
        """Raise ``ConfigError`` if workers will not be able to open it."""
        log = open_access_log(access_log_path(self.settings, snapshot.mesh), self.reactor, Counters())
        if log is not None:
            log.close()

    def _hang_up(self) -> None:
        # Before that, the first look at the files is still to come.
        if self.reload.running:
            tell_reload(self._notify, lambda: self.ready and bool(self.running), self.reload.ask("SIGHUP"))

    def _restart(self) -> None:
        if self.handover is not None:
            self.handover.begin()

    def reopen_access_log(self) -> None:
        """Have all workers go on in a new file of the same name."""
        for link in self.crew.links:
            tell(link, commands.ReopenAccessLog)

    # Figures, as admin.served has them

    @property
    def processes(self) -> Processes:
        """The workers."""
        return Processes(self.crew.size, len(self.crew.serving), self.crew.restarts)

    def traffic(self) -> Iterable[Metric]:
        """What all workers have counted, as of their last answers."""
        return chain(self._census.total(), checks(self._checks.probes))

    def requests(self) -> Requests:
        """The requests of all workers, as of their last answers."""
        return self._census.requests()

    @property
    def listeners(self) -> int:
        """The number of listeners."""
        return 0 if self.reload.snapshot is None else len(self.reload.snapshot.listeners)

    def gather(self) -> Deferred[None]:
        """Ask all workers for their figures; fires when they have answered, or a moment later."""
        return self._census.gather()

    def clusters(self, part: str) -> Deferred[Sequence[list[Value]]]:
        """Those of all workers that answer in time."""
        return Deferred.fromCoroutine(inquiries.clusters(self.reactor, self.crew.serving, part))

    def explain(self, asked: Asked) -> Deferred[Explanation]:
        """As a worker sees it: the first one that answers."""
        asked = at_configured_port(asked, self.sockets, self.reload.snapshot)
        return Deferred.fromCoroutine(inquiries.explanation(self.reactor, self.crew.serving, asked))

    # Stop

    def hurry(self) -> None:
        """Wait no longer for what is under way, in a stop that has begun or is to come."""
        self._ending.hurry()

    def stopService(self) -> Deferred[None]:
        """Let the workers end in order; fires when they have."""
        Service.stopService(self)
        self.ready = False
        if self.handover is None or not self.handover.done:
            self._notify("STOPPING=1")
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        unchanging = self.reload.stopService() if self.reload.running else all_ended([])
        self._census.stop()
        self._checks.stop()
        if self.handover is not None:
            self.handover.stop()
        self._wait_no_longer()
        self._ending.begin()
        self.sockets.keep(())
        await self._ending.wait(all_ended([unchanging]))
        await all_ended([maybeDeferred(child.stopService) for child in self if child.running])
        if self._signals is not None:
            self._signals.restore()


__all__ = ["Supervisor"]
