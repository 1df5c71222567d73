"""Tests for destinations and their clusters."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Snapshot
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, istio, routes, warnings

TWO_PORTS = (
    SERVICE.replace("ports: [{number: 80,", "ports: [{number: 8080, name: other, protocol: HTTP}, {number: 80,")
    .replace("app.test", "two.test")
    .replace("{name: app}", "{name: two}")
)
STICKY = "loadBalancer: {consistentHash: {httpHeaderName: x-user}}"


def rule(spec: str, host: str = "app.test", name: str = "dr", namespace: str = "default") -> str:
    return istio("DestinationRule", name, f"host: {host}\n{spec}", namespace)


def to(*destinations: str) -> str:
    spec = "hosts: ['*']\ngateways: [default/gw]\nhttp: [{route: [" + ", ".join(destinations) + "]}]"
    return istio("VirtualService", "vs", spec)


def names(snapshot: Snapshot) -> list[str]:
    (route,) = routes(snapshot, "*")
    return [destination.cluster for destination in route.action.destinations]


class PortTests(SynchronousTestCase):
    def test_choice(self) -> None:
        """The named port, else the service's only one, else that of the gateway."""
        for destination, expected in (
            ("{host: two.test, port: {number: 8080}}", "outbound|8080||two.test"),
            ("{host: app.test}", "outbound|80||app.test"),
            ("{host: two.test}", "outbound|80||two.test"),
        ):
            snapshot = compiled(GATEWAY, SERVICE, TWO_PORTS, to(f"{{destination: {destination}}}"))
            self.assertEqual(names(snapshot), [expected])
            self.assertEqual(list(snapshot.clusters), [expected])

    def test_only_port(self) -> None:
        """A service's only port is taken even where the gateway's is another one."""
        gateway = GATEWAY.replace("number: 80", "number: 8000")
        snapshot = compiled(gateway, SERVICE, TWO_PORTS, to("{destination: {host: app.test}}"))
        self.assertEqual(list(snapshot.clusters), ["outbound|80||app.test"])


class MissingTests(SynchronousTestCase):
    def test_no_cluster(self) -> None:
        """A destination that does not exist loads, has no cluster, and is warned about with what was meant."""
        subsets = rule("subsets: [{name: v1, labels: {version: v1}}]")
        for destination, cluster, part in (
            (
                "{host: app.tst}",
                "outbound|80||app.tst",
                "there is no service app.tst: its requests are answered 503 [IST0101] (did you mean 'app.test'?)",
            ),
            ("{host: app.test, port: {number: 81}}", "outbound|81||app.test", "has no port 81"),
            (
                "{host: app.test, subset: v2}",
                "outbound|80|v2|app.test",
                "no subset 'v2': its requests are answered 503 [IST0101] (its subsets are v1)",
            ),
            ("{host: two.test, subset: v1}", "outbound|80|v1|two.test", "no DestinationRule for this host applies"),
            ("{host: app}", "outbound|80||app.default.svc.cluster.local", "there is no service app.default.svc"),
        ):
            texts = (GATEWAY, SERVICE, TWO_PORTS, subsets, to(f"{{destination: {destination}}}"))
            snapshot = compiled(*texts)
            self.assertEqual(names(snapshot), [cluster])
            self.assertEqual(dict(snapshot.clusters), {})
            self.assertEqual(len([it for it in warnings(*texts) if part in it]), 1)

    def test_no_noise(self) -> None:
        """Where an object of the kind that is missed is broken, only that is said."""
        broken = SERVICE.replace("resolution: STATIC", "resolution: STATIK")
        self.assertEqual(len(errors(GATEWAY, ROUTE, broken)), 2)  # its endpoints stand under no resolution then
        self.assertEqual(warnings(GATEWAY, ROUTE, broken), [])
        broken = rule("subsets: [{name: a.b}]")
        texts = (GATEWAY, SERVICE, broken, to("{destination: {host: app.test, subset: c}}"))
        self.assertEqual((len(errors(*texts)), warnings(*texts)), (1, []))
        texts = (GATEWAY, "a: [\n---\n", to("{destination: {host: app.test}}"))
        self.assertEqual((len(errors(*texts)), warnings(*texts)), (1, []))

    def test_no_endpoint_of_a_subset(self) -> None:
        """A subset whose labels no endpoint has is an empty cluster, with a warning."""
        texts = (GATEWAY, SERVICE, rule("subsets: [{name: v3, labels: {version: v3}}]"))
        texts += (to("{destination: {host: app.test, subset: v3}}"),)
        self.assertEqual(compiled(*texts).clusters["outbound|80|v3|app.test"].endpoints, ())
        (found,) = warnings(*texts)
        self.assertIn("has the labels version=v3", found)


