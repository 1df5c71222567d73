"""Tests for the warning about retries that have no other locality to go to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading import GATEWAY, istio, warnings
from tests.config.routing import entry

PLACES = istio(
    "ServiceEntry",
    "app",
    "hosts: [app.test]\nresolution: STATIC\nports: [{number: 80, name: http, protocol: HTTP}]\n"
    "endpoints: [{address: 10.0.0.1, locality: eu}, {address: 10.0.0.2, locality: us}]",
)
RETRIES = "retries: {attempts: 2, retryRemoteLocalities: true}, route: [{destination: {host: app.test}}]"


class RetryTests(SynchronousTestCase):
    def said(self, policy: str, fields: str = RETRIES) -> list[str]:
        rule = istio("DestinationRule", "dr", f"host: app.test\ntrafficPolicy: {{{policy}}}")
        found = warnings(GATEWAY, PLACES, entry(fields), rule)
        return [it for it in found if "retryRemoteLocalities" in it]

    def test_without_effect(self) -> None:
        """Without priorities there is no effect, and where a hash decides there is none either."""
        (found,) = self.said("loadBalancer: {simple: RANDOM}")
        self.assertIn("no endpoints of several priorities", found)
        ejecting = "outlierDetection: {maxEjectionPercent: 50}"
        hashing = f"{ejecting}, loadBalancer: {{consistentHash: {{useSourceIp: true}}}}"
        self.assertEqual(len(self.said(hashing)), 1)

    def test_with_effect(self) -> None:
        """Where there are priorities nothing is said, nor where no one asks for other localities."""
        failover = "loadBalancer: {localityLbSetting: {failoverPriority: [topology.kubernetes.io/region=eu]}}"
        self.assertEqual(self.said(f"outlierDetection: {{maxEjectionPercent: 50}}, {failover}"), [])
        plain = RETRIES.replace(", retryRemoteLocalities: true", "")
        self.assertEqual(self.said("loadBalancer: {simple: RANDOM}", plain), [])
