"""Tests for ``outlierDetection`` and ``warmup`` of a DestinationRule."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Cluster
from meshproxy.policies import OutlierDetection, Warmup
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, istio, warnings


def rule(policy: str, subsets: str = "") -> tuple[str, ...]:
    spec = f"host: app.test\ntrafficPolicy: {{{policy}}}\n{subsets}"
    return GATEWAY, SERVICE, ROUTE, istio("DestinationRule", "dr", spec)


def cluster(policy: str) -> Cluster:
    return compiled(*rule(policy)).clusters["outbound|80||app.test"]


class OutlierTests(SynchronousTestCase):
    def test_everything(self) -> None:
        """All fields have their effect."""
        found = cluster(
            "outlierDetection: {consecutive5xxErrors: 1, consecutiveGatewayErrors: 2, interval: 1s,"
            " baseEjectionTime: 1m, maxEjectionPercent: 100, minHealthPercent: 40,"
            " splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 3,"
            " outlierDetectionHttpErrorCodes: [404, 599]}"
        )
        expected = OutlierDetection(1, 2, True, 3, 1.0, 60.0, 100, 40, frozenset({404, 599}))
        self.assertEqual(found.outliers, expected)

    def test_silence(self) -> None:
        """An empty block is on with defaults, an absent one is off; zeros mean what they mean to Istio."""
        self.assertEqual(cluster("outlierDetection: {}").outliers, OutlierDetection())
        self.assertIsNone(cluster("loadBalancer: {simple: RANDOM}").outliers)
        zeros = "consecutive5xxErrors: 0, consecutiveGatewayErrors: 0, maxEjectionPercent: 0, minHealthPercent: 0"
        self.assertEqual(cluster(f"outlierDetection: {{{zeros}}}").outliers, OutlierDetection(consecutive_5xx=0))

    def test_refused(self) -> None:
        """What Istio refuses is refused, with one error each."""
        for fields, part in (
            ("interval: 0s", "interval may not be less than 1ms"),
            ("baseEjectionTime: 1.5ms", "whole number of milliseconds"),
            ("maxEjectionPercent: 101", "must be between 0 and 100"),
            ("minHealthPercent: -1", "must be between 0 and 100"),
            ("consecutive5xxErrors: -1", "must be between 0"),
            ("consecutiveLocalOriginFailures: 1", "needs splitExternalLocalOriginErrors: true"),
            ("outlierDetectionHttpErrorCodes: [99]", "must be between 100 and 599"),
            ("consecutive5xxError: 1", "did you mean 'consecutive5xxErrors'?"),
        ):
            (found,) = errors(*rule(f"outlierDetection: {{{fields}}}"))
            self.assertIn(part, found)

    def test_warned_about(self) -> None:
        """What has no effect is told: an old field, no count at all, and a share that not even one endpoint is."""
        for fields, part in (
            ("consecutiveErrors: 7, maxEjectionPercent: 50", "is deprecated"),
            ("consecutive5xxErrors: 0, maxEjectionPercent: 50", "ejects nobody"),
            ("", "no endpoint of app.test is ever ejected: one of its 2 endpoints is more than 10 percent"),
            ("maxEjectionPercent: 49", "is more than 49 percent"),
        ):
            (found,) = warnings(*rule(f"outlierDetection: {{{fields}}}"))
            self.assertIn(part, found)
        self.assertEqual(warnings(*rule("outlierDetection: {maxEjectionPercent: 50}")), [])

    def test_levels(self) -> None:
        """The block of a subset is in place of the rule's; that of a port too; a subset without one has the rule's."""
        subsets = (
            "subsets: [{name: a, labels: {version: v1}, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 7}}},"
            " {name: b, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]"
        )
        route = istio(
            "VirtualService",
            "vs",
            "hosts: ['*']\ngateways: [gw]\nhttp: [{route: [{destination: {host: app.test, subset: a}, weight: 1},"
            " {destination: {host: app.test, subset: b}, weight: 1}]}]",
        )
        top = "outlierDetection: {consecutive5xxErrors: 3}"
        gateway, service, _, text = rule(top, subsets)
        found = compiled(gateway, service, route, text).clusters
        counts = {name: it.outliers and it.outliers.consecutive_5xx for name, it in found.items()}
        self.assertEqual(counts, {"outbound|80|a|app.test": 7, "outbound|80|b|app.test": 3})
        port = f"{top}, portLevelSettings: [{{port: {{number: 80}}, outlierDetection: {{consecutive5xxErrors: 9}}}}]"
        self.assertEqual(cluster(port).outliers, OutlierDetection(consecutive_5xx=9))

    def test_reload(self) -> None:
        """A cluster is the same object as long as its rules for failing endpoints are the same."""
        texts = rule("outlierDetection: {maxEjectionPercent: 50}")
        before = compiled(*texts)
        name = "outbound|80||app.test"
        self.assertIs(compiled(*texts, previous=before).clusters[name], before.clusters[name])
        other = compiled(*rule("outlierDetection: {maxEjectionPercent: 51}"), previous=before).clusters[name]
        self.assertIsNot(other, before.clusters[name])
        self.assertIs(other.balancer, before.clusters[name].balancer)


class WarmupTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """The new form has three fields, the old one has the time alone."""
        found = cluster("loadBalancer: {warmup: {duration: 30s, minimumPercent: 5.5, aggression: 2}}").warmup
        self.assertEqual(found, Warmup(30.0, 2.0, 5.5))
        self.assertEqual(cluster("loadBalancer: {warmup: {duration: 1s}}").warmup, Warmup(1.0, 1.0, 10.0))
        self.assertEqual(cluster("loadBalancer: {simple: ROUND_ROBIN, warmupDurationSecs: 9s}").warmup, Warmup(9.0))
        self.assertIsNone(cluster("loadBalancer: {simple: ROUND_ROBIN}").warmup)

    def test_refused(self) -> None:
        """What Istio refuses is refused."""
        for fields, part in (
            ("warmup: {}", "warmup.duration is required"),
            ("warmup: {duration: 1s, aggression: 0}", "aggression must be above 0"),
            ("warmup: {duration: 1s, minimumPercent: 101}", "must be between 0 and 100"),
            ("warmup: {duration: 1s}, warmupDurationSecs: 1s", "only one of warmup and"),
            ("warmupDurationSecs: 0s", "may not be less than 1ms"),
        ):
            (found,) = errors(*rule(f"loadBalancer: {{{fields}}}"))
            self.assertIn(part, found)

    def test_without_effect(self) -> None:
        """Balancers that cannot let endpoints warm up do not, and a warning says so."""
        for fields in ("simple: RANDOM", "consistentHash: {useSourceIp: true}"):
            policy = f"loadBalancer: {{{fields}, warmup: {{duration: 1s}}}}"
            self.assertIsNone(cluster(policy).warmup)
            (found,) = warnings(*rule(policy))
            self.assertIn("warmup has no effect with", found)
