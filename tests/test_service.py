from __future__ import annotations

import os
import signal
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.testing import StringTransport
from twisted.logger import Logger, LoggingFile
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.sources import Sources
from meshproxy.errors import ConfigError
from meshproxy.http import logwriter
from meshproxy.model import Cluster, Endpoint, Listener, MeshSettings, Snapshot
from meshproxy.net.probing import Prober
from meshproxy.net.sockets import Sockets
from meshproxy.reload import Result
from meshproxy.routes import VirtualHost
from meshproxy.routing import RouteTable
from meshproxy.service import MeshService
from meshproxy.serving import Settings, access_log_path
from meshproxy.strategies.round_robin import RoundRobinBuilder
from tests.fakes import AtOnce
from tests.serving import FakeReactor, snapshot
from tests.upstream.answers import FakeResolver


def at_once(f: Callable[..., Any], *args: Any) -> Deferred[Any]:
    return maybeDeferred(f, *args)


class Transport(StringTransport):
    """A client's connection that goes away when it is closed."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def loseConnection(self) -> None:
        super().loseConnection()
        self.protocol.connectionLost()

    abortConnection = loseConnection


class ServiceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(logwriter, "SerialThread", AtOnce)
        self.reactor = FakeReactor()
        self.next = snapshot(80)
        self.told: list[str] = []

    def service(self, first: Snapshot | None = None, settings: Settings | None = None, **other: Any) -> MeshService:
        return MeshService(
            self.reactor,
            first or snapshot(80),
            settings or Settings(drain_timeout=5),
            [],
            lambda: Sources((), self.next.digest),
            lambda sources, previous: self.next,
            at_once,
            notify=self.told.append,
            sockets=Sockets(bind=self.reactor.bind),
            **other,
        )

    def started(self, *args: Any, **other: Any) -> MeshService:
        service = self.service(*args, **other)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(lambda: service.running and service.stopService())
        return service

    def reload(self, service: MeshService, to: Snapshot) -> Result:
        self.next = to
        return self.successResultOf(service.reload.ask("test")).result

    def connect(self, number: int = -1) -> tuple[Any, Transport]:
        """A client connected to the port that was opened last, or to another."""
        protocol = self.reactor.ports[number].factory.buildProtocol(None)  # type: ignore[arg-type]
        assert protocol is not None
        transport = Transport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return protocol, transport

    def idle(self, number: int) -> Transport:
        """A client that had an answer."""
        protocol, transport = self.connect(number)
        protocol.dataReceived(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        return transport


class StartTests(ServiceTestCase):
    def test_ports_open_with_privileges(self) -> None:
        """Sockets listen, but nothing is served, when the process can still drop its privileges."""
        service = self.service(snapshot(80, 443))
        service.privilegedStartService()
        self.assertEqual(self.reactor.bound, [("0.0.0.0", 80), ("0.0.0.0", 443)])
        self.assertEqual(self.reactor.open_ports, [])
        self.assertFalse(service.ready)
        self.assertIsNone(service.gateway.snapshot)

    def test_serves_after_start(self) -> None:
        """After the start the snapshot is served, it is generation 1, and the supervisor knows."""
        first = snapshot(80)
        service = self.started(first)
        self.assertIs(service.gateway.snapshot, first)
        self.assertEqual((service.ready, service.reload.generation, self.told), (True, 1, ["READY=1"]))

    def test_start_without_privileged_part(self) -> None:
        """A runner that calls startService alone opens the ports too."""
        service = self.service()
        service.startService()
        self.addCleanup(service.stopService)
        self.assertEqual(self.reactor.open_ports, [("0.0.0.0", 80)])

    def test_port_in_use(self) -> None:
        """A port that somebody else has fails the start with the server's place, and leaves no port open."""
        self.reactor.busy = {443}
        with self.assertRaises(ConfigError) as caught:
            self.service(snapshot(80, 443)).privilegedStartService()
        self.assertIn("mesh.yaml:2:3: cannot listen on 0.0.0.0:443", str(caught.exception))
        self.assertEqual(self.reactor.open_ports, [])


