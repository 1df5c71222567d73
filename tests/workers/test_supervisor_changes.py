"""A supervisor while its configuration changes, and while it stops."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred

from meshproxy.config.sources import Sources
from meshproxy.errors import ConfigError
from meshproxy.http import logwriter
from meshproxy.reload import Result
from meshproxy.workers import rollout
from meshproxy.workers import supervisor as supervisor_module
from meshproxy.workers.commands import (
    Hurry,
    Install,
    Prepare,
    Refused,
    Share,
    Stop,
)
from meshproxy.workers.ending import HURRY_SECONDS, KILL_SECONDS
from meshproxy.workers.sealed import seal
from meshproxy.workers.supervisor import (
    FOLLOW_SECONDS,
)
from tests.fakes import AtOnce
from tests.serving import snapshot
from tests.workers.supervising import SupervisorTestCase


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
