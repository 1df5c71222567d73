"""Tests for ``draining`` of a BackendPolicy, and for pods that are about to end."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.policies import FOR_EVER, Drain
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, warnings
from tests.config.test_backend_policy import HASH, NAME, policy
from tests.config.test_persistence import SECRET, A

KEEPING = f"\npersistence: {{cookie: {{name: sid}}, secrets: [{A}]}}"


def draining(items: str, more: str = "") -> tuple[str, ...]:
    return GATEWAY, SERVICE, ROUTE, HASH, SECRET, policy(f"host: app.test\ndraining: [{items}]{more}")


class DrainingTests(SynchronousTestCase):
    def test_balancer(self) -> None:
        """The balancer is built without what drains; the cluster has it still."""
        cluster = compiled(*draining("{address: 10.0.0.1}")).clusters[NAME]
        self.assertEqual([it.key for it in cluster.endpoints], ["10.0.0.1:80", "10.0.0.2:80"])
        self.assertEqual([it.key for it in cluster.balancer.candidates(1)], ["10.0.0.2:80"])

    def test_settings(self) -> None:
        """An item may be for one port, and have an end in any zone."""
        items = "{address: 10.0.0.1, port: 80, until: 2030-05-01T12:00:00Z}, {address: 10.0.0.2, port: 80}"
        cluster = compiled(*draining(items, KEEPING)).clusters[NAME]
        expected = (Drain("10.0.0.1", 80, 1903867200.0), Drain("10.0.0.2", 80, FOR_EVER))
        self.assertEqual(cluster.draining, expected)
        zone = compiled(*draining(items.replace("12:00:00Z", "14:00:00+02:00"), KEEPING)).clusters[NAME]
        self.assertEqual(zone.draining, expected)

    def test_reload(self) -> None:
        """A cluster whose endpoints begin or cease to drain has another balancer, and is else the same object."""
        before = compiled(*draining("{address: 10.0.0.1}"))
        self.assertIs(compiled(*draining("{address: 10.0.0.1}"), previous=before).clusters[NAME], before.clusters[NAME])
        after = compiled(*draining("{address: 10.0.0.2}"), previous=before).clusters[NAME]
        self.assertEqual([it.key for it in after.balancer.candidates(1)], ["10.0.0.1:80"])

    def test_refused(self) -> None:
        """What is wrong is an error with its place, once each."""
        for items, part in (
            ("{}", "spec.draining[0].address is required"),
            ("{address: app}", "must be an IP address, not 'app'"),
            ("{address: '10.0.0.1:80'}", "a port stands beside it"),
            ("{address: 10.0.0.1, port: 0}", "must be between 1 and 65535"),
            ("{address: 10.0.0.1, until: tomorrow}", "must be a time such as"),
            ("{address: 10.0.0.1, until: 2030-05-01T12:00:00}", "with its zone"),
            ("{address: 10.0.0.1, til: 1}", "did you mean 'until'?"),
            ("{address: 10.0.0.1}, {address: 10.0.0.1}", "10.0.0.1 is there already"),
            ("10.0.0.1", "must be a mapping"),
        ):
            found = errors(*draining(items))
            self.assertEqual(len(found), 1, (items, found))
            self.assertIn(part, found[0])

    def test_without_effect(self) -> None:
        """What drains nobody, or everybody, is a warning; so is a time that no session is left for."""
        for items, part in (
            ("{address: 10.0.0.9}", "no endpoint of app.test is at 10.0.0.9"),
            ("{address: 10.0.0.1, port: 81}", "no endpoint of app.test is at 10.0.0.1:81"),
            ("{address: 10.0.0.1}, {address: 10.0.0.2}", "all endpoints of app.test drain"),
            ("{address: 10.0.0.1, until: 2030-05-01T12:00:00Z}", "until has no effect: without persistence"),
        ):
            (found,) = warnings(*draining(items))
            self.assertIn(part, found)
        self.assertEqual(warnings(*draining("{address: 10.0.0.1}")), [])


_PODS = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.1.0.1], conditions: {ready: true, serving: true, terminating: false}}
- {addresses: [10.1.0.2], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.1.0.3], conditions: {ready: false, serving: false, terminating: true}}
- {addresses: [10.1.0.4], conditions: {ready: false}}
---
"""


class PodTests(SynchronousTestCase):
    def test_terminating(self) -> None:
        """A pod that ends and still serves drains where sessions are known by cookies; else it is not there."""
        name = "outbound|80||web.default.svc.cluster.local"
        route = ROUTE.replace("app.test", "web")
        found = compiled(GATEWAY, _PODS, route).clusters[name]
        self.assertEqual(([it.key for it in found.endpoints], found.draining), (["10.1.0.1:8080"], ()))
        keeping = policy("host: web" + KEEPING)
        found = compiled(GATEWAY, _PODS, route, SECRET, keeping).clusters[name]
        self.assertEqual([it.key for it in found.endpoints], ["10.1.0.1:8080", "10.1.0.2:8080"])
        self.assertEqual(found.draining, (Drain("10.1.0.2", 8080),))
        self.assertEqual([it.key for it in found.balancer.candidates(1)], ["10.1.0.1:8080"])
