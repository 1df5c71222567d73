"""Health checks that the supervisor makes for its workers."""

from __future__ import annotations

import json

from attrs import evolve
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Endpoint
from meshproxy.net.probing import Prober
from meshproxy.policies import HealthCheck
from meshproxy.workers.checks import Checks
from meshproxy.workers.commands import Apply
from tests.upstream.answers import FakeResolver, record
from tests.upstream.test_probes import NAME, cluster, key
from tests.workers.crews import FakeLink


class ChecksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.links = [FakeLink(0), FakeLink(1)]
        self.checked: list[str] = []
        self.resolver = FakeResolver(app=[record("app.test", "10.0.0.7")])
        self.checks = Checks(self.clock, lambda: self.links, maybeDeferred, self.probe, self.resolver)
        self.addCleanup(self.checks.stop)

    def probe(self, endpoint: Endpoint, check: HealthCheck) -> Deferred[None]:
        self.checked.append(endpoint.key)
        return succeed(None)

    def told(self, link: FakeLink) -> list[object]:
        """What a worker was told since this was last asked."""
        told, link.told = link.told, []
        self.assertEqual({command for command, _ in told} - {Apply}, set())
        return [verdict for _, arguments in told for verdict in json.loads(arguments["verdicts"])]

    def test_told_to_all(self) -> None:
        """Each endpoint is checked once, and all workers hear of it."""
        self.checks.follow({NAME: cluster([1, 2])})
        self.clock.advance(0)
        self.assertEqual(self.checked, [key(1), key(2)])
        for link in self.links:
            self.assertEqual(self.told(link)[-1], [NAME, [key(1), key(2)], {}])

    def test_new_worker(self) -> None:
        """A worker that comes later hears all that is known, once."""
        self.checks.greet()
        self.checks.follow({NAME: cluster([1])})
        self.clock.advance(0)
        self.links.append(FakeLink(2))
        for _ in range(2):
            self.checks.greet()
        self.assertEqual(self.told(self.links[2]), [[NAME, [key(1)], {}]])

    def test_worker_that_is_gone(self) -> None:
        """A worker that has ended keeps nobody from hearing."""
        self.links[0].end()
        self.checks.follow({NAME: cluster([1])})
        self.clock.advance(0)
        self.assertEqual(self.told(self.links[1])[-1], [NAME, [key(1)], {}])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_names(self) -> None:
        """The names of endpoints that are checked are looked up; others are not."""
        named = evolve(cluster([]), targets=(Endpoint("app.test", 80),))
        unchecked = evolve(cluster([], None, "other"), targets=(Endpoint("other.test", 80),))
        self.checks.follow({NAME: named, "other": unchecked})
        self.clock.advance(1)
        self.assertEqual(set(self.checked), {"10.0.0.7:80"})
        self.assertEqual(set(self.resolver.asked), {"app.test"})

    def test_stop(self) -> None:
        """In the end no connection is kept for a next check."""
        closed: list[None] = []
        self.patch(Prober, "close", lambda prober: closed.append(None))
        self.checks.stop()
        self.assertEqual(len(closed), 1)
