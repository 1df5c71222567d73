from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.admin.served import NotServing, Processes
from meshproxy.config.sources import Source, Sources
from meshproxy.errors import ConfigError
from meshproxy.explain import Explanation, parse_asked
from meshproxy.explain.values import SeenRequest
from meshproxy.http import logwriter
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.net.sockets import Sockets
from meshproxy.policies import Drain
from meshproxy.reload import Outcome, Result
from meshproxy.serving import Settings
from meshproxy.upstream.drains import dump_drains
from meshproxy.workers import commands, rollout
from meshproxy.workers import supervisor as supervisor_module
from meshproxy.workers.commands import (
    Begin,
    Count,
    Describe,
    Explain,
    Hurry,
    Install,
    Offer,
    Prepare,
    Refused,
    ReopenAccessLog,
    Share,
    Stop,
)
from meshproxy.workers.ending import HURRY_SECONDS, KILL_SECONDS
from meshproxy.workers.figures import dump
from meshproxy.workers.inquiries import INQUIRY_SECONDS
from meshproxy.workers.sealed import seal
from meshproxy.workers.supervisor import (
    FOLLOW_SECONDS,
    HOPELESS,
    Supervisor,
)
from tests.fakes import AtOnce
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


class StartTests(SupervisorTestCase):
    def test_order(self) -> None:
        """Sockets listen while there are privileges; workers start when those are gone and the reactor runs."""
        supervisor = self.supervisor()
        supervisor.privilegedStartService()
        self.assertEqual(self.reactor.bound, [("0.0.0.0", 80)] * 2)
        supervisor.startService()
        self.addCleanup(self.stop, supervisor)
        self.assertEqual(self.links, [])
        for call in self.reactor.when_running:
            call()
        self.assertEqual([link.number for link in self.links], [0, 1])

    def test_ready(self) -> None:
        """Ready when all workers serve; until then, nothing is polled or reloaded."""
        self.willing = False
        supervisor = self.started()
        first, second = self.links
        for command in (Begin, Offer, Offer, Prepare, Install):
            first.answer(command)
        self.assertEqual((supervisor.ready, supervisor.reload.generation, self.told), (False, 1, []))
        for command in (Begin, Offer, Offer, Prepare, Install):
            second.answer(command)
        self.assertEqual((supervisor.ready, self.told), (True, ["READY=1"]))

    def test_one_does_not_start(self) -> None:
        """One that does not start does not hold up the others."""
        self.willing = False
        supervisor = self.started()
        first, _ = self.links
        for command in (Begin, Offer, Offer, Prepare, Install):
            first.answer(command)
        self.kill(1)
        self.assertEqual((supervisor.ready, self.told), (True, ["READY=1"]))

    def test_none_starts(self) -> None:
        """Where no worker ever serves, the start is given up, and not tried for ever."""
        self.willing = False
        supervisor = self.started()
        for _ in range(HOPELESS):
            self.assertEqual(self.given_up, 0)
            self.links[-1].end("status 1")
            self.reactor.advance(1)
        self.links[0].end("status 1")  # once is enough
        self.assertEqual((self.given_up, supervisor.ready), (1, False))

    def test_access_log_cannot_be_opened(self) -> None:
        """What workers would fail at is found before any is started."""
        self.assertRaises(ConfigError, self.supervisor(access_log="/nowhere/at/all").check)

    def test_stopped_before_the_reactor_runs(self) -> None:
        """Then no worker is started at all."""
        supervisor = self.supervisor()
        supervisor.startService()
        self.successResultOf(supervisor.stopService())
        for call in self.reactor.when_running:
            call()
        self.assertEqual(self.links, [])


