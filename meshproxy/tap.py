"""``twistd meshproxy``: the service that the options of the command line describe.

Rules: nothing imported here may import the reactor, for it is chosen when the options are known. Exit status: 64 for
wrong usage, 78 for a configuration that does not load, 1 for what this machine refuses, such as a port in use; each
with a message on standard error and without a traceback.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from socket import socket
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.logger import Logger

from meshproxy import config, garbage
from meshproxy.cli.identity import identity
from meshproxy.config.diagnostics import render
from meshproxy.config.sources import Sources
from meshproxy.errors import ConfigError, Diagnostic
from meshproxy.model import Snapshot
from meshproxy.options import Options, die
from meshproxy.registry import Registry

EX_REFUSED = 1
EX_CONFIG = 78

_log = Logger()


def makeService(options: Options) -> IService:
    """The service that the options describe, its configuration loaded and its ports found free."""
    from twisted.internet import reactor
    from twisted.internet.defer import succeed
    from twisted.internet.threads import deferToThread

    from meshproxy import processlog
    from meshproxy.admin.server import AdminServer
    from meshproxy.admin.token import TokenFile
    from meshproxy.handover import Handover, Invocation, Predecessor
    from meshproxy.net.addresses import shown
    from meshproxy.net.descriptors import raise_descriptor_limit
    from meshproxy.net.inherited import environment_at_start, take_inherited
    from meshproxy.net.sockets import Sockets
    from meshproxy.reaping import Reaper
    from meshproxy.reload import load_to_serve
    from meshproxy.service import MeshService
    from meshproxy.serving import Settings
    from meshproxy.systemd import Watchdog, notify_supervisor
    from meshproxy.upstream.building import share_processor
    from meshproxy.workers.link import Link
    from meshproxy.workers.supervisor import Supervisor

    mapped = dict(options["map_port"])
    listen_address = options["listen_address"]
    replicas = []
    paths = options["config"]
    if options["demo"]:
        from meshproxy.demo import replica, scenario

        mapped.setdefault(scenario.GATEWAY_PORT, scenario.SERVED_PORT)
        listen_address = listen_address or scenario.LOOPBACK
        listening_at = {name: scenario.free_socket() for name in scenario.REPLICAS}
        demo = scenario.sources([listening.getsockname()[1] for listening in listening_at.values()])
        where = shown(listen_address, mapped[scenario.GATEWAY_PORT])
        _log.info("Try: curl -i -H 'Host: test.com' http://{where}/", where=where)
        replicas = [replica.Replica(reactor, listening, name, print) for name, listening in listening_at.items()]

    raise_descriptor_limit()
    inherited = take_inherited(os.environ, environment_at_start(), os.getpid())
    invocation = Invocation(
        [sys.executable, *sys.orig_argv[1:]], os.getcwd(), dict(os.environ), getattr(options, "parent", None) or {}
    )
    # A daemon logs to a file.
    finish_log = processlog.install() if invocation.twistd.get("nodaemon") else _nothing
    registry = Registry.discover()
    who = identity(options["proxy_namespace"], options["proxy_labels"], options["proxy_locality"])
    loader = config.Loader(registry, who)

    def read() -> Sources:
        return demo if options["demo"] else config.read(paths)

    def load(sources: Sources, previous: Snapshot | None) -> Snapshot:
        return load_to_serve(loader, sources, previous)

    try:
        sources = read()
        snapshot = load(sources, None)
    except ConfigError as error:
        die(render(error.diagnostics, color=_color()), EX_CONFIG)
    settings = Settings(mapped, listen_address, options["access_log"], options["drain_timeout"], identity=who)
    notify: Callable[[str], None] = notify_supervisor
    if inherited.ready is not None:
        notify = Predecessor(inherited.ready, notify, partial(_give_up, reactor, finish_log)).notify
    of_admin, of_listeners = _by_use(inherited.sockets)
    common: dict[str, Any] = {
        **{"paths": paths, "read": read, "load": load, "run_in_thread": deferToThread},
        **{"with_signals": True, "settle": garbage.settle, "notify": notify},
        "sockets": Sockets(mapped, listen_address, options["workers"], inherited=of_listeners),
        "secret_files": lambda: loader.secret_files,
    }
    share_processor()
    service: MeshService | Supervisor
    if options["workers"] == 1:
        service = MeshService(reactor, snapshot, settings, **common)
    else:
        spawn, give_up = partial(Link.spawn, reactor), partial(_give_up, reactor, finish_log)
        loaded = (sources, snapshot)
        service = Supervisor(reactor, loaded, settings, who, options["workers"], spawn, give_up=give_up, **common)
    for problem in registry.problems:
        _log.warn("Plugins: {problem}", problem=problem)
    for child in replicas:
        child.setServiceParent(service)  # type: ignore[no-untyped-call]
    Watchdog(reactor, notify_supervisor, os.environ, os.getpid()).setServiceParent(service)  # type: ignore[no-untyped-call]
    if os.getpid() == 1:
        Reaper(reactor).setServiceParent(service)  # type: ignore[no-untyped-call]
    checks: list[Any] = [service.check]
    admin: AdminServer | None = None
    if options["admin"] != "off":
        named = options["admin_token_file"]
        token_file = None if named is None else TokenFile(named)
        admin = AdminServer(service, options["admin"], reactor, token_file, of_admin)
        admin.setServiceParent(service)  # type: ignore[no-untyped-call]
        checks.append(admin.check)
    service.handover = Handover(
        reactor,
        invocation,
        service.sockets,
        lambda: admin.stopService() if admin is not None else succeed(None),
        lambda: admin.startService() if admin is not None else None,
        reactor.stop,
        notify_supervisor,
    )
    findings: list[Diagnostic] = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            findings += error.diagnostics
    if findings:
        die(_lines(findings), EX_REFUSED)
    return _Refusing(service)


def _by_use(sockets: Iterable[tuple[str, socket]]) -> tuple[socket | None, list[tuple[str, socket]]]:
    """Of inherited sockets, the one for the admin server and those for listeners."""
    of_admin = next((it for name, it in sockets if name == "admin"), None)
    return of_admin, [(name, it) for name, it in sockets if it is not of_admin]


class _Refusing(MultiService):
    """Starts what it holds; a port that is taken after all ends the process as one that was taken from the start.

    The ports were found free a moment ago, so this is rare, but it is no reason for a traceback.
    """

    def __init__(self, service: IService) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        service.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Open the ports."""
        try:
            super().privilegedStartService()  # type: ignore[no-untyped-call]
        except ConfigError as error:
            # Not sys.stderr, which is the log by now.
            os.write(2, _lines(error.diagnostics).encode())
            raise SystemExit(EX_REFUSED) from error


def _give_up(reactor: Any, finish_log: Callable[[], None]) -> None:
    """Stop, with an exit status that says that it was no clean stop; twistd has none."""
    atexit.register(os._exit, EX_REFUSED)
    atexit.register(finish_log)  # before that
    reactor.stop()


def _nothing() -> None:
    """There is nothing to finish."""


def _lines(findings: Sequence[Diagnostic]) -> str:
    return "".join(f"meshproxy: {finding}\n" for finding in findings)


def _color() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ


__all__ = ["EX_CONFIG", "EX_REFUSED", "Options", "makeService"]
