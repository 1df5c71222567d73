"""``healthCheck`` of a BackendPolicy."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.policies import HealthCheck, HttpProbe
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors
from tests.config.test_backend_policy import NAME, policy


def text(block: str, scope: str = "") -> str:
    return policy(f"host: app.test\n{scope}\nhealthCheck: {block}")


class HealthCheckTests(SynchronousTestCase):
    def check(self, block: str) -> HealthCheck | None:
        return compiled(GATEWAY, SERVICE, ROUTE, text(block)).clusters[NAME].health_check

    def wrong(self, block: str) -> list[str]:
        return [error.partition(": ")[2] for error in errors(GATEWAY, SERVICE, ROUTE, text(block))]

    def test_defaults(self) -> None:
        """HTTP asks for / with the service's name; whoever says no more than tcp gets the same times."""
        self.assertEqual(self.check("{http: {}}"), HealthCheck(HttpProbe("/", "app.test")))
        self.assertEqual(self.check("{tcp: {}}"), HealthCheck())
        self.assertIsNone(compiled(GATEWAY, SERVICE, ROUTE).clusters[NAME].health_check)

    def test_everything(self) -> None:
        """Each field has its effect."""
        found = self.check(
            "{http: {path: '/healthz?x=1', host: probe.test, method: HEAD, headers: {x-probe: 'yes', accept: '*/*'},"
            " expectedStatuses: [204, 300-399, '200']}, interval: 2s, timeout: 500ms, jitterPercent: 0,"
            " unhealthyThreshold: 1, healthyThreshold: 4, port: 9000}"
        )
        headers = (("x-probe", "yes"), ("accept", "*/*"))
        probe = HttpProbe("/healthz?x=1", "probe.test", "HEAD", headers, ((204, 204), (300, 399), (200, 200)))
        self.assertEqual(found, HealthCheck(probe, 2.0, 0.0, 0.5, 1, 4, 9000))
        self.assertEqual(
            [probe.expects(status) for status in (200, 203, 204, 299, 300, 399, 400)], [1, 0, 1, 0, 1, 1, 0]
        )

    def test_kind(self) -> None:
        """Exactly one of http and tcp has to be there."""
        for block in ("{interval: 1s}", "{http: {}, tcp: {}}"):
            (error,) = self.wrong(block)
            self.assertIn("must have one of http and tcp", error)

    def test_wrong(self) -> None:
        """What is wrong is reported, all at once."""
        found = self.wrong(
            "{http: {path: healthz, method: TRACE, headers: {host: a, 'b c': d, e: \"\\x01\"},"
            " expectedStatuses: [99, 300-200, ok]}, interval: 0s, healthyThreshold: 0,"
            " jitterPercent: 101, port: 0, x: 1}"
        )
        self.assertEqual(len(found), 13, found)

    def test_reload(self) -> None:
        """A cluster whose check is another is another cluster; with the same one it is the same object."""
        first = compiled(GATEWAY, SERVICE, ROUTE, text("{tcp: {}}"))
        same = compiled(GATEWAY, SERVICE, ROUTE, text("{tcp: {}}"), previous=first)
        other = compiled(GATEWAY, SERVICE, ROUTE, text("{tcp: {}, interval: 1s}"), previous=first)
        self.assertIs(same.clusters[NAME], first.clusters[NAME])
        self.assertIsNot(other.clusters[NAME], first.clusters[NAME])
