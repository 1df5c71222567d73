"""Tests for which DestinationRule applies, and for its levels."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import ProxyIdentity
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, istio, routes, warnings

NAMESPACED = SERVICE.replace("{name: app}", "{name: app, namespace: apps}")


def rule(timeout: int, namespace: str = "apps", host: str = "app.test", more: str = "", name: str = "dr") -> str:
    """A rule that is recognised by its connect timeout."""
    policy = f"trafficPolicy: {{connectionPool: {{tcp: {{connectTimeout: {timeout}s}}}}}}"
    return istio("DestinationRule", name, f"host: '{host}'\n{policy}\n{more}", namespace)


def applied(*rules: str, namespace: str = "istio-system") -> float:
    """The connect timeout of the cluster, 10 where no rule applies."""
    identity = ProxyIdentity(namespace=namespace)
    snapshot = compiled(GATEWAY, NAMESPACED, ROUTE, *rules, identity=identity)
    return snapshot.clusters["outbound|80||app.test"].connect_timeout


class LookupTests(SynchronousTestCase):
    def test_namespaces(self) -> None:
        """The proxy's namespace is first, then the service's, then the root; others do not count."""
        own, service, root, other = (rule(n, where) for n, where in enumerate(("edge", "apps", "istio-system", "x"), 1))
        self.assertEqual(applied(own, service, root, other, namespace="edge"), 1)
        self.assertEqual(applied(service, root, other, namespace="edge"), 2)
        self.assertEqual(applied(root, other, namespace="edge"), 3)
        self.assertEqual(applied(other, namespace="edge"), 10)

    def test_root_proxy(self) -> None:
        """For a proxy in the root namespace only that namespace's private rules come before the service's."""
        self.assertEqual(applied(rule(1, "istio-system"), rule(2)), 2)
        self.assertEqual(applied(rule(1, "istio-system", more="exportTo: [.]"), rule(2)), 1)

    def test_most_specific_host(self) -> None:
        """An exact host wins over a wildcard, the longer wildcard over the shorter."""
        rules = [rule(1, host="*", name="a"), rule(2, host="*.test", name="b"), rule(3, name="c")]
        self.assertEqual([applied(*rules[:n]) for n in (1, 2, 3)], [1, 2, 3])

    def test_export_to(self) -> None:
        """The best host is chosen first; if its rule is hidden, the next namespace is looked at, not a wider host."""
        hidden = rule(1, more="exportTo: [x]", name="a")
        wide, root = rule(2, host="*.test", name="b"), rule(3, "istio-system", name="c")
        self.assertEqual(applied(hidden, wide), 10)
        self.assertEqual(applied(hidden, wide, root), 3)
        self.assertEqual(applied(rule(1, more="exportTo: [istio-system]")), 1)

    def test_short_host(self) -> None:
        """A rule's short host is completed with the rule's own namespace."""
        service = NAMESPACED.replace("app.test", "app.apps.svc.cluster.local")
        route = ROUTE.replace("app.test", "app.apps.svc.cluster.local")
        for namespace, expected in (("apps", 1.0), ("istio-system", 10.0)):
            snapshot = compiled(GATEWAY, service, route, rule(1, namespace, "app"))
            self.assertEqual([it.connect_timeout for it in snapshot.clusters.values()], [expected])

    def test_no_effect(self) -> None:
        """Rules that apply to nothing are warned about, with the reason."""
        for text, part in (
            (
                rule(1, host="app.tst"),
                "there is no service app.tst, so this rule has no effect [IST0174] (did you mean",
            ),
            (rule(1, host="*.tst"), "there is no service *.tst"),
            (rule(1, "x"), "it is neither in the namespace of the service"),
            (rule(1, more="exportTo: [.]"), "its exportTo hides it"),
        ):
            (found,) = warnings(GATEWAY, NAMESPACED, ROUTE, text)
            self.assertIn(part, found)
        (found,) = warnings(GATEWAY, NAMESPACED, ROUTE, rule(1), rule(2, "istio-system"))
        self.assertIn("DestinationRule apps/dr applies to app.test here", found)


class SelectorTests(SynchronousTestCase):
    """Rules with a ``workloadSelector``."""

    mine = "workloadSelector: {matchLabels: {istio: ingressgateway}}"
    others = "workloadSelector: {matchLabels: {istio: egressgateway}}"

    def test_labels_of_the_proxy(self) -> None:
        """A rule that selects this proxy is preferred, one that selects others does not count."""
        plain = rule(1, "edge", name="a")
        self.assertEqual(applied(plain, rule(2, "edge", more=self.mine, name="b"), namespace="edge"), 2)
        self.assertEqual(applied(plain, rule(2, "edge", more=self.others, name="b"), namespace="edge"), 1)

    def test_private(self) -> None:
        """It holds in its own namespace only, whatever ``exportTo`` leaves open; for a root proxy in the root's."""
        self.assertEqual(applied(rule(1, "apps", more=self.mine), namespace="edge"), 10)
        self.assertEqual(applied(rule(1, "istio-system", more=self.mine), namespace="edge"), 10)
        self.assertEqual(applied(rule(1, "istio-system", more=self.mine), rule(2)), 1)

    def test_search_ends(self) -> None:
        """A namespace with rules for the host ends the search, even if none of them selects this proxy."""
        self.assertEqual(applied(rule(1, "edge", more=self.others), rule(2), namespace="edge"), 10)

    def test_merged_only_with_equals(self) -> None:
        """Subsets of rules with another selector, or with none, are not taken over."""
        texts = [
            istio("DestinationRule", name, f"host: app.test\nsubsets: [{{name: {name}}}]\n{selector}", "edge")
            for name, selector in (("a", self.mine), ("b", self.mine), ("c", self.others), ("d", ""))
        ]
        for name, exists in (("a", True), ("b", True), ("c", False), ("d", False)):
            route = ROUTE.replace("host: app.test", f"host: app.test, subset: {name}")
            snapshot = compiled(GATEWAY, NAMESPACED, route, *texts, identity=ProxyIdentity(namespace="edge"))
            self.assertEqual(bool(snapshot.clusters), exists, name)


