"""Tests for ``connectionPool`` and ``retryBudget``: what comes of them, and what is said about them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Cluster
from meshproxy.policies import NO_LIMIT, ConnectionPool, Keepalive, RetryBudget
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, istio, warnings


def rule(policy: str, more: str = "") -> tuple[str, ...]:
    return GATEWAY, SERVICE, ROUTE, istio("DestinationRule", "dr", f"host: app.test\ntrafficPolicy: {{{policy}}}{more}")


def cluster(policy: str) -> Cluster:
    (found,) = compiled(*rule(policy)).clusters.values()
    return found


def pool(settings: str) -> ConnectionPool:
    return cluster(f"connectionPool: {{{settings}}}").pool


class ValueTests(SynchronousTestCase):
    def test_nothing_said(self) -> None:
        """Without a rule nothing is limited, and idle connections live an hour, as Istio and Envoy have it."""
        found = cluster("loadBalancer: {simple: RANDOM}")
        self.assertEqual(found.pool, ConnectionPool())
        self.assertEqual((found.pool.max_connections, found.pool.max_retries), (NO_LIMIT, NO_LIMIT))
        self.assertEqual((found.pool.idle_timeout, found.connect_timeout), (3600.0, 10.0))

    def test_everything(self) -> None:
        """Each field is one of the cluster's settings."""
        found = cluster(
            "connectionPool: {tcp: {maxConnections: 1, connectTimeout: 2s, maxConnectionDuration: 3m,"
            " tcpKeepalive: {probes: 4, time: 5s, interval: 6s}}, http: {http1MaxPendingRequests: 7,"
            " http2MaxRequests: 8, maxRequestsPerConnection: 9, maxRetries: 10, idleTimeout: 11s}}"
        )
        self.assertEqual(
            found.pool,
            ConnectionPool(
                max_connections=1,
                max_pending=7,
                max_requests=8,
                max_retries=10,
                max_requests_per_connection=9,
                idle_timeout=11.0,
                max_connection_duration=180.0,
                keepalive=Keepalive(time=5, interval=6, probes=4),
            ),
        )
        self.assertEqual(found.connect_timeout, 2.0)

    def test_idle_timeout(self) -> None:
        """The one of HTTP holds before the one of TCP, of which 0s means never."""
        for settings, expected in (
            ("tcp: {maxConnections: 1}", 3600.0),
            ("tcp: {idleTimeout: 5s}", 5.0),
            ("tcp: {idleTimeout: 0s}", None),
            ("http: {idleTimeout: 7s}", 7.0),
            ("tcp: {idleTimeout: 5s}, http: {maxRetries: 1}", 5.0),
            ("tcp: {idleTimeout: 5s}, http: {idleTimeout: 7s}", 7.0),
        ):
            self.assertEqual(pool(settings).idle_timeout, expected, settings)

    def test_keepalive(self) -> None:
        """What is not said is left to the system; durations are whole seconds there, as in Istio."""
        for settings, expected in (
            ("{}", Keepalive()),
            ("{probes: 3}", Keepalive(probes=3)),
            ("{probes: 0, time: 10m}", Keepalive(time=600)),
            ("{time: 1500ms, interval: 1ms}", Keepalive(time=1, interval=1)),
            ("{time: 24h, probes: 1000}", Keepalive(time=32767, probes=127)),
        ):
            self.assertEqual(pool(f"tcp: {{tcpKeepalive: {settings}}}").keepalive, expected, settings)

    def test_retry_budget(self) -> None:
        """A budget has Envoy's defaults for what it does not say."""
        for settings, expected in (
            ("{}", RetryBudget(20.0, 3)),
            ("{percent: 0, minRetryConcurrency: 0}", RetryBudget(0.0, 3)),
            ("{percent: 12.5, minRetryConcurrency: 9}", RetryBudget(12.5, 9)),
        ):
            self.assertEqual(cluster(f"retryBudget: {settings}").pool.retry_budget, expected, settings)

    def test_levels(self) -> None:
        """A port's pool replaces the whole of the rule's; a retry budget is that of the subset, else of the rule."""
        ports = ", portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 2}}}]"
        limits = "connectionPool: {http: {maxRetries: 1}}, retryBudget: {percent: 1}"
        subset = "\nsubsets: [{name: v1, trafficPolicy: {%s}}]"
        to_subset = ROUTE.replace("app.test", "app.test, subset: v1")
        budget = RetryBudget(1.0, 3)
        cases: tuple[tuple[str, str, dict[str, Any]], ...] = (
            (limits + ports, "", {"max_connections": 2}),
            (limits, subset % "loadBalancer: {simple: RANDOM}", {"max_retries": 1, "retry_budget": budget}),
            (limits, subset % "retryBudget: {percent: 2}", {"max_retries": 1, "retry_budget": RetryBudget(2.0, 3)}),
            (limits, subset % ports[2:], {"max_connections": 2, "retry_budget": budget}),
            (limits, subset % "connectionPool: {http: {}}", {"retry_budget": budget}),
        )
        for policy, more, expected in cases:
            texts = list(rule(policy, more))
            if more:
                texts[2] = to_subset
            (found,) = compiled(*texts).clusters.values()
            self.assertEqual(found.pool, ConnectionPool(**expected), (policy, more))


class FindingTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """What Istio refuses is refused, and what asks for HTTP/2."""
        for policy, part in (
            ("connectionPool: {http: {maxRetries: -1}}", "maxRetries must be between 0"),
            ("connectionPool: {http: {idleTimeout: 0s}}", "may not be less than 1ms"),
            ("connectionPool: {http: {h2UpgradePolicy: upgrade}}", "h2UpgradePolicy must not be 'upgrade'"),
            ("connectionPool: {http: {h2UpgradePolicy: UPGRADE}}", "h2UpgradePolicy UPGRADE is not served yet"),
            ("connectionPool: {http: {useClientProtocol: true}}", "useClientProtocol is not served yet"),
            ("connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}", "may have only one of"),
            ("connectionPool: {http: {http2KeepAlive: {interval: 1s}}}", "timeout is required"),
            ("connectionPool: {http: {maxConnections: 1}}", "has no field 'maxConnections'"),
            ("connectionPool: {tcp: {maxConnections: -1}}", "maxConnections must be between 0"),
            ("connectionPool: {tcp: {idleTimeout: 0.5ms}}", "idleTimeout may not be less than 1ms"),
            ("connectionPool: {tcp: {tcpKeepalive: {time: 0s}}}", "tcpKeepalive.time may not be less than 1ms"),
            ("connectionPool: {tcp: {maxConnectionDuration: 1.5ms}}", "whole number of milliseconds"),
            ("retryBudget: {percent: 101}", "must be between 0 and 100"),
            ("retryBudget: {budgetInterval: 1s}", "budgetInterval is not served yet"),
        ):
            self.assertIn(part, errors(*rule(policy))[0])

    def test_without_effect(self) -> None:
        """What can have no effect is a warning at its place."""
        for policy, part in (
            ("connectionPool: {tcp: {maxConnections: 0}}", "maxConnections has no effect: 0 means that there is no"),
            ("connectionPool: {http: {maxRetries: 0}}", "maxRetries has no effect: 0 means that there is no limit"),
            ("connectionPool: {tcp: {idleTimeout: 1s}, http: {idleTimeout: 1s}}", "tcp.idleTimeout has no effect"),
            ("connectionPool: {http: {maxConcurrentStreams: 4}}", "endpoints are spoken to in HTTP/1.1"),
            ("connectionPool: {http: {http2KeepAlive: {interval: 1s, timeout: 1s}}}", "http2KeepAlive has no effect"),
            ("connectionPool: {tcp: {tcpKeepalive: {time: 0.5s}}}", "tcpKeepalive.time is taken as 1"),
            ("connectionPool: {tcp: {tcpKeepalive: {probes: 128}}}", "tcpKeepalive.probes is taken as 127"),
            ("connectionPool: {http: {maxRetries: 1}}, retryBudget: {}", "maxRetries has no effect beside"),
        ):
            (found,) = warnings(*rule(policy))
            self.assertIn(part, found)

    def test_as_it_is(self) -> None:
        """What asks for HTTP/1.1 asks for what there is."""
        for settings in ("h2UpgradePolicy: DO_NOT_UPGRADE", "h2UpgradePolicy: DEFAULT", "useClientProtocol: false"):
            self.assertEqual(warnings(*rule(f"connectionPool: {{http: {{{settings}}}}}")), [])
