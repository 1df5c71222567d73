from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from meshproxy import serving
from meshproxy.config.sources import Source, Sources
from meshproxy.errors import ConfigError, Location
from meshproxy.explain import Explanation, parse_asked
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.policies import Drain
from meshproxy.serving import Serving, Settings
from meshproxy.upstream.drains import dump_drains
from meshproxy.upstream.ejections import Ejection
from meshproxy.upstream.outliers import Reason
from meshproxy.workers.commands import Refused
from meshproxy.workers.figures import load
from meshproxy.workers.prioritylog import PriorityLog
from meshproxy.workers.process import Orders, Worker
from meshproxy.workers.sealed import seal
from tests.serving import FakeReactor, snapshot


class AdoptingReactor(FakeReactor):
    """Pretends to accept from whatever socket it is given."""

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Any:
        self.sockets.extend(self.bind("0.0.0.0", 0, 1, False) if not self.sockets else [])
        return super().adoptStreamPort(0, family, factory)


class OrdersTests(SynchronousTestCase):
    def test_over_the_wire(self) -> None:
        """A worker knows of the command line what its supervisor does."""
        identity = ProxyIdentity("edge", frozenset({("a", "b"), ("c", "")}), "mesh.local", "eu/west")
        for orders in (Orders("-", 1.5, identity), Orders(None, 30.0)):
            self.assertEqual(Orders.load(orders.dump()), orders)


class WorkerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = AdoptingReactor()
        self.loaded: list[tuple[str, Snapshot | None]] = []
        self.said: list[Any] = []
        self.ends = 0
        self.run_in_thread: Callable[..., Deferred[Any]] = maybeDeferred
        in_thread = lambda f: self.run_in_thread(f)  # noqa: E731, PLW0108 - a test may replace it
        self.worker = Worker(self.load, self.serve, in_thread, self.end)
        self.worker.makeConnection(StringTransport())
        self.patch(self.worker, "callRemote", self.call)
        self.worker.begin(Orders("off", 5.0).dump())
        self.addCleanup(self.worker.stop)

    def load(self, sources: Sources, identity: ProxyIdentity, previous: Snapshot | None) -> Snapshot:
        (file,) = sources.files
        self.loaded.append((file.text, previous))
        if file.text == "bad":
            raise ConfigError.at(Location("mesh.yaml", 3, 5), "no such plugin")
        return snapshot(*map(int, file.text.split()))

    def serve(self, settings: Settings, notify: Callable[[str], None]) -> Serving:
        self.serving = Serving(self.reactor, settings, maybeDeferred, notify=notify)
        return self.serving

    def end(self) -> None:
        self.ends += 1

    def call(self, command: Any, **arguments: Any) -> Deferred[Any]:
        self.said.append((command.commandName, arguments) if arguments else command.commandName)
        return Deferred()

    def offer(self, number: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.worker.offer(number, listening.detach())

    def prepare(self, generation: int, text: str, *listening: tuple[str, int, list[int]]) -> Deferred[Any]:
        sources = seal(Sources((Source("mesh.yaml", text),), text))
        return Deferred.fromCoroutine(self.worker.prepare(generation, sources, json.dumps(listening)))

    def installed(self, generation: int, text: str, *listening: tuple[str, int, list[int]]) -> None:
        self.successResultOf(self.prepare(generation, text, *listening))
        self.worker.install(generation)

    def started(self) -> None:
        self.offer(0)
        self.installed(1, "80", ("", 80, [0]))

    def offered(self) -> list[int]:
        return sorted(self.worker._offered)

    def test_explain(self) -> None:
        """A worker explains by its own gateway; that it has no such listener is a refusal."""
        self.started()
        answer = self.worker.explain(parse_asked("http://a/").dump())
        found = Explanation.from_json(json.loads(answer["explanation"]))
        self.assertEqual((found.live, found.answer and found.answer.status), (True, 404))
        self.assertRaisesRegex(Refused, "none for 81", self.worker.explain, parse_asked("http://a:81/").dump())

    def test_explanation_that_fails(self) -> None:
        """A strategy that fails when it is asked for an explanation costs that, and the worker nothing."""
        self.started()
        self.patch(serving, "explain", lambda *_, **__: 1 // 0)
        asked = parse_asked("http://a/").dump()
        self.assertRaisesRegex(Refused, "a strategy failed: ZeroDivisionError", self.worker.explain, asked)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_start(self) -> None:
        """Nothing is served while a configuration is prepared; it is when that is installed."""
        self.offer(0)
        self.successResultOf(self.prepare(1, "80", ("", 80, [0])))
        self.assertEqual((self.reactor.ports, self.serving.running), ([], 0))
        self.worker.install(1)
        self.assertEqual((len(self.reactor.ports), self.serving.ready), (1, True))

    def test_share(self) -> None:
        """Limits on client connections are divided by the number of those that accept them."""
        self.started()
        self.worker.share(1, 3)
        self.assertEqual(self.serving.gateway.processes, 3)

    def test_change(self) -> None:
        """The next one is loaded with regard to the present one; sockets that it does not name are closed."""
        self.started()
        self.offer(1)
        present = self.serving.gateway.snapshot
        self.installed(2, "81", ("", 81, [1]))
        self.assertIs(self.loaded[1][1], present)
        self.assertEqual(self.offered(), [1])

    def test_refusal(self) -> None:
        """What does not load is refused with all that is wrong, and the present one is served on."""
        self.started()
        present = self.serving.gateway.snapshot
        refusal = self.failureResultOf(self.prepare(2, "bad"), Refused)
        self.assertIn("mesh.yaml:3:5: no such plugin", refusal.getErrorMessage())
        self.assertRaises(Refused, self.worker.install, 2)
        self.assertIs(self.serving.gateway.snapshot, present)

    def test_install_what_is_not_prepared(self) -> None:
        """Only what was prepared last can be installed, once."""
        self.started()
        self.offer(1)
        self.successResultOf(self.prepare(2, "81", ("", 81, [1])))
        self.assertRaises(Refused, self.worker.install, 3)
        self.worker.install(2)
        self.assertRaises(Refused, self.worker.install, 2)

    def test_discard(self) -> None:
        """What is not to be is forgotten, with the sockets for it."""
        self.started()
        self.offer(1)
        self.successResultOf(self.prepare(2, "80 81", ("", 80, [0]), ("", 81, [1])))
        self.worker.discard()
        self.assertEqual(self.offered(), [0])
        self.assertRaises(Refused, self.worker.install, 2)

    def test_drains(self) -> None:
        """It takes over all drains that there are, in place of those that it knew."""
        drains = [Drain("10.0.0.1", 80, 7.0), Drain("10.0.0.2")]
        self.worker.drain(dump_drains(drains))
        self.assertEqual(list(self.serving.drains.all), drains)
        self.worker.drain(dump_drains(drains[1:]))
        self.assertEqual(list(self.serving.drains.all), drains[1:])

    def test_ejections(self) -> None:
        """It tells of what it ejects; what others have ejected is its cluster's business, if it has that cluster."""
        ejection = Ejection("outbound|80||a", "10.0.0.1:80", Reason.CONSECUTIVE_5XX, 1.5, 1)
        self.serving.gateway.upstreams.ejections.ejected(ejection, 30.0)
        text = json.dumps([ejection.as_json()])
        self.assertEqual(self.said, [(b"Ejected", {"ejections": text})])
        self.worker.ejected(text)
        followed: list[Ejection] = []
        state = SimpleNamespace(health=SimpleNamespace(follow_ejection=followed.append))
        self.serving.gateway.upstreams.clusters = {ejection.cluster: state}
        self.worker.ejected(text)
        self.assertEqual(followed, [ejection])
        self.serving.gateway.upstreams.clusters = {}

    def test_numbers(self) -> None:
        """It tells what it has counted."""
        self.serving.gateway.counters.requests_total = 7
        figures = {
            it.name: it for it in load(self.successResultOf(Deferred.fromCoroutine(self.worker.count()))["figures"])[0]
        }
        self.assertEqual(figures["meshproxy_requests"].samples, {("meshproxy_requests_total", ()): 7})

    def test_told_to_stop(self) -> None:
        """Told to stop it accepts nothing, drains and ends, and says nothing of it."""
        self.started()
        drained: Deferred[None] = Deferred()
        self.patch(self.serving.gateway, "drain", lambda timeout: drained)
        self.worker.told_to_stop()
        self.assertEqual((self.reactor.open_ports, self.offered(), self.ends), ([], [], 0))
        drained.callback(None)
        self.assertEqual((self.ends, self.said), (1, []))

    def test_stops_by_itself(self) -> None:
        """SIGTERM to a worker alone: it drains, and the supervisor knows at once; a second one ends the wait."""
        self.started()
        self.patch(self.serving.gateway, "drain", lambda timeout: Deferred())
        self.worker.asked_to_stop()
        self.assertEqual((self.said, self.ends), ([b"Leaving"], 0))
        self.worker.asked_to_stop()
        self.assertEqual(self.ends, 1)

    def test_supervisor_is_gone(self) -> None:
        """A worker whose supervisor is gone drains and ends."""
        self.started()
        drained: Deferred[None] = Deferred()
        self.patch(self.serving.gateway, "drain", lambda timeout: drained)
        self.worker.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((self.reactor.open_ports, self.ends), ([], 0))
        drained.callback(None)
        self.assertEqual(self.ends, 1)

    def test_stop_before_anything_is_served(self) -> None:
        """There is nothing to drain then, and what is prepared meanwhile does not begin to be served."""
        loading: Deferred[Any] = Deferred()
        self.run_in_thread = lambda f: loading
        prepared = self.prepare(1, "80", ("", 80, [0]))
        self.worker.told_to_stop()
        self.assertEqual(self.ends, 1)
        self.offer(0)
        loading.callback(snapshot(80))
        self.successResultOf(prepared)
        self.assertRaises(Refused, self.worker.install, 1)


class PriorityLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reading, writing = os.pipe()
        self.addCleanup(os.close, self.reading)
        self.addCleanup(os.close, writing)
        self.log = PriorityLog(writing)

    def event(self, text: str, level: Any = LogLevel.info, namespace: str = "meshproxy.http", **other: Any) -> None:
        self.log({"log_format": "{text}", "text": text, "log_level": level, "log_namespace": namespace, **other})

    def read(self) -> str:
        return os.read(self.reading, 2**20).decode()

    def test_lines(self) -> None:
        """Each line of an event has its priority before it, also those of a traceback."""
        self.event("one\ntwo", LogLevel.error)
        self.event("three", LogLevel.warn, log_failure=Failure(ValueError("four")))
        lines = self.read().splitlines()
        self.assertEqual(lines[:3], ["<3>one", "<3>two", "<4>three"])
        self.assertEqual(lines[-1], "<4>Failure: builtins.ValueError: four")

    def test_others(self) -> None:
        """That Twisted opens and closes ports is no news in each worker; that it fails is."""
        self.event("starting", namespace="twisted.internet")
        self.event("failing", LogLevel.critical, "twisted.internet")
        self.assertEqual(self.read(), "<2>failing\n")

    def test_never_blocks(self) -> None:
        """Where nobody reads, lines are dropped; how many that were is told when somebody reads again."""
        for _ in range(100):
            self.event("x" * 4000)
        written = self.read().count("\n")
        self.assertLess(written, 100)
        for text in ("again", "and again"):
            self.event(text)
        self.assertEqual(self.read(), f"<4>{100 - written} lines could not be logged\n<6>again\n<6>and again\n")
