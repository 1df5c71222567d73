"""``twistd meshproxy``: the options of the command line and the service that they describe.

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
from ipaddress import ip_address
from socket import socket
from typing import Any, NoReturn, TypeVar

from twisted.application.service import IService, MultiService
from twisted.copyright import version as twisted_version
from twisted.logger import Logger
from twisted.python import usage

from meshproxy import __version__, config, duration, garbage
from meshproxy.cli.identity import check_locality, identity, split_label
from meshproxy.config.diagnostics import render
from meshproxy.config.sources import Sources
from meshproxy.errors import ConfigError, Diagnostic
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.registry import Registry
from meshproxy.workers.cores import usable_cores

EX_REFUSED = 1
EX_USAGE = 64
EX_CONFIG = 78
MOST_WORKERS = 1024
DEFAULT_ADMIN = "tcp:15000:interface=127.0.0.1"

_log = Logger()
_T = TypeVar("_T")


class Options(usage.Options):
    """The options; after parsing, ``self`` has their values under the names below."""

    synopsis = "-c PATH [options]"
    longdesc = "Serves what Istio's networking YAML describes. SIGHUP reloads it, SIGTERM drains and ends."
    optFlags = (["demo", None, "Serve a sample mesh with three replicas inside this process; needs no -c."],)

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.update(
            config=[],
            map_port={},
            listen_address="",
            admin=DEFAULT_ADMIN,
            access_log=None,
            proxy_namespace=ProxyIdentity().namespace,
            proxy_labels={},
            proxy_locality="",
            drain_timeout=30.0,
            workers=None,
        )

    def opt_config(self, path: str) -> None:
        """A file or folder of YAML; can be given several times."""
        self["config"].append(os.path.abspath(_not_empty("--config", path)))

    opt_c = opt_config

    def opt_map_port(self, ports: str) -> None:
        """P=Q: listen on port Q where the configuration says P (Q=0: a free one); can be given several times."""
        from_text, equals, to_text = ports.partition("=")
        source, target = _port(from_text), _port(to_text)
        if not equals or not source or target is None:
            raise usage.UsageError(f"--map-port {ports}: not two ports as in 80=8080")
        if source in self["map_port"]:
            raise usage.UsageError(f"--map-port {ports}: port {source} is mapped already")
        self["map_port"][source] = target

    def opt_listen_address(self, address: str) -> None:
        """IP to listen on where a server has no `bind` [default: all IPv4 addresses]"""
        try:
            self["listen_address"] = str(ip_address(address))
        except ValueError:
            raise usage.UsageError(f"--listen-address {address}: not an IP address") from None

    def opt_workers(self, number: str) -> None:
        """Processes that serve, or auto for one per core; 1 serves in this process [default: auto; with --demo 1]"""
        if number == "auto":
            self["workers"] = usable_cores()
        elif number.isascii() and number.isdecimal() and 1 <= int(number) <= MOST_WORKERS:
            self["workers"] = int(number)
        else:
            raise usage.UsageError(f"--workers {number}: neither a number from 1 to {MOST_WORKERS} nor auto")

    def opt_admin(self, endpoint: str) -> None:
        """Twisted endpoint of the admin server, or off [default: tcp:15000:interface=127.0.0.1]"""
        self["admin"] = _not_empty("--admin", endpoint)

    def opt_access_log(self, path: str) -> None:
        """File for the access log, - for standard output, or off [default: accessLogFile of a Mesh document, else -]"""
        self["access_log"] = path if _not_empty("--access-log", path) in ("-", "off") else os.path.abspath(path)

    def opt_proxy_namespace(self, namespace: str) -> None:
        """The namespace of this gateway, for exportTo and the like [default: istio-system]"""
        self["proxy_namespace"] = _not_empty("--proxy-namespace", namespace)

    def opt_proxy_label(self, label: str) -> None:
        """K=V: a label of this gateway, for a Gateway's selector; repeatable [default: those of Istio's gateway]"""
        key, value = _of_identity("--proxy-label", label, split_label)
        self["proxy_labels"][key] = value

    def opt_proxy_locality(self, locality: str) -> None:
        """REGION/ZONE/SUBZONE: where this gateway is, for localityLbSetting [default: unknown]"""
        self["proxy_locality"] = _of_identity("--proxy-locality", locality, check_locality)

    def opt_drain_timeout(self, text: str) -> None:
        """How long a stopping process serves what it has begun, such as 1m30s [default: 30s]"""
        try:
            seconds = duration.parse(text).total_seconds()
        except ValueError as error:
            raise usage.UsageError(f"--drain-timeout: {error}") from None
        if seconds < 0:
            raise usage.UsageError(f"--drain-timeout {text}: must not be negative")
        self["drain_timeout"] = seconds

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        print(f"meshproxy {__version__} (Twisted {twisted_version}, Python {sys.version.split()[0]})")
        raise SystemExit(0)

    def parseArgs(self, *arguments: str) -> None:
        """There are no arguments beside options."""
        if arguments:
            raise usage.UsageError(f"unexpected argument {arguments[0]!r}; a configuration is named with -c")

    def postOptions(self) -> None:
        """Check what concerns several options, and install the lean reactor where nobody chose one."""
        if self["workers"] is None:
            self["workers"] = 1 if self["demo"] else usable_cores()
        if self["demo"] and self["config"]:
            raise usage.UsageError("--demo brings its own configuration; leave out -c")
        if not self["demo"] and not self["config"]:
            raise usage.UsageError("-c PATH is missing: the file or folder with the configuration (or try --demo)")
        _check_endpoint(self["admin"])
        _install_reactor()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse; wrong usage is one line on standard error and exit status 64."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            _die(f"meshproxy: {error} (twistd meshproxy --help shows all options)\n", EX_USAGE)


def _of_identity(option: str, text: str, read: Callable[[str], _T]) -> _T:
    try:
        return read(text)
    except ValueError as error:
        raise usage.UsageError(f"{option} {text}: {error}") from None


def _not_empty(option: str, value: str) -> str:
    if not value:
        raise usage.UsageError(f"{option} must not be empty")
    return value


def _port(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 65536
    return number if number < 65536 else None


def _check_endpoint(description: str) -> None:
    from twisted.internet.endpoints import serverFromString

    if description == "off":
        return
    try:
        serverFromString(None, description)
    except Exception as error:  # noqa: BLE001 - endpoint plugins raise what they like
        raise usage.UsageError(
            f"--admin {description}: not an endpoint as in {DEFAULT_ADMIN}, nor off ({error})"
        ) from None


def _install_reactor() -> None:
    if "twisted.internet.reactor" in sys.modules:
        return
    try:
        from meshproxy.net.lean_reactor import install
    except ImportError:
        return  # no epoll here: Twisted chooses
    install()


def _die(text: str, status: int) -> NoReturn:
    sys.stderr.write(text)
    raise SystemExit(status)


def makeService(options: Options) -> IService:
    """The service that the options describe, its configuration loaded and its ports found free."""
    from twisted.internet import reactor
    from twisted.internet.defer import succeed
    from twisted.internet.threads import deferToThread

    from meshproxy.admin.server import AdminServer
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
        _die(render(error.diagnostics, color=_color()), EX_CONFIG)
    settings = Settings(mapped, listen_address, options["access_log"], options["drain_timeout"], identity=who)
    notify: Callable[[str], None] = notify_supervisor
    if inherited.ready is not None:
        notify = Predecessor(inherited.ready, notify, partial(_give_up, reactor)).notify
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
        spawn, give_up = partial(Link.spawn, reactor), partial(_give_up, reactor)
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
        admin = AdminServer(service, options["admin"], reactor, of_admin)
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
        _die(_lines(findings), EX_REFUSED)
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


def _give_up(reactor: Any) -> None:
    """Stop, with an exit status that says that it was no clean stop; twistd has none."""
    atexit.register(os._exit, EX_REFUSED)
    reactor.stop()


def _lines(findings: Sequence[Diagnostic]) -> str:
    return "".join(f"meshproxy: {finding}\n" for finding in findings)


def _color() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ
