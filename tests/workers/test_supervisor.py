"""A supervisor that starts, and what it tells of its workers and them."""

from __future__ import annotations

import json

from twisted.internet.error import ConnectionDone

from meshproxy.admin.served import NotServing, Processes
from meshproxy.errors import ConfigError
from meshproxy.explain import Explanation, parse_asked
from meshproxy.explain.values import SeenRequest
from meshproxy.policies import Drain
from meshproxy.upstream.drains import dump_drains
from meshproxy.workers import commands
from meshproxy.workers.commands import (
    Begin,
    Describe,
    Explain,
    Install,
    Offer,
    Prepare,
    ReopenAccessLog,
)
from meshproxy.workers.inquiries import INQUIRY_SECONDS
from meshproxy.workers.supervisor import (
    HOPELESS,
)
from tests.workers.supervising import SupervisorTestCase


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
