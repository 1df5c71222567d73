"""Tests for the kind ``BackendPolicy``: what it is attached to, and which of several counts."""

from __future__ import annotations

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.interfaces import ILoadBalancerBuilder
from meshproxy.strategies.bounded_load import BoundedLoadBuilder
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, istio, warnings

NAME = "outbound|80||app.test"
HASH = istio(
    "DestinationRule",
    "dr",
    "host: app.test\ntrafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}\n"
    "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]",
)
SPLIT = istio(
    "VirtualService",
    "vs",
    "hosts: ['*']\ngateways: [gw]\nhttp: [{route: [{destination: {host: app.test, subset: v1}, weight: 9},"
    " {destination: {host: app.test, subset: v2}, weight: 1}]}]",
)


def policy(spec: str, name: str = "p", namespace: str = "default") -> str:
    """A document; ``spec`` is block YAML without indentation."""
    return istio("BackendPolicy", name, spec, namespace).replace("networking.istio.io/v1", "meshproxy.dev/v1alpha1")


def factor(builder: ILoadBalancerBuilder) -> int | None:
    """The bound of a cluster's balancer, which tells which policy it has."""
    return cast(BoundedLoadBuilder, builder).factor if isinstance(builder, BoundedLoadBuilder) else None


def bound(percent: int, scope: str = "") -> str:
    return f"host: app.test\n{scope}\nconsistentHash: {{hashBalanceFactor: {percent}}}"


class ScopeTests(SynchronousTestCase):
    def test_whole_host(self) -> None:
        """A policy without subset and port is for all clusters of its host; without a policy nothing changes."""
        found = compiled(GATEWAY, SERVICE, SPLIT, HASH, policy(bound(150))).clusters
        self.assertEqual({factor(it.builder) for it in found.values()}, {150})
        self.assertEqual(len(found), 2)
        self.assertIsNone(factor(compiled(GATEWAY, SERVICE, ROUTE, HASH).clusters[NAME].builder))

    def test_narrowest(self) -> None:
        """Of each block the narrowest policy counts: subset and port, then subset, then port, then host."""
        scopes = ("", "port: 80", "subset: v1", "subset: v1\nport: 80")
        texts = [policy(bound(101 + at, scope), f"p{at}") for at, scope in enumerate(scopes)]
        for most, expected in ((1, (101, 101)), (2, (102, 102)), (3, (103, 102)), (4, (104, 102))):
            for order in (1, -1):
                found = compiled(GATEWAY, SERVICE, SPLIT, HASH, *texts[:most][::order]).clusters
                factors = tuple(factor(found[f"outbound|80|{subset}|app.test"].builder) for subset in ("v1", "v2"))
                self.assertEqual(factors, expected)

    def test_namespaces(self) -> None:
        """The proxy's namespace comes first, then the service's, then the root; a short name is completed."""
        texts = [policy(bound(101 + at), "p", owner) for at, owner in enumerate(("istio-system", "default", "other"))]
        clusters = compiled(GATEWAY, SERVICE, ROUTE, HASH, *texts).clusters
        self.assertEqual(factor(clusters[NAME].builder), 101)
        (lost, hidden) = warnings(GATEWAY, SERVICE, ROUTE, HASH, *texts)
        self.assertIn("BackendPolicy istio-system/p applies to app.test here", lost)
        self.assertIn("BackendPolicy other/p has no effect", hidden)
        self.assertIn(
            "there is no service web.default.svc.cluster.local",
            warnings(GATEWAY, SERVICE, ROUTE, HASH, policy(bound(150).replace("app.test", "web")))[0],
        )

    def test_wildcards(self) -> None:
        """The most specific host counts alone."""
        wide = policy(bound(150).replace("app.test", "'*.test'"), "wide")
        self.assertEqual(factor(compiled(GATEWAY, SERVICE, ROUTE, HASH, wide).clusters[NAME].builder), 150)
        both = (wide, policy(bound(120)))
        self.assertEqual(factor(compiled(GATEWAY, SERVICE, ROUTE, HASH, *both).clusters[NAME].builder), 120)

    def test_istio_is_unchanged(self) -> None:
        """A policy leaves alone what it says nothing about."""
        before = compiled(GATEWAY, SERVICE, ROUTE, HASH)
        after = compiled(GATEWAY, SERVICE, ROUTE, HASH, policy(bound(150, "port: 81")), previous=before)
        self.assertIs(before.clusters[NAME], after.clusters[NAME])


class FindingTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """What is wrong is an error with its place, once each."""
        for spec, part in (
            ("consistentHash: {hashBalanceFactor: 150}", "spec.host is required"),
            ("host: 1", "spec.host must be a string"),
            ("host: app.test\nsubset: A_b", "spec.subset must be a DNS label"),
            ("host: app.test\nport: 0", "spec.port must be between 1 and 65535"),
            ("host: app.test\nport: {number: 80}", "spec.port must be a whole number"),
            ("host: app.test\nconsistentHashes: {}", "did you mean 'consistentHash'?"),
            ("host: app.test\nconsistentHash: {hashBalanceFactor: 99}", "must be between 100"),
            ("host: app.test\nconsistentHash: []", "spec.consistentHash must be a mapping"),
            ("host: app.test\nstickyWeights: 1", "spec.stickyWeights must be true or false"),
        ):
            found = errors(GATEWAY, SERVICE, ROUTE, HASH, policy(spec))
            self.assertEqual(len(found), 1, (spec, found))
            self.assertIn(part, found[0])
            self.assertTrue(found[0].startswith("mesh.yaml:"))
        (found,) = errors(GATEWAY, SERVICE, ROUTE, policy("host: x").partition("spec:")[0])
        self.assertIn("spec is required", found)

    def test_without_effect(self) -> None:
        """What cannot take effect is a warning."""
        for texts, part in (
            ((policy("host: app.test"),), "BackendPolicy default/p has no effect: it has no block"),
            ((policy(bound(150, "port: 81")),), "no route leads to port 81 of app.test"),
            ((policy(bound(150, "subset: v1\nport: 80")),), "no route leads to port 80 and subset v1 of app.test"),
            ((policy(bound(150), "a"), policy(bound(120), "b")), "BackendPolicy default/a has one for app.test"),
        ):
            (found,) = warnings(GATEWAY, SERVICE, ROUTE, HASH, *texts)
            self.assertIn(part, found)
        (found,) = warnings(GATEWAY, SERVICE, ROUTE, policy(bound(150)))
        self.assertIn("hashBalanceFactor has no effect: app.test is balanced by LEAST_REQUEST", found)