class WorkersTests(SupervisorTestCase):
    def test_shares(self) -> None:
        """Each worker has its share of the connections; when one dies the others have it all, until it is replaced."""
        self.started()
        self.assertEqual(self.shares(), [(0, 2), (1, 2)])
        self.willing = False
        self.kill(0)
        self.assertEqual(self.links[1].told[-1][1], {"position": 0, "workers": 1})
        for command in (Begin, Offer, Offer, Prepare, Install):
            self.links[2].answer(command)
        self.assertEqual(self.shares()[1:], [(1, 2), (0, 2)])

    def test_ready_while_any_serves(self) -> None:
        """The gateway is ready as long as one worker serves."""
        supervisor = self.started()
        self.willing = False
        self.kill(0)
        self.assertTrue(supervisor.ready)
        self.kill(1)
        self.assertFalse(supervisor.ready)
        for command in (Begin, Offer, Offer, Prepare, Install):
            self.links[2].answer(command)
        self.assertTrue(supervisor.ready)
        self.assertEqual(self.told, ["READY=1"])

    def test_numbers(self) -> None:
        """A worker's death takes none of what was counted, and is counted itself."""
        supervisor = self.started()
        self.assertEqual(supervisor.processes, Processes(2, 2, 0))
        self.successResultOf(supervisor.gather())
        self.assertEqual([it.samples[0].value for it in supervisor.traffic()], [10, 2])
        self.willing = False
        self.kill(0)
        self.assertEqual([it.samples[0].value for it in supervisor.traffic()], [10, 1])
        self.assertEqual(supervisor.processes, Processes(2, 1, 1))

    def test_status(self) -> None:
        """Clusters are told by each worker; one that does not answer, or is gone, is left out after a while."""
        supervisor = self.started()
        for link in self.links:
            link.answers[Describe] = {"clusters": json.dumps([{"name": f"of {link.number}"}])}
        self.assertEqual(self.successResultOf(supervisor.clusters("x")), [[{"name": "of 0"}], [{"name": "of 1"}]])
        self.assertEqual(self.links[0].told[-1], (Describe, {"part": "x"}))
        del self.links[1].answers[Describe]
        late = supervisor.clusters("")
        self.assertNoResult(late)
        self.reactor.advance(INQUIRY_SECONDS)
        self.assertEqual(self.successResultOf(late), [[{"name": "of 0"}]])

    def test_explain(self) -> None:
        """The first worker that answers explains, by the port of the configuration; a refusal is its last word."""
        supervisor = self.started()
        asked = parse_asked("http://a:8080/")
        told = Explanation(SeenRequest("GET", "http", "a", "/", "127.0.0.1"), live=True)
        self.links[0].answers[Explain] = ConnectionDone()
        self.links[1].answers[Explain] = {"explanation": json.dumps(told.as_json())}
        self.assertEqual(self.successResultOf(supervisor.explain(asked)), told)
        self.assertEqual(self.links[1].told[-1], (Explain, {"asked": asked.dump()}))
        del self.links[1].answers[Explain]
        late = supervisor.explain(asked)
        self.assertNoResult(late)
        self.reactor.advance(INQUIRY_SECONDS)
        self.failureResultOf(late, NotServing)
        self.links[0].answers[Explain] = commands.Refused("there is none for 8080")
        why = self.failureResultOf(supervisor.explain(asked), ValueError)
        self.assertEqual(str(why.value), "there is none for 8080")

    def test_drains(self) -> None:
        """What is asked to drain is told to all workers, and to those that come later before they get connections."""
        supervisor = self.started()
        self.willing = False
        supervisor.drains.start(Drain("10.0.0.1", 80))
        told = (commands.Drain, {"drains": dump_drains([Drain("10.0.0.1", 80)])})
        self.assertEqual([link.told[-1] for link in self.links], [told] * 2)
        self.kill(0)
        for command in (Begin, Offer, Offer, Prepare, Install):
            self.links[2].answer(command)
        self.assertEqual([command for command, _ in self.links[2].told[-2:]], [commands.Drain, commands.Share])
        supervisor.drains.stop("10.0.0.1", 80)
        self.assertEqual(self.links[2].told[-1], (commands.Drain, {"drains": "[]"}))

    def test_ejections(self) -> None:
        """What one worker ejects is told to the others, and to those that come later."""
        self.started()
        text = json.dumps([["outbound|80||a", "10.0.0.1:80", "consecutive_5xx", 1.5, 1]])
        self.links[0].on_ejections(text)
        self.kill(1)
        told = (commands.Ejected, {"ejections": text})
        self.assertEqual([told in link.told for link in self.links], [False, True, True])

    def test_access_log_is_reopened_by_all(self) -> None:
        """SIGUSR1 concerns every worker."""
        supervisor = self.started()
        supervisor.reopen_access_log()
        self.assertEqual([link.told[-1][0] for link in self.links], [ReopenAccessLog] * 2)