class NameTests(ServiceTestCase):
    """Clusters with host names."""

    def named(self, digest: str, *names: str) -> Snapshot:
        builder = RoundRobinBuilder(lambda bits: 0)
        clusters = {
            name: Cluster(name, (), builder, builder.build(()), targets=(Endpoint(f"{name}.test", 80),))
            for name in names
        }
        return evolve(snapshot(80, digest=digest), clusters=clusters)

    def keys(self, service: MeshService, name: str) -> list[str]:
        return [endpoint.key for endpoint in service.gateway.upstreams.clusters[name].cluster.endpoints]

    def test_ready_when_answered(self) -> None:
        """Requests are served at once, but the service is ready only when the names had an answer."""
        resolver = FakeResolver(a=["10.0.0.1"])
        resolver.held = True
        service = self.started(self.named("first", "a"), resolver=resolver)
        self.assertEqual((service.ready, self.told, self.keys(service, "a")), (False, [], []))
        self.assertIsNotNone(service.gateway.snapshot)
        resolver.release()
        self.assertEqual((service.ready, self.told, self.keys(service, "a")), (True, ["READY=1"], ["10.0.0.1:80"]))

    def test_ready_without_an_answer(self) -> None:
        """A name server that does not answer holds a start up for some seconds only."""
        resolver = FakeResolver()
        resolver.held = True
        service = self.started(self.named("first", "a"), resolver=resolver)
        self.reactor.advance(5)
        self.assertTrue(service.ready)

    def test_stopped_before_ready(self) -> None:
        """A service that is stopped while it waits never becomes ready, and leaves no timer behind."""
        resolver = FakeResolver()
        resolver.held = True
        service = self.started(self.named("first", "a"), resolver=resolver)
        self.successResultOf(service.stopService())
        self.assertEqual((service.ready, self.told), (False, ["STOPPING=1"]))
        resolver.release()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_reload(self) -> None:
        """A reload looks new names up before it takes effect."""
        resolver = FakeResolver(a=["10.0.0.1"], b=["10.0.0.2"])
        service = self.started(self.named("first", "a"), resolver=resolver)
        resolver.held = True
        self.next = self.named("second", "a", "b")
        asked = service.reload.ask("test")
        self.assertEqual(list(service.gateway.upstreams.clusters), ["a"])
        resolver.release()
        self.assertIs(self.successResultOf(asked).result, Result.INSTALLED)
        self.assertEqual(self.keys(service, "b"), ["10.0.0.2:80"])


