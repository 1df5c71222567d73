"""What outcomes of health checks in a row come to, by the rules of Envoy's health checker."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.policies import HealthCheck
from meshproxy.upstream.checking import CheckedEndpoint, ProbeFailed, Verdicts

POLICY = HealthCheck(unhealthy_threshold=3, healthy_threshold=2)
REFUSED, STATUS = ProbeFailed("connection refused"), ProbeFailed("status 503", definite=True)


class CheckedEndpointTests(SynchronousTestCase):
    def outcomes(self, letters: str) -> str:
        """Outcomes in a row: ``+`` passed, ``-`` failed, ``!`` failed definitely; what is known after each of them.

        ``H`` and ``U`` are healthy and unhealthy, in capitals where that is news.
        """
        endpoint = CheckedEndpoint()
        found = ""
        for letter in letters:
            if letter == "+":
                news = endpoint.passed(POLICY)
            else:
                news = endpoint.failed(POLICY, REFUSED if letter == "-" else STATUS)
            found += ("H" if endpoint.healthy else "U") if news else ("h" if endpoint.healthy else "u")
        return found

    def test_first_decides(self) -> None:
        """Unknown at first; the first check decides at once, either way."""
        self.assertFalse(CheckedEndpoint().known)
        self.assertFalse(CheckedEndpoint().healthy)
        self.assertEqual([self.outcomes(first) for first in "+-!"], ["H", "U", "U"])

    def test_unhealthy(self) -> None:
        """It takes failures in a row; a success begins the count anew."""
        self.assertEqual(self.outcomes("+---"), "HhhU")
        self.assertEqual(self.outcomes("+--+--+---"), "HhhhhhhhhU")

    def test_definite(self) -> None:
        """Another status than is expected makes it unhealthy at once."""
        self.assertEqual(self.outcomes("+!"), "HU")

    def test_healthy_again(self) -> None:
        """It takes successes in a row; a failure begins the count anew."""
        self.assertEqual(self.outcomes("-++"), "UuH")
        self.assertEqual(self.outcomes("+!+-++"), "HUuuuH")

    def test_counts_begin_anew(self) -> None:
        """What happened while it was unhealthy does not count for the next time."""
        self.assertEqual(self.outcomes("+---++--+---"), "HhhUuHhhhhhU")

    def test_reason(self) -> None:
        """The last failure says why."""
        endpoint = CheckedEndpoint()
        endpoint.failed(POLICY, REFUSED)
        endpoint.failed(POLICY, STATUS)
        self.assertEqual(endpoint.reason, "status 503")


class VerdictsTests(SynchronousTestCase):
    def test_json(self) -> None:
        """Verdicts can be sent as JSON and are the same then."""
        verdicts = Verdicts("c", frozenset({"a", "b"}), {"d": "no"})
        self.assertEqual(Verdicts.from_json(json.loads(json.dumps(verdicts.as_json()))), verdicts)