class ReloadTests(SupervisorTestCase):
    def test_installed(self) -> None:
        """A reload is over when all workers serve it; what is gone is closed then."""
        supervisor = self.started()
        for link in self.links:
            del link.answers[Install]
        reloaded = self.reload(supervisor, snapshot(81))
        self.assertNoResult(reloaded)
        self.assertEqual(self.reactor.bound, [("0.0.0.0", 80)] * 2 + [("0.0.0.0", 81)] * 2)
        for link in self.links:
            link.answer(Install)
        self.assertIs(self.successResultOf(reloaded).result, Result.INSTALLED)
        self.assertEqual(self.reactor.bound, [("0.0.0.0", 81)] * 2)
        self.assertEqual(supervisor.listeners, 1)

    def test_secret_files(self) -> None:
        """Workers get what the supervisor read from files with secrets; they read none themselves."""
        sealed: list[dict[str, bytes | None]] = []

        def recorded(sources: Sources) -> int:
            sealed.append(dict(sources.secret_files))
            return seal(sources)

        for module in (supervisor_module, rollout):
            self.patch(module, "seal", recorded)
        self.secret_files = {"/run/secret": b"at the start"}
        supervisor = self.started()
        self.secret_files = {"/run/secret": b"changed since"}
        self.assertIs(self.successResultOf(self.reload(supervisor, snapshot(81))).result, Result.INSTALLED)
        self.assertEqual(sealed, [{"/run/secret": b"at the start"}, self.secret_files])

    def test_port_in_use(self) -> None:
        """A configuration whose ports cannot be had is one that workers never hear of."""
        supervisor = self.started()
        before = [len(link.told) for link in self.links]
        self.reactor.busy = {82}
        outcome = self.successResultOf(self.reload(supervisor, snapshot(81, 82)))
        self.assertIn("cannot listen on 0.0.0.0:82", outcome.error)
        self.assertEqual([len(link.told) for link in self.links], before)
        self.assertEqual(self.reactor.bound, [("0.0.0.0", 80)] * 2)

    def test_access_log(self) -> None:
        """So is one whose access log cannot be opened, where the command line leaves that to the configuration."""
        supervisor = self.started(access_log=None)
        to = snapshot(80, access_log_file="/nowhere/at/all", digest="b")
        outcome = self.successResultOf(self.reload(supervisor, to))
        self.assertIs(outcome.result, Result.FAILED)
        self.assertIn("/nowhere/at/all: ", outcome.error)

    def test_refused_by_all(self) -> None:
        """What no worker can take fails with their reason, and closes what was opened for it."""
        supervisor = self.started()
        for link in self.links:
            link.answers[Prepare] = Refused("no such plugin")
        outcome = self.successResultOf(self.reload(supervisor, snapshot(81)))
        self.assertIs(outcome.result, Result.FAILED)
        self.assertIn("no such plugin", outcome.error)
        self.assertEqual(self.reactor.bound, [("0.0.0.0", 80)] * 2)
        self.assertEqual(supervisor.reload.generation, 1)

    def test_refused_by_one(self) -> None:
        """One that refuses what another takes drains, and another one follows at once."""
        supervisor = self.started()
        self.links[0].answers[Prepare] = Refused("no such plugin")
        self.assertIs(self.successResultOf(self.reload(supervisor, snapshot(81))).result, Result.INSTALLED)
        self.reactor.advance(0)
        self.assertEqual([link.killed for link in self.links], [False] * 3)
        self.assertEqual([link.told[-1][0] for link in self.links], [Stop, Share, Share])
        self.assertEqual(self.shares()[1:], [(1, 2), (0, 2)])

    def test_one_leaves_meanwhile(self) -> None:
        """A worker that begins to leave during a reload cannot take it, and is let drain all the same."""
        supervisor = self.started()
        leaving, other = self.links
        del leaving.answers[Prepare]
        reloaded = self.reload(supervisor, snapshot(81))
        leaving.leaving.callback(True)
        leaving.answer(Prepare, Refused("it stops"))
        self.assertIs(self.successResultOf(reloaded).result, Result.INSTALLED)
        self.assertEqual([leaving.killed, other.killed], [False, False])

    def test_all_die_meanwhile(self) -> None:
        """Where all die during a reload, the ones that follow take it."""
        supervisor = self.started()
        for link in self.links:
            del link.answers[Prepare]
        reloaded = self.reload(supervisor, snapshot(81))
        self.kill(0)
        self.assertEqual(len(self.links), 3)
        self.links[1].end()
        self.assertNoResult(reloaded)
        self.reactor.advance(0)
        self.assertIs(self.successResultOf(reloaded).result, Result.INSTALLED)
        self.assertEqual([link.killed for link in self.links], [False] * 4)
        self.flushLoggedErrors()

    def test_all_die_and_none_follows(self) -> None:
        """Where none follows for a while, the configuration is not taken."""
        supervisor = self.started()
        for link in self.links:
            del link.answers[Prepare]
        reloaded = self.reload(supervisor, snapshot(81))
        self.willing = False
        self.kill(0)
        self.kill(1)
        self.assertNoResult(reloaded)
        self.reactor.advance(FOLLOW_SECONDS)
        self.assertIs(self.successResultOf(reloaded).result, Result.FAILED)
        self.assertEqual(self.reactor.bound, [("0.0.0.0", 80)] * 2)

    def test_stop_meanwhile(self) -> None:
        """A stop during a reload: workers that take nothing any more are let drain, and no mistake is reported."""
        supervisor = self.started()
        for link in self.links:
            del link.answers[Prepare]
        reloaded = self.reload(supervisor, snapshot(81))
        stopped = supervisor.stopService()
        for link in self.links:
            link.answer(Prepare, Refused("it stops"))
        self.assertIs(self.successResultOf(reloaded).result, Result.STOPPED)
        self.assertEqual([link.killed for link in self.links], [False, False])
        for link in self.links:
            link.end("status 0")
        self.successResultOf(stopped)


