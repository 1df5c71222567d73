"""What one worker ejects, all workers eject."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.upstream.ejections import Ejection
from meshproxy.upstream.outliers import Reason
from meshproxy.workers.commands import Ejected
from meshproxy.workers.ejections import SharedEjections
from tests.workers.crews import FakeLink

OUT = Ejection("outbound|80||a", "10.0.0.1:80", Reason.CONSECUTIVE_GATEWAY_ERRORS, 12.5, 3)
OTHER = Ejection("outbound|80||a", "10.0.0.2:80", Reason.CONSECUTIVE_5XX, 13.5, 1)
BACK = Ejection("outbound|80||a", "10.0.0.1:80")


class SharedEjectionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.links = [FakeLink(0), FakeLink(1), FakeLink(2)]
        self.ejections = SharedEjections(lambda: self.links)
        self.ejections.greet()

    def say(self, link: FakeLink, *ejections: Ejection) -> None:
        self.ejections.heard(link, json.dumps([ejection.as_json() for ejection in ejections]))

    def told(self, link: FakeLink) -> list[Ejection]:
        """What a worker was told since this was last asked."""
        told, link.told = link.told, []
        self.assertEqual({command for command, _ in told} - {Ejected}, set())
        return [Ejection.from_json(it) for _, arguments in told for it in json.loads(arguments["ejections"])]

    def test_others(self) -> None:
        """All others hear what one says."""
        self.say(self.links[1], OUT)
        self.say(self.links[0], BACK)
        self.assertEqual([self.told(link) for link in self.links], [[OUT], [BACK], [OUT, BACK]])

    def test_new_worker(self) -> None:
        """A worker that comes later hears of those that are still ejected, once."""
        self.say(self.links[0], OUT, OTHER)
        self.say(self.links[0], BACK)
        new = FakeLink(3)
        self.links.append(new)
        for _ in range(2):
            self.ejections.greet()
        self.assertEqual(self.told(new), [OTHER])

    def test_nothing_to_say(self) -> None:
        """Where nothing is ejected a new worker is told nothing."""
        self.links.append(FakeLink(3))
        self.ejections.greet()
        self.assertEqual([self.told(link) for link in self.links], [[], [], [], []])

    def test_worker_that_is_gone(self) -> None:
        """A worker that has ended keeps nobody from hearing."""
        self.links[1].end()
        self.say(self.links[0], OUT)
        self.assertEqual(self.told(self.links[2]), [OUT])
        self.assertEqual(self.flushLoggedErrors(), [])
