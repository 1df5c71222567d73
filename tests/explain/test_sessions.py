"""Explanations of what backend policies decide: the session's cookie, sticky weights, requests without a key."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.explain import Explanation, explain, parse_asked
from meshproxy.explain.rendering import render
from meshproxy.explain.values import Forwarding
from tests.config.test_backend_policy import policy
from tests.config.test_persistence import SECRET
from tests.http.test_sessions import KEEPING, Site, StickyWeightTests, route, rule, service, weighted


def explained(site: Site, *headers: str) -> tuple[Forwarding, str]:
    """What becomes of a request, as values and as text."""
    found: Explanation = explain(site.wire.gateway, parse_asked("http://a/", headers))
    assert found.forward is not None
    return found.forward, render(found)


class SessionTests(SynchronousTestCase):
    def test_cookie(self) -> None:
        """The endpoint that a cookie names is told, as is that there is none."""
        site = Site(service(1, 2, 3), route(), rule(), SECRET, KEEPING)
        address, cookie, _ = site.get()
        forward, text = explained(site, f"Cookie: {cookie}")
        self.assertEqual((forward.destinations[0].endpoint, forward.destinations[0].drawn), (f"{address}:80", False))
        self.assertIn(f"session     the cookie sid names {address}:80", text)
        forward, text = explained(site)
        self.assertIn("no cookie sid that is good", text)
        self.assertTrue(forward.destinations[0].drawn)

    def test_draining(self) -> None:
        """An endpoint that drains is told among the candidates, whether hashes decide or not."""
        text = policy("host: app.test\ndraining: [{address: 10.0.0.1}]")
        for balancing in ("simple: RANDOM", "consistentHash: {useSourceIp: true}"):
            site = Site(service(1, 2), route(), rule(f"loadBalancer: {{{balancing}}}"), text)
            forward, shown = explained(site)
            states = {it.address: it.state for it in forward.destinations[0].candidates}
            self.assertEqual(states, {"10.0.0.1:80": "draining", "10.0.0.2:80": "healthy"})
            self.assertIn("10.0.0.1:80 (draining)", shown)

    def test_weighted(self) -> None:
        """A cookie's endpoint decides among destinations, too."""
        site = Site(service(1, 2), weighted(50, 50), rule(), SECRET, KEEPING)
        address, cookie, _ = site.get()
        forward, text = explained(site, f"Cookie: {cookie}")
        (taken,) = [it for it in forward.destinations if it.percent]
        self.assertEqual((taken.percent, taken.endpoint), (100, f"{address}:80"))
        self.assertIn("cookie names an endpoint of this destination", text)
        self.assertEqual([it.percent for it in explained(site)[0].destinations], [50, 50])

    def test_sticky_weights(self) -> None:
        """The destination that a key wins is told, and is the one where requests go."""
        site = Site(service(1, 2), weighted(50, 50), StickyWeightTests.HASHING, StickyWeightTests.STICKY)
        for number in range(8):
            header = f"X-User: u{number}"
            forward, text = explained(site, header)
            (taken,) = [it for it in forward.destinations if it.percent]
            self.assertEqual(taken.endpoint, f"{site.get(headers=header + chr(13) + chr(10))[0]}:80")
            self.assertIn("sticky weights: the hash", text)
        self.assertIn("no hash key was found", explained(site)[0].tied)

    def test_rejected(self) -> None:
        """That a request without a key is refused is told."""
        text = policy("host: app.test\nconsistentHash: {fallback: reject, rejectStatus: 429}")
        site = Site(service(1, 2), route(), rule("loadBalancer: {consistentHash: {httpHeaderName: x-user}}"), text)
        self.assertIn("no hash key was found in the request; 429", explained(site)[1])
