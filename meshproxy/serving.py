"""What serves in a process: its ports, its gateway, its access log and the names of its endpoints.

Order of a start: the first snapshot is installed, then the reactor accepts; ready when the host names of clusters were
looked up, or some seconds later. Order of a stop: connections that wait to be accepted are taken in, no new ones any
more, all drain; children such as the admin server end (they can tell about the drain until then); the access log is
closed.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from prometheus_client.core import Metric
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger

from meshproxy.admin.clusterstatus import cluster_values
from meshproxy.admin.metrics import traffic
from meshproxy.admin.recent import Value
from meshproxy.admin.shares import KnownShares
from meshproxy.admin.tables import Tables
from meshproxy.admin.turns import Turns
from meshproxy.errors import ConfigError
from meshproxy.explain import Asked, Explanation, explain
from meshproxy.explain.secrets import without_secrets
from meshproxy.failures import PLUGIN_ERRORS, describe_failure
from meshproxy.http.accesslog import AccessLog
from meshproxy.http.counters import Counters
from meshproxy.http.gateway import Gateway
from meshproxy.model import MeshSettings, ProxyIdentity, Snapshot
from meshproxy.net.addresses import reason
from meshproxy.net.ports import Ports
from meshproxy.net.sockets import ListenerKey
from meshproxy.reload import RunInThread
from meshproxy.routing import RouteTable
from meshproxy.upstream.building import Builds
from meshproxy.upstream.discovery import Discovery
from meshproxy.upstream.names import Resolver
from meshproxy.upstream.resolver import SystemResolver
from meshproxy.upstream.traffic import Requests

OFF = "off"
STANDARD_OUTPUT = "-"
STANDARD_ERROR = "/dev/stderr"

_LAST_LINES_SECONDS = 2.0  # for an access log that is slow when the process ends

_log = Logger()


@frozen
class Settings:
    """What the command line says about serving.

    ``mapped_ports``: the port to listen on for a port of the configuration. ``listen_address``: for servers without
    ``bind``, empty for all IPv4 addresses. ``access_log``: a path, ``-``, ``off``, or None to leave it to the
    configuration. ``drain_timeout`` is in seconds. ``standard_error`` is the path of what was that when the gateway
    began: a worker has another one. ``identity``: who metrics say this gateway is.
    """

    mapped_ports: Mapping[int, int] = field(factory=dict)
    listen_address: str = ""
    access_log: str | None = None
    drain_timeout: float = 30.0
    standard_error: str = STANDARD_ERROR
    identity: ProxyIdentity = field(factory=ProxyIdentity)


def access_log_path(settings: Settings, mesh: MeshSettings) -> str:
    """A path, ``-`` for standard output, or ``off``: the command line, else ``accessLogFile``, else ``-``."""
    named = mesh.access_log_file if settings.access_log is None else settings.access_log
    if named is None or named == "/dev/stdout":
        return STANDARD_OUTPUT
    if named == STANDARD_ERROR:
        return settings.standard_error
    return named or OFF


def open_access_log(path: str, clock: Any, counters: Counters) -> AccessLog | None:
    """The access log that a path stands for, None where it is ``off``. Raises ``ConfigError``."""
    if path == OFF:
        return None
    try:
        return AccessLog.open(path, clock, counters)
    except OSError as error:
        raise ConfigError.at(None, f"cannot open the access log {path}: {reason(error)}") from error


class Serving(MultiService):
    """See the head of this module. Nothing is served before the first ``install``.

    ``reactor`` provides ``IReactorSocket`` and ``IReactorTime``. ``settle`` is called after the first installation,
    ``notify`` with what sd_notify(3) would send. ``resolver`` looks up host names, by default as this machine does.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        run_in_thread: RunInThread,
        settle: Callable[[], None] = lambda: None,
        notify: Callable[[str], None] = lambda state: None,
        resolver: Resolver | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reactor = reactor
        self.settings = settings
        self.identity = settings.identity
        self.ready = False
        self.gateway = Gateway(reactor)
        self.ports = Ports(reactor)
        self._resolver = SystemResolver(reactor) if resolver is None else None
        names_from: Any = self._resolver or resolver
        builds = self.gateway.upstreams.builds = Builds(run_in_thread, reactor)
        self.discovery = Discovery(reactor, names_from, builds, self.gateway.upstreams.replace)
        self.gateway.upstreams.follow = self.discovery.follow
        self.drains = self.gateway.upstreams.drains
        self._shares = KnownShares()
        self._tables = Tables()
        self._settle = settle
        self._notify = notify
        self._access_log_path = OFF
        self._hurry: Deferred[None] = Deferred()

    def startService(self) -> None:
        """Become ready; a snapshot was installed."""
        self.gateway.start()
        super().startService()  # type: ignore[no-untyped-call]
        self.discovery.answered().addCallback(lambda _: self._become_ready())

    def _become_ready(self) -> None:
        if self.running:
            self.ready = True
            self._notify("READY=1")

    # Configuration

    def prepare(self, snapshot: Snapshot) -> Deferred[None]:
        """Look up what is new in a snapshot; fires when it may be installed."""
        return self.discovery.prepare(snapshot.clusters)

    def install(self, snapshot: Snapshot, sockets: Mapping[ListenerKey, Sequence[socket.socket]]) -> None:
        """Make a snapshot take effect; its listeners have these sockets.

        Raises ``ConfigError`` and changes nothing where it cannot be served.
        """
        self.switch_access_log(snapshot)
        self.ports.empty({listening for group in sockets.values() for listening in group})
        before = self.gateway.snapshot
        self.gateway.install(snapshot)
        self.ports.serve(sockets, self.gateway.factory)
        if before is None:
            self._settle()
        else:
            # In the next turn, when nobody has the whole of it any more.
            self.reactor.callLater(0, Deferred.fromCoroutine, self._drop(_portions(before)))

    async def _drop(self, portions: list[object]) -> None:
        """Free what a former snapshot consists of: a large one takes longer than requests should wait."""
        turns = Turns(self.reactor)
        while portions:
            portions.pop()
            await turns.pause()

    # Access log

    def switch_access_log(self, snapshot: Snapshot) -> None:
        """Write to where a snapshot says; raises ``ConfigError`` and changes nothing where that cannot be opened."""
        path = access_log_path(self.settings, snapshot.mesh)
        if path != self._access_log_path:
            new = open_access_log(path, self.reactor, self.gateway.counters)
            old, self.gateway.access_log, self._access_log_path = self.gateway.access_log, new, path
            if old is not None:
                old.close()
        if self.gateway.access_log is not None:
            self.gateway.access_log.use(snapshot.mesh.access_log_format)

    def reopen_access_log(self) -> None:
        """Go on in a new file of the same name, after the old one was moved away."""
        if self.gateway.access_log is not None:
            self.gateway.access_log.reopen()

    # Figures

    async def look_at_tables(self) -> None:
        """Bring what ``traffic`` tells of hash tables up to date."""
        clusters = self.gateway.upstreams.clusters.values()
        await self._tables.find_out([(it.cluster, it.balancer) for it in clusters], Turns(self.reactor))

    def traffic(self) -> Iterable[Metric]:
        """What this process has counted, and what is known of its hash tables."""
        return traffic(self.gateway, self._tables)

    def requests(self) -> Requests:
        """The requests of this process."""
        return self.gateway.requests()

    async def described(self, part: str) -> list[Value]:
        """The clusters of this process with ``part`` in their names."""
        return await cluster_values(self.gateway, self._shares, time.time(), part, Turns(self.reactor))

    def explained(self, asked: Asked) -> Explanation:
        """Where a request would go now; see ``explain``. Without secrets, for whoever may ask.

        Raises ``ValueError`` also where a strategy fails that is asked.
        """
        try:
            return without_secrets(explain(self.gateway, asked, live=True))
        except ValueError:
            raise
        except PLUGIN_ERRORS as error:
            _log.failure("A request cannot be explained")
            raise ValueError(f"a strategy failed: {describe_failure(error)}") from error

    # Stop

    def hurry(self) -> None:
        """Wait no longer for what is under way, in a stop that has begun or is to come."""
        if not self._hurry.called:
            self._hurry.callback(None)

    def stopService(self) -> Deferred[None]:
        """Stop in order; fires when nothing is served any more. See the head of this module."""
        Service.stopService(self)
        self.ready = False
        self.tell_stopping()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self.discovery.stop()
        if self._resolver is not None:
            self._resolver.close()
        self.ports.empty()
        drained = self.gateway.drain(self.settings.drain_timeout)
        served = all_ended([self.ports.serve({}, self.gateway.factory), drained, self.stop_changing()])
        await DeferredList([served, self._hurry], fireOnOneCallback=True, consumeErrors=True)
        await all_ended([maybeDeferred(child.stopService) for child in self if child.running])
        self.gateway.upstreams.builds.stop()
        self.gateway.stop()
        access_log, self.gateway.access_log = self.gateway.access_log, None
        if access_log is not None:
            access_log.close(_LAST_LINES_SECONDS)

    def tell_stopping(self) -> None:
        """Notify that this process is about to end."""
        self._notify("STOPPING=1")

    def stop_changing(self) -> Deferred[None]:
        """Install nothing any more; fires when a change that is under way has ended."""
        return all_ended([])


def _portions(snapshot: Snapshot) -> list[object]:
    """All of a snapshot of which there may be very much, in portions that are small."""
    tables = [it.routes for it in snapshot.listeners if isinstance(it.routes, RouteTable)]
    return [
        *(portion for table in tables for portion in table.portions()),
        *snapshot.clusters.values(),
        *snapshot.origins.values(),
        *snapshot.warnings,
    ]


def all_ended(deferreds: list[Deferred[None]]) -> Deferred[None]:
    """Fires when all have fired, whatever with; failures are logged, for a stop goes on."""
    for deferred in deferreds:
        deferred.addErrback(lambda failure: _log.failure("Stopping was not clean", failure))
    done: Deferred[None] = DeferredList(deferreds).addCallback(lambda _: None)
    return done


__all__ = ["OFF", "STANDARD_OUTPUT", "Serving", "Settings", "access_log_path", "open_access_log"]