class ReloadTests(ServiceTestCase):
    def test_listeners_come_and_go(self) -> None:
        """A reload opens what is new, closes what is gone, and keeps the port that stays."""
        service = self.started(snapshot(80, 81))
        stays = self.reactor.ports[1]
        self.assertIs(self.reload(service, snapshot(81, 82)), Result.INSTALLED)
        self.assertEqual(self.reactor.open_ports, [("0.0.0.0", 81), ("0.0.0.0", 82)])
        self.assertEqual(self.reactor.bound, self.reactor.open_ports)
        self.assertFalse(stays.closed)

    def test_port_in_use_changes_nothing(self) -> None:
        """A new listener whose port is taken fails the reload: what was served is served on, its ports open."""
        first = snapshot(80)
        service = self.started(first)
        self.reactor.busy = {82}
        self.assertIs(self.reload(service, snapshot(81, 82)), Result.FAILED)
        self.assertIs(service.gateway.snapshot, first)
        self.assertEqual((self.reactor.open_ports, self.reactor.bound), ([("0.0.0.0", 80)], [("0.0.0.0", 80)]))
        self.assertIn("cannot listen on 0.0.0.0:82", service.reload.last_error or "")
        self.reactor.busy = set()
        self.assertIs(self.reload(service, self.next), Result.INSTALLED)
        self.assertEqual(self.reactor.open_ports, [("0.0.0.0", 81), ("0.0.0.0", 82)])

    def test_removed_listener_ends_its_connections(self) -> None:
        """An idle connection of a listener that is gone is closed; one of a listener that stays is not."""
        service = self.started(snapshot(80, 81))
        stays, goes = self.idle(0), self.idle(1)
        self.reload(service, snapshot(80))
        self.assertEqual((stays.disconnecting, goes.disconnecting), (False, True))

    def test_access_log_moves(self) -> None:
        """``accessLogFile`` takes effect at a reload too; a path that cannot be opened fails it and changes nothing."""
        old, new = (os.path.abspath(self.mktemp()) for _ in range(2))
        service = self.started(snapshot(80, access_log_file=old))
        before = service.gateway.access_log
        self.assertIs(
            self.reload(service, snapshot(80, 81, access_log_file="/nowhere/at/all", digest="b")), Result.FAILED
        )
        self.assertIs(service.gateway.access_log, before)
        self.assertEqual(self.reactor.open_ports, [("0.0.0.0", 80)])
        self.assertIs(self.reload(service, snapshot(80, access_log_file=new, digest="c")), Result.INSTALLED)
        self.assertTrue(os.path.exists(new))

    def test_access_log_format_changes(self) -> None:
        """A reload that changes the format alone goes on in the same log, and no line is lost."""
        path = Path(self.mktemp()).absolute()
        service = self.started(snapshot(80, access_log_file=str(path)))
        before = service.gateway.access_log
        protocol, _ = self.connect()
        protocol.dataReceived(b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n")
        self.reload(service, snapshot(80, access_log_file=str(path), access_log_format="%REQ(:PATH)%", digest="b"))
        self.assertIs(service.gateway.access_log, before)
        protocol.dataReceived(b"GET /2 HTTP/1.1\r\nhost: a\r\n\r\n")
        self.successResultOf(service.stopService())
        first, second = path.read_text().splitlines()
        self.assertIn('"GET /1 HTTP/1.1"', first)
        self.assertEqual(second, "/2")

    def test_access_log_moves_to_standard_output(self) -> None:
        """A reload can turn to standard output, also when ``sys.stdout`` has become twistd's log by then."""
        service = self.started(snapshot(80, access_log_file=os.path.abspath(self.mktemp())))
        self.patch(sys, "stdout", LoggingFile(Logger()))
        self.assertIs(self.reload(service, snapshot(80, access_log_file="/dev/stdout", digest="b")), Result.INSTALLED)

    def test_memory_settles_at_the_start(self) -> None:
        """The collection that takes a while is made before anything is served, and never again."""
        settled: list[int] = []
        service = self.started(settle=lambda: settled.append(1))
        self.reload(service, snapshot(81))
        self.assertEqual(len(settled), 1)

    def test_former_snapshot_is_freed(self) -> None:
        """Nobody keeps what was served before, the first one neither; it goes in portions, behind the installation."""
        hosts = [VirtualHost(f"h{number}.test", ()) for number in range(3)]
        left = [weakref.ref(it) for it in hosts]
        first = evolve(snapshot(80), listeners=(Listener("", 80, RouteTable(hosts)),))
        service = self.started(first)
        del hosts, first
        self.assertIs(self.reload(service, snapshot(80, digest="b")), Result.INSTALLED)
        self.assertNotIn(None, [it() for it in left])
        self.reactor.advance(0)
        self.assertEqual([it() for it in left], [None] * 3)


class Child(Service):
    def __init__(self) -> None:
        self.stopped = False

    def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        self.stopped = True


class StopTests(ServiceTestCase):
    def test_order(self) -> None:
        """A stop closes the ports at once, waits for the drain, and only then ends the children."""
        service = self.started()
        child = Child()
        child.setServiceParent(service)  # type: ignore[no-untyped-call]
        drained: Deferred[None] = Deferred()
        timeouts: list[float] = []

        def drain(timeout: float) -> Deferred[None]:
            timeouts.append(timeout)
            return drained

        self.patch(service.gateway, "drain", drain)
        stopped = service.stopService()
        self.assertEqual((self.reactor.open_ports, service.ready, timeouts), ([], False, [5]))
        self.assertEqual(self.told[-1], "STOPPING=1")
        self.assertNoResult(stopped)
        self.assertFalse(child.stopped)
        drained.callback(None)
        self.successResultOf(stopped)
        self.assertTrue(child.stopped)

    def test_what_is_under_way_beside_requests(self) -> None:
        """A stop gives up a hot restart and builds of balancers, and closes the connections of health checks."""
        service, ended = self.started(), list[str]()
        service.handover = cast(Any, SimpleNamespace(done=False, stop=lambda: ended.append("handover")))
        self.patch(service.gateway.upstreams.builds, "stop", lambda: ended.append("builds"))
        self.patch(Prober, "close", lambda prober: ended.append("checks") or succeed(None))
        self.successResultOf(service.stopService())
        self.assertEqual(sorted(ended), ["builds", "checks", "handover"])

    def test_connections_end(self) -> None:
        """The drain concerns all connections, also those of listeners that were removed before."""
        service = self.started(snapshot(80, 81))
        connections = [self.idle(0), self.idle(1)]
        self.reload(service, snapshot(80))
        self.successResultOf(service.stopService())
        self.assertTrue(all(transport.disconnecting for transport in connections))

    def test_access_log_is_complete(self) -> None:
        """The lines of the last second are in the file when the stop is done."""
        path = Path(self.mktemp())
        service = self.started(settings=Settings(access_log=str(path)))
        protocol, _ = self.connect()
        protocol.dataReceived(b"GET /last HTTP/1.1\r\nhost: a\r\n\r\n")
        self.successResultOf(service.stopService())
        self.assertIn("GET /last HTTP/1.1", path.read_text())


class SignalTests(ServiceTestCase):
    def setUp(self) -> None:
        super().setUp()
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def test_hang_up_reloads(self) -> None:
        """SIGHUP asks for a reload, until the service has stopped; then the old disposition is back."""
        before = signal.getsignal(signal.SIGHUP)
        service = self.started(with_signals=True)
        self.next = snapshot(81)
        signal.raise_signal(signal.SIGHUP)
        self.assertEqual(service.reload.generation, 2)
        self.successResultOf(service.stopService())
        self.assertEqual(signal.getsignal(signal.SIGHUP), before)

    def test_user_signal_reopens_access_log(self) -> None:
        """SIGUSR1 goes on in a new file after the old one was moved away, and twistd's own rotation runs as well."""
        rotated: list[int] = []
        signal.signal(signal.SIGUSR1, lambda number, frame: rotated.append(number))
        path = Path(self.mktemp())
        self.started(settings=Settings(access_log=str(path)), with_signals=True)
        path.rename(f"{path}.1")
        signal.raise_signal(signal.SIGUSR1)
        self.assertTrue(path.exists())
        self.assertEqual(rotated, [signal.SIGUSR1])

    def test_reopening_fails(self) -> None:
        """Where the new file cannot be opened the old one is written on, and that is logged."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        service = self.started(settings=Settings(access_log=str(folder / "log")))
        folder.rename(f"{folder}.away")
        service.reopen_access_log()
        protocol, _ = self.connect()
        protocol.dataReceived(b"GET /still HTTP/1.1\r\nhost: a\r\n\r\n")
        self.successResultOf(service.stopService())
        self.assertIn("GET /still", Path(f"{folder}.away/log").read_text())

    def test_termination(self) -> None:
        """SIGTERM stops the reactor once, without its own note of the signal; a second one ends the wait."""
        signal.signal(signal.SIGTERM, self.reactor.sigTerm)
        service = self.started(with_signals=True)
        for call in self.reactor.when_running:
            call()
        self.patch(service.gateway, "drain", lambda timeout: Deferred())
        signal.raise_signal(signal.SIGTERM)
        self.assertEqual((self.reactor.stopped, self.reactor.signals), (1, []))
        stopped = service.stopService()
        self.assertNoResult(stopped)
        signal.raise_signal(signal.SIGTERM)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.stopped, 1)

    def test_debugger_keeps_its_signal(self) -> None:
        """A handler of SIGINT that is not the reactor's stays."""
        got: list[int] = []
        signal.signal(signal.SIGINT, lambda number, frame: got.append(number))
        self.started(with_signals=True)
        for call in self.reactor.when_running:
            call()
        signal.raise_signal(signal.SIGINT)
        self.assertEqual((got, self.reactor.stopped), ([signal.SIGINT], 0))


class AccessLogPathTests(SynchronousTestCase):
    def test_precedence(self) -> None:
        """The command line, else ``accessLogFile``, else standard output; an empty ``accessLogFile`` is off."""
        unsaid = Settings()
        for settings, mesh, expected in (
            (unsaid, MeshSettings(), "-"),
            (unsaid, MeshSettings("/dev/stdout"), "-"),
            (unsaid, MeshSettings(""), "off"),
            (unsaid, MeshSettings("/var/log/a"), "/var/log/a"),
            (Settings(access_log="off"), MeshSettings("/var/log/a"), "off"),
        ):
            self.assertEqual(access_log_path(settings, mesh), expected)