class WeightTests(SynchronousTestCase):
    def test_several(self) -> None:
        """Of several destinations those without a weight get nothing; a single one needs none."""
        texts = (GATEWAY, SERVICE, TWO_PORTS)
        one, two = "{destination: {host: app.test}, weight: 3}", "{destination: {host: two.test}, weight: %s}"
        (route,) = routes(compiled(*texts, to(one, two % 1)), "*")
        self.assertEqual([it.weight for it in route.action.destinations], [3, 1])
        (route,) = routes(compiled(*texts, to(one, two % 0)), "*")
        self.assertEqual([it.cluster for it in route.action.destinations], ["outbound|80||app.test"])
        (route,) = routes(compiled(*texts, to("{destination: {host: app.test}, weight: 0}")), "*")
        self.assertEqual([it.weight for it in route.action.destinations], [1])


class ServiceChoiceTests(SynchronousTestCase):
    def test_own_namespace_first(self) -> None:
        """Of services with one host that in the virtual service's namespace is meant, else any that is seen."""
        mine = SERVICE
        other = SERVICE.replace("{name: app}", "{name: aaa, namespace: apps}").replace("10.0.0", "10.0.1")
        for namespace, first in (("default", "10.0.0.1"), ("apps", "10.0.1.1"), ("x", "10.0.1.1")):
            route = to("{destination: {host: app.test}}").replace("namespace: default", f"namespace: {namespace}")
            clusters = compiled(GATEWAY, mine, other, route).clusters
            self.assertEqual(clusters["outbound|80||app.test"].endpoints[0].address, first)

    def test_entry_host_is_not_completed(self) -> None:
        """A destination's short name is completed, a ServiceEntry's is not; the warning explains it."""
        short = SERVICE.replace("app.test", "app")
        found = warnings(GATEWAY, short, to("{destination: {host: app}}"))
        self.assertIn("a ServiceEntry's host 'app' is not completed", " ".join(found))


class ReuseTests(SynchronousTestCase):
    def test_equal_cluster_is_the_same(self) -> None:
        """A cluster that did not change is the very same object after a reload, others are not."""
        texts = [GATEWAY, SERVICE, TWO_PORTS, rule(f"trafficPolicy: {{{STICKY}}}")]
        texts += [to("{destination: {host: app.test}, weight: 1}", "{destination: {host: two.test}, weight: 1}")]
        before = compiled(*texts)
        texts[2] = texts[2].replace("10.0.0.2", "10.0.0.3")
        after = compiled(*texts, previous=before)
        self.assertIs(before.clusters["outbound|80||app.test"], after.clusters["outbound|80||app.test"])
        self.assertIsNot(before.clusters["outbound|80||two.test"], after.clusters["outbound|80||two.test"])

    def test_what_changes_a_cluster(self) -> None:
        """Another load balancer and another time-out make a new cluster; for the time alone the table is kept."""
        texts = (GATEWAY, SERVICE, ROUTE)
        before = compiled(*texts, rule(f"trafficPolicy: {{{STICKY}}}")).clusters["outbound|80||app.test"]
        timed = rule(f"trafficPolicy: {{{STICKY}, connectionPool: {{tcp: {{connectTimeout: 3s}}}}}}")
        snapshot = compiled(*texts, rule(f"trafficPolicy: {{{STICKY}}}"))
        before = snapshot.clusters["outbound|80||app.test"]
        after = compiled(*texts, timed, previous=snapshot).clusters["outbound|80||app.test"]
        self.assertEqual((before.connect_timeout, after.connect_timeout), (10.0, 3.0))
        self.assertIs(before.balancer, after.balancer)
        after = compiled(*texts, rule("trafficPolicy: {loadBalancer: {simple: RANDOM}}"), previous=snapshot)
        self.assertIsNot(before.balancer, after.clusters["outbound|80||app.test"].balancer)

    def test_shared_tables(self) -> None:
        """Clusters with the same endpoints and settings share one table, but not what counts requests or positions."""
        texts = [GATEWAY, SERVICE, SERVICE.replace("app", "bpp")]
        texts += [to("{destination: {host: app.test}, weight: 1}", "{destination: {host: bpp.test}, weight: 1}")]
        for policy, shared in ((STICKY, True), ("loadBalancer: {simple: ROUND_ROBIN}", False)):
            rules = [rule(f"trafficPolicy: {{{policy}}}", host, host[:3]) for host in ("app.test", "bpp.test")]
            clusters = list(compiled(*texts, *rules).clusters.values())
            self.assertEqual(clusters[0].endpoints, clusters[1].endpoints)
            self.assertEqual(clusters[0].balancer is clusters[1].balancer, shared, policy)