class StopTests(SupervisorTestCase):
    def test_order(self) -> None:
        """A stop lets go of the sockets and tells all workers, waits for them, then ends what has told about it."""
        supervisor = self.started()
        stopped = supervisor.stopService()
        self.assertEqual([link.told[-1][0] for link in self.links], [Stop] * 2)
        self.assertEqual((self.reactor.bound, supervisor.ready, self.told), ([], False, ["READY=1", "STOPPING=1"]))
        self.links[0].end("status 0")
        self.assertNoResult(stopped)
        self.links[1].end("status 0")
        self.successResultOf(stopped)
        self.assertEqual((len(self.links), self.reactor.getDelayedCalls()), (2, []))

    def test_hot_restart_under_way(self) -> None:
        """A stop gives up a hot restart whose new process does not serve yet."""
        supervisor, stops = self.started(), list[None]()
        supervisor.handover = cast(Any, SimpleNamespace(done=False, stop=lambda: stops.append(None)))
        supervisor.stopService()
        self.assertEqual(len(stops), 1)

    def test_reload_that_waits(self) -> None:
        """A stop does not wait for workers that were to take a configuration, and ends when the reload has."""
        supervisor = self.started()
        for link in self.links:
            del link.answers[Prepare]
        reloaded = self.reload(supervisor, snapshot(81))
        self.willing = False
        for link in self.links:
            link.end()
        stopped = supervisor.stopService()
        self.assertIs(self.successResultOf(reloaded).result, Result.STOPPED)
        self.successResultOf(stopped)

    def test_load_under_way(self) -> None:
        """A stop waits for the end of a load too, but not once there is hurry."""
        for hurries in (False, True):
            self.links, loading = [], Deferred[Any]()
            supervisor = self.started()
            self.patch(supervisor.reload, "_run_in_thread", lambda *_, loading=loading: loading)
            self.reload(supervisor, snapshot(81))
            stopped = supervisor.stopService()
            for link in self.links:
                link.end("status 0")
            self.assertNoResult(stopped)
            if hurries:
                supervisor.hurry()
            else:
                loading.errback(ConfigError([]))
            self.successResultOf(stopped)

    def test_hurry(self) -> None:
        """A second request is passed on, and workers that do not even then end are killed."""
        supervisor = self.started()
        stopped = supervisor.stopService()
        supervisor.hurry()
        supervisor.hurry()
        self.assertEqual([link.told[-1][0] for link in self.links], [Hurry] * 2)
        self.links[0].end("status 0")
        self.reactor.advance(HURRY_SECONDS)
        self.assertEqual([link.killed for link in self.links], [False, True])
        self.links[1].end()
        self.successResultOf(stopped)

    def test_worker_that_starts(self) -> None:
        """A worker that is being started is not waited for until it can hear."""
        supervisor = self.started()
        self.willing = False
        self.kill(0)
        stopped = supervisor.stopService()
        self.assertEqual([link.terminated for link in self.links], [False, False, True])
        self.assertNotIn(Stop, self.links[2].commands())
        self.links[1].end("status 0")
        self.links[2].end("signal SIGTERM")
        self.successResultOf(stopped)

    def test_worker_that_does_not_end(self) -> None:
        """Some time after the drain timeout, what is still there is killed."""
        supervisor = self.started()
        stopped = supervisor.stopService()
        self.reactor.advance(5 + KILL_SECONDS - 1)
        self.assertEqual([link.killed for link in self.links], [False, False])
        self.reactor.advance(1)
        self.assertEqual([link.killed for link in self.links], [True, True])
        for link in self.links:
            link.end()
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_access_log_is_not_left_open(self) -> None:
        """Trying the access log opens nothing for good."""
        self.patch(logwriter, "SerialThread", AtOnce)
        log = Path(self.mktemp())
        supervisor = self.supervisor(access_log=str(log))
        before = len(os.listdir("/proc/self/fd"))
        supervisor.check()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.assertTrue(log.exists())
