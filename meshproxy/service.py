"""The service tree of a process that serves by itself: what ``serving`` has, its sockets, its reloadable configuration.

Sockets are opened with the privileges that the process begins with.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from random import Random
from typing import Any

from attrs import evolve
from prometheus_client.core import Metric
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from meshproxy.admin.metrics import checks
from meshproxy.admin.recent import Value
from meshproxy.admin.served import Processes
from meshproxy.explain import Asked, Explanation
from meshproxy.handover import Handover
from meshproxy.model import Snapshot
from meshproxy.net.probing import Prober
from meshproxy.net.sockets import Sockets
from meshproxy.reload import Reload, RunInThread
from meshproxy.serving import STANDARD_OUTPUT, Serving, Settings, access_log_path
from meshproxy.signals import ProcessSignals
from meshproxy.systemd import notify_supervisor, tell_reload
from meshproxy.upstream.names import Resolver
from meshproxy.upstream.probes import HealthProbes

_log = Logger()


class MeshService(Serving):
    """Serves ``snapshot``, and what the files at ``paths`` say after it. See the head of this module.

    ``read``, ``load``, ``run_in_thread`` and ``secret_files`` are those of ``reload.Reload``. ``with_signals``: act on
    those that ``signals.ProcessSignals`` has. ``sockets`` are those of the listeners, by default as the settings say;
    the rest is as for ``Serving``.
    """

    name = "meshproxy"

    def __init__(
        self,
        reactor: Any,
        snapshot: Snapshot,
        settings: Settings,
        paths: Sequence[str],
        read: Callable[[], Any],
        load: Callable[[Any, Snapshot | None], Snapshot],
        run_in_thread: RunInThread,
        with_signals: bool = False,
        settle: Callable[[], None] = lambda: None,
        notify: Callable[[str], None] = notify_supervisor,
        resolver: Resolver | None = None,
        sockets: Sockets | None = None,
        secret_files: Callable[[], Mapping[str, bytes | None]] = dict,
    ) -> None:
        super().__init__(reactor, settings, run_in_thread, settle, notify, resolver)
        self._prober = Prober(reactor)
        self.probes = HealthProbes(reactor, self._prober, self.gateway.upstreams.apply, Random().random)
        self.gateway.upstreams.probes = self.probes
        self.sockets = sockets or Sockets(settings.mapped_ports, settings.listen_address)
        self.reload = Reload(
            paths, read, load, self._install, reactor, run_in_thread, prepare=self.prepare, secret_files=secret_files
        )
        self.reload.setServiceParent(self)  # type: ignore[no-untyped-call]
        self.handover: Handover | None = None
        self._first: Snapshot | None = snapshot
        self._signals: ProcessSignals | None = None
        if with_signals:
            self._signals = ProcessSignals(
                reactor, settings.drain_timeout, self._hang_up, self.reopen_access_log, self._restart, self.hurry
            )

    def check(self) -> None:
        """Open the sockets and the access log: all that can fail.

        For a process that still has its terminal: raises ``ConfigError``, and nothing needs a running reactor.
        """
        assert self._first is not None
        self.sockets.open(self._first.listeners)
        self.switch_access_log(self._first)

    def privilegedStartService(self) -> None:
        """Open the sockets unless that was done; raises ``ConfigError``."""
        assert self._first is not None
        self.sockets.open(self._first.listeners)
        super().privilegedStartService()  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        """Begin to serve."""
        if self._signals is not None:
            # First: whoever reads in the log that this process serves may send one.
            self._signals.install()
        first, self._first = self._first, None  # it may be large, and another one may come
        assert first is not None
        self._install(first)
        self.reload.installed(first)
        warn_about_settings(self.settings, self.sockets, first)
        super().startService()

    def _install(self, snapshot: Snapshot) -> None:
        opened = self.sockets.open(snapshot.listeners)
        try:
            self.install(snapshot, self.sockets.serving(snapshot.listeners))
        except Exception:
            self.sockets.close(opened)
            raise
        self.sockets.keep(snapshot.listeners)

    def _hang_up(self) -> None:
        tell_reload(self._notify, lambda: self.ready, self.reload.ask("SIGHUP"))

    def _restart(self) -> None:
        if self.handover is not None:
            self.handover.begin()

    def tell_stopping(self) -> None:
        """See ``Serving``; after a handover, the service goes on in another process."""
        if self.handover is None or not self.handover.done:
            super().tell_stopping()

    def stop_changing(self) -> Deferred[None]:
        """See ``Serving``."""
        self.sockets.keep(())
        return self.reload.stopService()

    # Figures, as admin.served has them

    def traffic(self) -> Iterable[Metric]:
        """What this process has counted."""
        return chain(super().traffic(), checks(self.probes))

    @property
    def processes(self) -> Processes:
        """This one."""
        return Processes(1, int(self.ready))

    @property
    def listeners(self) -> int:
        """The number of listeners."""
        return len(self.ports)

    def gather(self) -> Deferred[None]:
        """Look at hash tables; all other figures of this process are at hand."""
        return Deferred.fromCoroutine(self.look_at_tables())

    def clusters(self, part: str) -> Deferred[Sequence[list[Value]]]:
        """Those of this process."""
        return Deferred.fromCoroutine(self.described(part)).addCallback(lambda values: [values])

    def explain(self, asked: Asked) -> Deferred[Explanation]:
        """As this process sees it."""
        return maybeDeferred(self.explained, at_configured_port(asked, self.sockets, self.gateway.snapshot))

    async def _stop(self) -> None:
        self.probes.stop()
        await self._prober.close()
        if self.handover is not None:
            self.handover.stop()
        await super()._stop()
        if self._signals is not None:
            self._signals.restore()


def at_configured_port(asked: Asked, sockets: Sockets, snapshot: Snapshot | None) -> Asked:
    """A request that comes to a port of ``sockets``, by the port of the configuration that this stands for."""
    if asked.gateway_port is None or snapshot is None:
        return asked
    return evolve(asked, gateway_port=sockets.configured_port(asked.gateway_port, snapshot.listeners))


def warn_about_settings(settings: Settings, sockets: Sockets, snapshot: Snapshot) -> None:
    """Log which settings of the command line have no effect."""
    for port in sockets.unused_mappings(snapshot.listeners):
        _log.warn("--map-port {port}=... has no effect: no server of a Gateway has port {port}", port=port)
    if access_log_path(settings, snapshot.mesh) == STANDARD_OUTPUT and _is_null(1):
        _log.warn("Standard output is /dev/null here, and the access log with it; --access-log PATH writes a file")
    if snapshot.mesh.tracing and not _are_spans_recorded():
        _log.warn("enableTracing has no effect: no SDK of OpenTelemetry is set up that would record spans")


def _are_spans_recorded() -> bool:
    from meshproxy.http.tracing import is_recorded  # see there

    return is_recorded()


def _is_null(descriptor: int) -> bool:
    try:
        return os.fstat(descriptor).st_rdev == os.stat(os.devnull).st_rdev
    except OSError:
        return True


__all__ = ["MeshService", "Settings", "at_configured_port", "warn_about_settings"]