class MergingTests(SynchronousTestCase):
    def test_same_host(self) -> None:
        """Rules for one host are united: all subsets, the first of a name; the first traffic policy."""
        first = istio("DestinationRule", "a", "host: app.test\nsubsets: [{name: v1, labels: {version: v1}}]", "apps")
        second = rule(
            2, more="subsets: [{name: v1, labels: {version: v2}}, {name: v2, labels: {version: v2}}]", name="b"
        )
        third = rule(3, name="c")
        texts = (GATEWAY, NAMESPACED, third, second, first)
        for subset, address in (("v1", "10.0.0.1"), ("v2", "10.0.0.2")):
            route = ROUTE.replace("host: app.test", f"host: app.test, subset: {subset}")
            (cluster,) = compiled(*texts, route).clusters.values()
            self.assertEqual([it.address for it in cluster.endpoints], [address])
            self.assertEqual(cluster.connect_timeout, 2)
        found = warnings(*texts, ROUTE)
        self.assertEqual(len(found), 2)
        self.assertIn("DestinationRule apps/b has one", found[0])
        self.assertIn("subset 'v1' has no effect", found[1])

    def test_export_sets(self) -> None:
        """Rules with different exportTo stay apart and the last one counts; a wider one is merged into a narrower."""
        narrow = rule(1, more="exportTo: [istio-system]", name="a")
        wider = istio(
            "DestinationRule", "b", "host: app.test\nexportTo: [istio-system, x]\nsubsets: [{name: v1}]", "apps"
        )
        self.assertEqual(applied(narrow, wider), 10)
        self.assertEqual(applied(narrow, rule(2, more="exportTo: [istio-system, x]", name="b")), 2)


class LevelTests(SynchronousTestCase):
    def test_hash_key_and_balancer_are_found_apart(self) -> None:
        """A subset with a simple balancer keeps the rule's hash key on the route, where it has no effect."""
        spec = (
            "host: app.test\ntrafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}\n"
            "subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]"
        )
        route = ROUTE.replace("host: app.test", "host: app.test, subset: v1")
        snapshot = compiled(GATEWAY, NAMESPACED, route, istio("DestinationRule", "dr", spec, "apps"))
        (compiled_route,) = routes(snapshot, "*")
        self.assertEqual(len(compiled_route.action.hash_policy), 1)
        self.assertFalse(compiled_route.action.retries.avoid_previous_hosts)
        (cluster,) = snapshot.clusters.values()
        self.assertFalse(cluster.balancer.uses_hash)

    def test_blocks_are_replaced_whole(self) -> None:
        """A subset's block replaces the rule's; its port level replaces all blocks, even with nothing."""
        pool = "connectionPool: {tcp: {connectTimeout: %s}}"
        spec = (
            f"host: app.test\ntrafficPolicy: {{{pool % '1s'}}}\nsubsets:\n"
            f"- {{name: own, trafficPolicy: {{{pool % '2s'}}}}}\n"
            "- {name: inherits, trafficPolicy: {loadBalancer: {simple: RANDOM}}}\n"
            "- {name: ported, trafficPolicy: {portLevelSettings: "
            "[{port: {number: 80}, loadBalancer: {simple: RANDOM}}]}}"
        )
        for subset, expected in (("own", 2), ("inherits", 1), ("ported", 10)):
            route = ROUTE.replace("host: app.test", f"host: app.test, subset: {subset}")
            snapshot = compiled(GATEWAY, NAMESPACED, route, istio("DestinationRule", "dr", spec, "apps"))
            (cluster,) = snapshot.clusters.values()
            self.assertEqual(cluster.connect_timeout, expected, subset)
