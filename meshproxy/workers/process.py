"""What a worker process does, which the supervisor starts (``program``) with a socket to it.

Rules. A worker does what it is told (``commands``) and nothing by itself, but for two things: at SIGTERM it drains and
ends, as a process that is alone would; and when the supervisor is gone, it does the same, for nobody could reload or
stop it any more. SIGHUP, SIGINT and the like are the supervisor's business, though a terminal sends them to both.

What it logs goes to standard error (``prioritylog``), for the supervisor to log. Its standard output is that of the
supervisor and has the access log, where that is meant to be there.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from attrs import asdict, field, frozen
from twisted.internet.error import ConnectionDone
from twisted.logger import Logger, globalLogBeginner
from twisted.protocols.amp import AMP
from twisted.python.failure import Failure

from meshproxy import config, garbage
from meshproxy.admin.status import encoded_clusters
from meshproxy.admin.turns import Turns
from meshproxy.config.diagnostics import render
from meshproxy.config.sources import Sources
from meshproxy.errors import ConfigError
from meshproxy.explain import Asked
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.net.sockets import ListenerKey
from meshproxy.registry import Registry
from meshproxy.reload import RunInThread, load_to_serve
from meshproxy.serving import Serving, Settings
from meshproxy.signals import Action, Signals
from meshproxy.upstream.building import share_processor
from meshproxy.upstream.checking import Verdicts
from meshproxy.upstream.drains import load_drains
from meshproxy.upstream.ejections import Ejection
from meshproxy.workers import commands
from meshproxy.workers.figures import dump
from meshproxy.workers.prioritylog import PriorityLog
from meshproxy.workers.sealed import unseal

CONTROL = 3
"""The descriptor of the socket to the supervisor."""
STANDARD_ERROR = 4
"""The descriptor of the supervisor's standard error; a worker's own one leads to the supervisor."""

_log = Logger()


@frozen
class Orders:
    """What a worker has to know of the command line."""

    access_log: str | None
    drain_timeout: float
    identity: ProxyIdentity = field(factory=ProxyIdentity)

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), default=sorted)

    @classmethod
    def load(cls, text: str) -> Orders:
        """What ``dump`` made."""
        data = json.loads(text)
        identity = data["identity"]
        identity["labels"] = frozenset(map(tuple, identity["labels"]))
        return cls(data["access_log"], data["drain_timeout"], ProxyIdentity(**identity))


@frozen(eq=False)
class _Prepared:
    generation: int
    snapshot: Snapshot
    sockets: dict[ListenerKey, list[socket.socket]]


class Worker(AMP):
    """The worker's side of the connection.

    ``load`` compiles sources with regard to the snapshot before, and runs through ``run_in_thread``. ``serve`` makes a
    ``Serving`` of settings, and is given what to call with what it notifies. ``end`` ends the process.
    """

    def __init__(
        self,
        load: Callable[[Sources, ProxyIdentity, Snapshot | None], Snapshot],
        serve: Callable[[Settings, Callable[[str], None]], Serving],
        run_in_thread: RunInThread,
        end: Callable[[], None],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._load, self._serve = load, serve
        self._run_in_thread = run_in_thread
        self._end = end
        self._offered: dict[int, socket.socket] = {}
        self._prepared: _Prepared | None = None
        self._installed: _Prepared | None = None
        self._told_to_stop = self._stopping = False

    # What the supervisor says

    @commands.Begin.responder
    def begin(self, orders: str) -> dict[str, Any]:
        """See the command."""
        self._orders = Orders.load(orders)
        settings = Settings(
            access_log=self._orders.access_log,
            drain_timeout=self._orders.drain_timeout,
            standard_error=f"/dev/fd/{STANDARD_ERROR}",
        )
        self._serving = self._serve(settings, self._notify)
        self._serving.gateway.upstreams.ejections.tell = self._tell_ejection
        return {}

    @commands.Offer.responder
    def offer(self, number: int, socket: int) -> dict[str, Any]:
        """See the command."""
        self._offered[number] = _socket(socket)
        return {}

    @commands.Prepare.responder
    async def prepare(self, generation: int, sources: int, listening: str) -> dict[str, Any]:
        """See the command."""
        self._prepared = None
        before = None if self._installed is None else self._installed.snapshot
        try:
            snapshot = await self._run_in_thread(lambda: self._load(unseal(sources), self._orders.identity, before))
        except ConfigError as error:
            raise commands.Refused(render(error.diagnostics).rstrip()) from error
        await self._serving.prepare(snapshot)
        sockets = {(bind, port): [self._offered[n] for n in numbers] for bind, port, numbers in json.loads(listening)}
        self._prepared = _Prepared(generation, snapshot, sockets)
        return {}

    @commands.Install.responder
    def install(self, generation: int) -> dict[str, Any]:
        """See the command."""
        prepared = self._prepared
        if prepared is None or prepared.generation != generation or self._stopping:
            raise commands.Refused(f"configuration {generation} is not prepared")
        try:
            self._serving.install(prepared.snapshot, prepared.sockets)
        except ConfigError as error:
            raise commands.Refused(render(error.diagnostics).rstrip()) from error
        if self._installed is None:
            self._serving.startService()
        self._installed, self._prepared = prepared, None
        self._close_unused()
        return {}

    @commands.Discard.responder
    def discard(self) -> dict[str, Any]:
        """See the command."""
        self._prepared = None
        self._close_unused()
        return {}

    @commands.Share.responder
    def share(self, position: int, workers: int) -> dict[str, Any]:
        """See the command."""
        self._serving.ports.share(position, workers)
        self._serving.gateway.processes = workers
        return {}

    @commands.Drain.responder
    def drain(self, drains: str) -> dict[str, Any]:
        """See the command."""
        self._serving.gateway.upstreams.drains.replace(load_drains(drains))
        return {}

    @commands.Count.responder
    async def count(self) -> dict[str, Any]:
        """See the command."""
        await self._serving.look_at_tables()
        return {"figures": dump(self._serving.traffic(), self._serving.requests())}

    @commands.Apply.responder
    def apply(self, verdicts: str) -> dict[str, Any]:
        """See the command."""
        self._serving.gateway.upstreams.apply(map(Verdicts.from_json, json.loads(verdicts)))
        return {}

    @commands.Ejected.responder
    def ejected(self, ejections: str) -> dict[str, Any]:
        """See the command."""
        clusters = self._serving.gateway.upstreams.clusters
        for ejection in map(Ejection.from_json, json.loads(ejections)):
            state = clusters.get(ejection.cluster)
            if state is not None and state.health is not None:
                state.health.follow_ejection(ejection)
        return {}

    @commands.Describe.responder
    async def describe(self, part: str) -> dict[str, Any]:
        """See the command."""
        clusters = await self._serving.described(part)
        return {"clusters": await encoded_clusters(clusters, Turns(self._serving.reactor))}

    @commands.Explain.responder
    def explain(self, asked: str) -> dict[str, Any]:
        """See the command."""
        try:
            explanation = self._serving.explained(Asked.load(asked))
        except ValueError as error:
            raise commands.Refused(str(error)) from error
        return {"explanation": json.dumps(explanation.as_json())}

    @commands.ReopenAccessLog.responder
    def reopen_access_log(self) -> dict[str, Any]:
        """See the command."""
        self._serving.reopen_access_log()
        return {}

    @commands.Stop.responder
    def told_to_stop(self) -> dict[str, Any]:
        """See the command."""
        self._told_to_stop = True
        self.stop()
        return {}

    @commands.Hurry.responder
    def hurry(self) -> dict[str, Any]:
        """See the command."""
        self._serving.hurry()
        return {}

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008 - as Protocol has it
        """The supervisor is gone."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        if not self._stopping:
            _log.warn("The supervisor is gone: serving what is under way, then ending")
        self.stop()

    # The end

    def asked_to_stop(self) -> None:
        """SIGTERM: drain and end; the second time without waiting."""
        if self._stopping and self._installed is not None:
            self._serving.hurry()
        self.stop()

    def stop(self) -> None:
        """Drain, then end."""
        if self._stopping:
            return
        self._stopping = True
        if self._installed is None:
            self._end()
            return
        self._serving.stopService().addBoth(lambda _: self._end())
        self._close_unused()

    def _notify(self, state: str) -> None:
        if state == "STOPPING=1" and not self._told_to_stop:
            self._say(commands.Leaving)

    def _tell_ejection(self, ejection: Ejection) -> None:
        self._say(commands.Ejected, ejections=json.dumps([ejection.as_json()]))

    def _say(self, command: Any, **arguments: Any) -> None:
        """Say something whose answer does not matter; perhaps there is nobody left to hear it."""
        self.callRemote(command, **arguments).addErrback(lambda failure: None)  # type: ignore[no-untyped-call]

    def _close_unused(self) -> None:
        """Close the sockets that are not served from."""
        used: set[socket.socket] = set()
        if self._installed is not None and not self._stopping:
            used = {listening for group in self._installed.sockets.values() for listening in group}
        for number, listening in list(self._offered.items()):
            if listening not in used:
                listening.close()
                del self._offered[number]


def _socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    listening = socket.socket(fileno=descriptor)
    listening.setblocking(False)
    return listening


def main() -> None:
    """Serve as a worker until told to end."""
    try:
        from meshproxy.net.lean_reactor import install

        install()
    except ImportError:
        pass  # no epoll here: Twisted chooses
    from twisted.internet import reactor as chosen
    from twisted.internet.threads import deferToThread

    reactor: Any = chosen
    globalLogBeginner.beginLoggingTo([PriorityLog(2)], redirectStandardIO=False)
    registry = Registry.discover()
    loaders: dict[ProxyIdentity, config.Loader] = {}

    def load(sources: Sources, identity: ProxyIdentity, previous: Snapshot | None) -> Snapshot:
        """By the loader that had the configuration before."""
        return load_to_serve(loaders.setdefault(identity, config.Loader(registry, identity)), sources, previous)

    share_processor()
    worker = Worker(
        load,
        lambda settings, notify: Serving(reactor, settings, deferToThread, garbage.settle, notify),
        deferToThread,
        reactor.stop,
    )

    def nothing() -> None:
        """The supervisor has it too."""

    ignored: dict[int, Action] = dict.fromkeys((signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2), nothing)
    Signals(reactor, ignored, {signal.SIGTERM: worker.asked_to_stop, signal.SIGINT: nothing}).install()
    connect(reactor, CONTROL, worker)
    reactor.run()


def connect(reactor: Any, descriptor: int, protocol: AMP) -> None:
    """Let a protocol speak over one of a pair of connected UNIX sockets. The descriptor is closed."""
    from twisted.internet.protocol import Factory

    factory = Factory.forProtocol(lambda: protocol)
    factory.noisy = False
    os.set_blocking(descriptor, False)
    reactor.adoptStreamConnection(descriptor, socket.AF_UNIX, factory)
    os.close(descriptor)


__all__ = ["CONTROL", "STANDARD_ERROR", "Orders", "Worker", "connect", "main"]
