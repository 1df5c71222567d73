"""The service tree of a serving process: its ports, its gateway, its access log and its reloadable configuration.

Order of a start: ports are opened with the privileges that the process begins with; the snapshot takes effect; only
then does the reactor accept anything; the service is ready when the host names of clusters were looked up, or some
seconds later. Order of a stop: no reload and no new connection any more, connections drain,
children such as the admin server end (they can tell about the drain until then), the access log is closed.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger

from meshproxy.errors import ConfigError
from meshproxy.http.accesslog import AccessLog
from meshproxy.http.gateway import Gateway
from meshproxy.model import MeshSettings, Snapshot
from meshproxy.net.ports import Ports, reason
from meshproxy.reload import Reload, RunInThread
from meshproxy.signals import Action, Signals
from meshproxy.upstream.discovery import Discovery
from meshproxy.upstream.names import Resolver
from meshproxy.upstream.resolver import SystemResolver

OFF = "off"
STANDARD_OUTPUT = "-"

_LAST_LINES_SECONDS = 2.0  # for an access log that is slow when the process ends

_log = Logger()


@frozen
class Settings:
    """What the command line says about serving.

    ``mapped_ports``: the port to listen on for a port of the configuration. ``listen_address``: for servers without
    ``bind``, empty for all IPv4 addresses. ``access_log``: a path, ``-``, ``off``, or None to leave it to the
    configuration. ``drain_timeout`` is in seconds.
    """

    mapped_ports: Mapping[int, int] = field(factory=dict)
    listen_address: str = ""
    access_log: str | None = None
    drain_timeout: float = 30.0


def access_log_path(settings: Settings, mesh: MeshSettings) -> str:
    """A path, ``-`` for standard output, or ``off``: the command line, else ``accessLogFile``, else ``-``."""
    if settings.access_log is not None:
        return settings.access_log
    named = mesh.access_log_file
    if named is None or named == "/dev/stdout":
        return STANDARD_OUTPUT
    return named or OFF


def settle_memory() -> None:
    """Take what has been loaded out of the garbage collector's sight.

    A full collection walks every object that lives: modules, routes and tables of tens of thousands of entries, while
    requests wait. What was there when serving began, and what an installed snapshot consists of, lives long; frozen, it
    is not walked again. At each reload it is thawed once, so that what the old snapshot leaves behind is found.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def notify_supervisor(state: str) -> None:
    """Tell systemd, or whoever set ``$NOTIFY_SOCKET``, as sd_notify(3) does; nothing happens where nobody did."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaking:
        speaking.setblocking(False)
        try:
            speaking.sendto(state.encode(), address)
        except OSError as error:
            _log.warn("$NOTIFY_SOCKET does not take messages: {why}", why=reason(error))


class MeshService(MultiService):
    """Serves ``snapshot``, and what the files at ``paths`` say after it. See the head of this module.

    ``read``, ``load`` and ``run_in_thread`` are those of ``reload.Reload``. ``reactor`` provides ``IReactorTCP`` and
    ``IReactorTime``. ``with_signals``: act on SIGHUP (reload), SIGUSR1 (reopen the access log), SIGTERM and SIGINT
    (stop; the second time without waiting for the drain). ``settle`` is called after each installation. ``resolver``
    looks up host names, by default as this machine does.
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
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reactor = reactor
        self.settings = settings
        self.ready = False
        self.gateway = Gateway(reactor)
        self.ports = Ports(reactor, settings.mapped_ports, settings.listen_address)
        self._resolver = SystemResolver(reactor) if resolver is None else None
        names_from: Any = self._resolver or resolver
        self.discovery = Discovery(reactor, names_from, run_in_thread, self.gateway.upstreams.replace)
        self.gateway.upstreams.follow = self.discovery.follow
        self.gateway.upstreams.run_in_thread = run_in_thread
        self.reload = Reload(paths, read, load, self._install, reactor, run_in_thread, prepare=self._prepare)
        self.reload.setServiceParent(self)  # type: ignore[no-untyped-call]
        self._first = snapshot
        self._settle = settle
        self._notify = notify
        self._access_log_path = OFF
        self._hurry: Deferred[None] = Deferred()
        self._stop_asked = False
        self._signals: Signals | None = None
        if with_signals:
            actions: dict[int, Action] = {signal.SIGHUP: self._hang_up, signal.SIGUSR1: self.reopen_access_log}
            stopping: dict[int, Action] = {signal.SIGTERM: self._asked_to_stop, signal.SIGINT: self._asked_to_stop}
            self._signals = Signals(reactor, actions, stopping)

    # Start

    def check(self) -> None:
        """Find out whether a start can succeed, and open the access log.

        For a process that still has its terminal: raises ``ConfigError``, and nothing needs a running reactor.
        """
        self.ports.check(self._first.listeners)
        self._switch_access_log(self._first)

    def privilegedStartService(self) -> None:
        """Open the ports; raises ``ConfigError``."""
        self.ports.open(self._first.listeners, self.gateway.factory)
        super().privilegedStartService()  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        """Begin to serve."""
        if self._signals is not None:
            # First: whoever reads in the log that this process serves may send one.
            self._signals.install()
        # Does nothing where privilegedStartService was called; not every runner does.
        self.ports.open(self._first.listeners, self.gateway.factory)
        self._install(self._first)
        self.reload.installed(self._first)
        self._warn_about_settings(self._first)
        self.gateway.start()
        super().startService()  # type: ignore[no-untyped-call]
        self.discovery.answered().addCallback(lambda _: self._become_ready())

    def _become_ready(self) -> None:
        if self.running:
            self.ready = True
            self._notify("READY=1")

    # Configuration

    def _prepare(self, snapshot: Snapshot) -> Deferred[None]:
        return self.discovery.prepare(snapshot.clusters)

    def _install(self, snapshot: Snapshot) -> None:
        """Make a snapshot take effect; raises ``ConfigError`` and changes nothing where it cannot be served."""
        opened = self.ports.open(snapshot.listeners, self.gateway.factory)
        try:
            self._switch_access_log(snapshot)
            self.gateway.install(snapshot)
        except Exception:
            for key in opened:
                self.ports.open_ports.pop(key).stopListening()
            raise
        self.ports.keep(listener.key for listener in snapshot.listeners)
        self._settle()

    def _warn_about_settings(self, snapshot: Snapshot) -> None:
        for port in self.ports.unused_mappings(snapshot.listeners):
            _log.warn("--map-port {port}=... has no effect: no server of a Gateway has port {port}", port=port)
        if self._access_log_path == STANDARD_OUTPUT and _is_null(1):
            _log.warn("Standard output is /dev/null here, and the access log with it; --access-log PATH writes a file")

    # Access log

    def _switch_access_log(self, snapshot: Snapshot) -> None:
        path = access_log_path(self.settings, snapshot.mesh)
        if path != self._access_log_path:
            new = None
            if path != OFF:
                try:
                    new = AccessLog.open(path, self.reactor, self.gateway.counters)
                except OSError as error:
                    raise ConfigError.at(None, f"cannot open the access log {path}: {reason(error)}") from error
            old, self.gateway.access_log, self._access_log_path = self.gateway.access_log, new, path
            if old is not None:
                old.close()
        if self.gateway.access_log is not None:
            self.gateway.access_log.use(snapshot.mesh.access_log_format)

    def reopen_access_log(self) -> None:
        """Go on in a new file of the same name, after the old one was moved away."""
        if self.gateway.access_log is not None:
            self.gateway.access_log.reopen()

    # Signals

    def _hang_up(self) -> None:
        self.reload.ask("SIGHUP")

    def _asked_to_stop(self) -> None:
        if not self._stop_asked:
            self._stop_asked = True
            _log.info("Asked to stop; serving what is under way for at most {s:g} s", s=self.settings.drain_timeout)
            self.reactor.stop()
        elif not self._hurry.called:
            _log.info("Asked to stop again: waiting no longer")
            self._hurry.callback(None)

    # Stop

    def stopService(self) -> Deferred[None]:
        """Stop in order; fires when nothing is served any more. See the head of this module."""
        Service.stopService(self)
        self.ready = False
        self._notify("STOPPING=1")
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self.discovery.stop()
        if self._resolver is not None:
            self._resolver.close()
        drained = self.gateway.drain(self.settings.drain_timeout)
        served = _all([self.reload.stopService(), self.ports.keep(()), drained])
        await DeferredList([served, self._hurry], fireOnOneCallback=True, consumeErrors=True)
        await _all([maybeDeferred(child.stopService) for child in self if child is not self.reload])
        self.gateway.stop()
        access_log, self.gateway.access_log = self.gateway.access_log, None
        if access_log is not None:
            access_log.close(_LAST_LINES_SECONDS)
        if self._signals is not None:
            self._signals.restore()


def _all(deferreds: list[Deferred[None]]) -> Deferred[None]:
    """Fires when all have fired, whatever with; failures are logged, for a stop goes on."""
    for deferred in deferreds:
        deferred.addErrback(lambda failure: _log.failure("Stopping was not clean", failure))
    done: Deferred[None] = DeferredList(deferreds).addCallback(lambda _: None)
    return done


def _is_null(descriptor: int) -> bool:
    try:
        return os.fstat(descriptor).st_rdev == os.stat(os.devnull).st_rdev
    except OSError:
        return True


__all__ = ["OFF", "STANDARD_OUTPUT", "MeshService", "Settings", "access_log_path", "settle_memory"]
