"""Explanations by the state of a gateway that serves: health, panic, priorities, and that asking changes nothing."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.explain import Asked, Explanation, explain, parse_asked
from meshproxy.explain.rendering import render
from meshproxy.explain.values import Candidate, Destination
from meshproxy.http.counters import Counters
from meshproxy.policies import Drain
from tests.config.test_persistence import SECRET
from tests.http.test_sessions import KEEPING, Site, route, rule, service

HASHING = "loadBalancer: {consistentHash: {httpHeaderName: x-user}}"
EJECTING = "outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 60s, maxEjectionPercent: 100}"


def explained(site: Site, *headers: str) -> tuple[Destination, str]:
    """The one destination of a request, and the whole as text."""
    found = explain(site.wire.gateway, parse_asked("http://a/", headers), live=True)
    assert found.forward is not None
    (destination,) = found.forward.destinations
    return destination, render(found)


def get(site: Site, user: str) -> str:
    """Where a request of a user goes."""
    return site.get(headers=f"X-User: {user}\r\n")[0] + ":80"


class LiveTests(SynchronousTestCase):
    def test_ejected(self) -> None:
        """An ejected endpoint is passed over with its reason, and the one told is the one that requests go to."""
        site = Site(service(1, 2, 3, 4, 5), route(), rule(f"{HASHING}, {EJECTING}"))
        users = [f"u{number}" for number in range(20)]
        homes = {user: explained(site, f"X-User: {user}")[0] for user in users}
        lost = homes["u0"].endpoint
        assert lost is not None
        site.broken.add(lost.partition(":")[0])
        get(site, "u0")
        site.broken.clear()
        site.wire.reactor.advance(2)
        for user in users:
            destination, text = explained(site, f"X-User: {user}")
            self.assertEqual(destination.endpoint, get(site, user))
            addresses = [it.address for it in destination.candidates]
            (ejected,) = [it for it in destination.candidates if it.state != "healthy"]
            self.assertEqual(ejected, Candidate(lost, "unhealthy", "", "consecutive_5xx", 0))
            if homes[user].endpoint == lost:
                self.assertEqual(addresses[:2], [lost, destination.endpoint])
                self.assertIn(f"  passed over {lost} (unhealthy: consecutive_5xx)\n  endpoint ", text)
            else:
                self.assertEqual(destination.endpoint, homes[user].endpoint)
                self.assertNotIn("passed over", text)
        self.assertIn("asked of the gateway that serves", text)

    def test_panic(self) -> None:
        """In panic unhealthy endpoints are chosen too, and that is told."""
        site = Site(service(1, 2), route(), rule(f"{HASHING}, {EJECTING[:-1]}, minHealthPercent: 50}}"))
        site.broken = {"10.0.0.1", "10.0.0.2"}
        for user in ("a", "b", "c", "d", "e"):
            get(site, user)
        site.wire.reactor.advance(2)
        destination, text = explained(site, "X-User: a")
        self.assertEqual(destination.endpoint, get(site, "a"))
        self.assertEqual({it.state for it in destination.candidates}, {"unhealthy"})
        self.assertTrue(destination.priorities[0].panic)
        self.assertIn("priorities  0: 100% in panic\n", text)
        self.assertNotIn("passed over", text)

    def test_draining(self) -> None:
        """An endpoint that was asked to drain while serving is passed over."""
        site = Site(service(1, 2, 3), route(), rule(HASHING))
        home = explained(site, "X-User: a")[0].endpoint
        assert home is not None
        site.wire.gateway.upstreams.drains.start(Drain(home.partition(":")[0], None))
        site.wire.reactor.advance(2)
        destination, text = explained(site, "X-User: a")
        self.assertEqual(destination.endpoint, get(site, "a"))
        self.assertIn(f"passed over {home} (draining)\n", text)

    def test_nobody_left(self) -> None:
        """Where all endpoints drain, nobody gets the request, whatever the strategy; and no priority is talked of."""
        for policy in (HASHING, "loadBalancer: {simple: ROUND_ROBIN}"):
            site = Site(service(1, 2), route(), rule(policy))
            for number in (1, 2):
                site.wire.gateway.upstreams.drains.start(Drain(f"10.0.0.{number}", None))
            site.wire.reactor.advance(2)
            destination, text = explained(site, "X-User: a")
            self.assertEqual((destination.endpoint, destination.drawn), (None, False))
            self.assertIn("endpoint    none: no endpoint may be chosen now; 503, flag UH", text)
            self.assertNotIn("priorities", text)
            self.assertEqual(site.get(headers="X-User: a\r\n")[2], 503)

    def test_retries(self) -> None:
        """The endpoints of further tries are those that they really go to, by hash and for a session with a cookie."""
        retried = "retries: {attempts: 3, retryOn: 5xx}"
        where = f"route: [{{destination: {{host: app.test}}}}], {retried}"
        for more in ((), (SECRET, KEEPING)):
            site = Site(service(1, 2, 3, 4), route(where), rule(HASHING), *more)
            _, cookie, _ = site.get(headers="X-User: a\r\n")
            site.broken = {f"10.0.0.{number}" for number in range(1, 5)}
            site.asked.clear()
            destination, _ = explained(site, "X-User: a", f"Cookie: {cookie}")
            site.get(cookie, "X-User: a\r\n")
            told = [destination.endpoint, *destination.retries]
            self.assertEqual([f"{address}:80" for address in site.asked], told)
            self.assertEqual(len(told), 4)

    def test_aborted(self) -> None:
        """A fault that aborts all requests is their answer; one that aborts some is told with its share."""
        for percent, answers in ((100, True), (99, False)):
            fault = f"fault: {{abort: {{httpStatus: 418, percentage: {{value: {percent}}}}}}}"
            site = Site(service(1), route(f"{fault}, route: [{{destination: {{host: app.test}}}}]"), rule())
            found = explain(site.wire.gateway, parse_asked("http://a/"))
            self.assertEqual(found.answer is not None, answers)
            self.assertEqual(found.faults[0].percent, percent)
            if found.answer is not None:
                self.assertEqual(site.get()[2], found.answer.status)
                self.assertEqual((found.answer.details, found.answer.flags), ("fault_filter_abort", "FI"))

    def test_changes_nothing(self) -> None:
        """Turns of a rotation, counters, known heads and sessions are as if nobody had asked."""
        asked, quiet = (Site(service(1, 2, 3), route(), rule()) for _ in range(2))
        for number in range(9):
            destination, _ = explained(asked, f"X-Other: {number}")
            self.assertTrue(destination.drawn)
            for site in (asked, quiet):
                site.get()
        self.assertEqual(len(set(asked.asked)), 3)
        first, second = asked.wire.gateway, quiet.wire.gateway
        start = asked.asked.index(quiet.asked[0])
        self.assertEqual((asked.asked[start:] + asked.asked[:start])[:6], quiet.asked[:6])
        for name in Counters.__slots__:
            self.assertEqual(getattr(first.counters, name), getattr(second.counters, name), name)
        self.assertEqual(first.known_requests.keys(), second.known_requests.keys())


class ValuesTests(SynchronousTestCase):
    def test_over_the_wire(self) -> None:
        """What another process makes of a question and of its explanation is what they were."""
        asked = parse_asked("PUT http://a/x?y", ["A: b", "C: d"], "10.0.0.7:4000", 80)
        self.assertEqual(Asked.load(asked.dump()), asked)
        site = Site(service(1, 2, 3), route(), rule(HASHING))
        for line in ("X-User: a", "X-Other: a"):
            for url in ("http://a/", "http://a/%00"):
                found = explain(site.wire.gateway, parse_asked(url, [line]), live=True)
                self.assertEqual(Explanation.from_json(json.loads(json.dumps(found.as_json()))), found)

    def test_other_releases(self) -> None:
        """Keys that are not known are left out; what is no explanation is told."""
        site = Site(service(1), route(), rule())
        found = explain(site.wire.gateway, parse_asked("http://a/"))
        told = json.loads(json.dumps(found.as_json()))
        told["request"]["new"] = told["new"] = {"x": 1}
        self.assertEqual(Explanation.from_json(told), found)
        for wrong in ([], {}, {**told, "version": 2}, {"version": 1}, {"version": 1, "request": 3}):
            self.assertRaises(ValueError, Explanation.from_json, wrong)
