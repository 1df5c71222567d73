"""Tests for ``localityLbSetting``."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.availability import AvailableBuilder
from meshproxy.config.locality import overlap
from meshproxy.localities import arranged
from meshproxy.model import Cluster, ProxyIdentity
from meshproxy.policies import Localities
from meshproxy.strategies import round_robin
from tests.config.loading import GATEWAY, ROUTE, compiled, errors, istio, warnings

PLACES = {"10.0.0.1": "eu/west/a", "10.0.0.2": "eu/west/b", "10.0.0.3": "eu/east/a", "10.0.0.4": "us/west/a"}
ENTRIES = ", ".join(f"{{address: {address}, locality: {place}}}" for address, place in PLACES.items())
SERVICE = istio(
    "ServiceEntry",
    "app",
    "hosts: [app.test]\nresolution: STATIC\nports: [{number: 80, name: http, protocol: HTTP}]\n"
    f"endpoints: [{ENTRIES}]",
)
DISTRIBUTE = "distribute: [{from: eu/*, to: {eu/west/*: 80, us: 20}}, {from: us, to: {us: 100}}]"


def rule(setting: str, simple: str = "ROUND_ROBIN") -> str:
    policy = f"trafficPolicy: {{loadBalancer: {{{simple}, localityLbSetting: {{{setting}}}}}}}"
    return istio("DestinationRule", "dr", f"host: app.test\n{policy.replace('ROUND_ROBIN', 'simple: ROUND_ROBIN')}")


def cluster(setting: str, locality: str, simple: str = "ROUND_ROBIN") -> Cluster:
    identity = ProxyIdentity(locality=locality)
    return compiled(GATEWAY, ROUTE, SERVICE, rule(setting, simple), identity=identity).clusters["outbound|80||app.test"]


def picks(found: Cluster, count: int) -> Counter[str]:
    endpoints = [found.balancer.pick(number * 7919 << 40, 0) for number in range(count)]
    return Counter(PLACES[endpoint.address] for endpoint in endpoints if endpoint is not None)


class DistributeTests(SynchronousTestCase):
    def test_shares(self) -> None:
        """The entry for the proxy's locality shares out the requests; localities it does not name get none."""
        found = picks(cluster(DISTRIBUTE, "eu/west/a"), 1000)
        for place, expected in (("eu/west/a", 400), ("eu/west/b", 400), ("us/west/a", 200)):
            self.assertApproximates(found[place], expected, 2)
        self.assertEqual(found["eu/east/a"], 0)
        self.assertEqual(set(picks(cluster(DISTRIBUTE, "us/x"), 100)), {"us/west/a"})

    def test_with_hash(self) -> None:
        """A hash balancer's shares follow the localities too; the same hash has the same endpoint."""
        found = cluster(DISTRIBUTE, "eu/west/a", "consistentHash: {httpHeaderName: x}")
        self.assertTrue(found.balancer.uses_hash)
        candidates = {endpoint.locality for endpoint in found.balancer.candidates(1)}
        self.assertEqual(candidates, {"eu/west/a", "eu/west/b", "us/west/a"})
        self.assertIs(found.balancer.pick(5, 0), found.balancer.pick(5, 0))

    def test_no_entry_for_the_proxy(self) -> None:
        """Then localities have the weight of their endpoints, and a warning says so."""
        found = picks(cluster(DISTRIBUTE, "asia"), 400)
        self.assertEqual(set(found), set(PLACES.values()))
        said = "\n".join(warnings(GATEWAY, ROUTE, SERVICE, rule(DISTRIBUTE)))
        self.assertIn("no entry of distribute is for the locality of this proxy, which is unknown", said)

    def test_lost_endpoints(self) -> None:
        """Endpoints that get nothing are named in a warning."""
        setting = "distribute: [{from: '*', to: {us/*: 100}}]"
        (said,) = [it for it in warnings(GATEWAY, ROUTE, SERVICE, rule(setting)) if "get no requests" in it]
        self.assertIn("eu/east/a, eu/west/a, eu/west/b", said)

    def test_switched_off(self) -> None:
        """``enabled: false`` leaves the balancer as it is without the setting."""
        off = cluster(f"enabled: false, {DISTRIBUTE}", "eu/west/a")
        self.assertIsInstance(off.builder, round_robin.RoundRobinBuilder)
        self.assertIsInstance(cluster(DISTRIBUTE, "eu/west/a").builder, AvailableBuilder)

    def test_said_to_be_off(self) -> None:
        """What stands beside ``enabled: false`` has no effect."""
        for setting, name in ((DISTRIBUTE, "distribute"), ("failover: [{from: a, to: b}]", "failover")):
            (found,) = warnings(GATEWAY, ROUTE, SERVICE, rule(f"enabled: false, {setting}"))
            self.assertIn(f"localityLbSetting.{name} has no effect: enabled is false", found)
        self.assertEqual(warnings(GATEWAY, ROUTE, SERVICE, rule("enabled: false")), [])

    def test_reload(self) -> None:
        """A cluster whose distribution did not change is the same object."""
        identity = ProxyIdentity(locality="eu/west/a")
        texts = (GATEWAY, ROUTE, SERVICE)
        before = compiled(*texts, rule(DISTRIBUTE), identity=identity)
        same = compiled(*texts, rule(DISTRIBUTE), identity=identity, previous=before)
        other = compiled(
            *texts, rule(DISTRIBUTE.replace("80, us: 20", "81, us: 19")), identity=identity, previous=before
        )
        name = "outbound|80||app.test"
        self.assertIs(same.clusters[name], before.clusters[name])
        self.assertIsNot(other.clusters[name], before.clusters[name])


class PatternTests(SynchronousTestCase):
    def test_overlap(self) -> None:
        """What is covered by a pattern before it is refused; a wildcard for the rest may come last."""
        for patterns in (["eu", "us"], ["eu/west", "eu/*"], ["eu/west/a", "eu/west/b", "*"]):
            self.assertEqual(overlap(patterns), "", patterns)
        for patterns in (["eu", "eu/west"], ["*", "eu"], ["eu/*", "eu/west"], ["eu/west", "eu"], ["a", "a"]):
            self.assertIn("overlaps with", overlap(patterns), patterns)
        self.assertIn("only at its end", overlap(["*/west"]))
        self.assertIn("empty part", overlap(["eu//a"]))


class RefusalTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error."""
        for setting, part in (
            ("distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]", "only one of distribute and"),
            ("distribute: [{from: a, to: {b: 50}}]", "must add up to 100, not 50"),
            ("distribute: [{from: a, to: {b: 0, c: 100}}]", "must be between 1 and 100, not 0"),
            ("distribute: [{from: a, to: {b: 101}}]", "must be between 1 and 100, not 101"),
            ("distribute: [{from: a}]", "must add up to 100, not 0"),
            ("distribute: [{from: a, to: {b: 50, b/c: 50}}]", "overlaps with"),
            ("distribute: [{from: a, to: {b: 100}}, {from: a/b, to: {b: 100}}]", "overlaps with"),
            ("failover: [{from: a, to: a}]", "from one region to another"),
            ("failover: [{from: a/b, to: c}]", "from must be a region"),
            ("failover: [{from: a, to: '*'}]", "to must be a region"),
            ("failover: [{from: a, to: b}], failoverPriority: [topology.kubernetes.io/zone]", "beside failover"),
            ("enable: true", "did you mean 'enabled'?"),
        ):
            found = errors(GATEWAY, ROUTE, SERVICE, rule(setting))
            self.assertEqual(len(found), 1, (setting, found))
            self.assertIn(part, found[0])

    def test_failover_alone(self) -> None:
        """Failover without outlier detection is accepted and has no effect, as in Istio; with a warning."""
        for setting in ("failover: [{from: a, to: b}]", "failoverPriority: [version]"):
            found = "\n".join(warnings(GATEWAY, ROUTE, SERVICE, rule(setting)))
            self.assertIn("has no effect without outlierDetection", found)
            self.assertIsInstance(cluster(setting, "a").builder, round_robin.RoundRobinBuilder)


MESH = """\
apiVersion: meshproxy.dev/v1alpha1
kind: Mesh
metadata: {name: mesh}
spec: {localityLbSetting: {%s}}
---
"""
EJECTING = istio("DestinationRule", "dr", "host: app.test\ntrafficPolicy: {outlierDetection: {maxEjectionPercent: 50}}")


class MeshTests(SynchronousTestCase):
    """The setting of the ``Mesh`` document."""

    def localities(self, setting: str, *texts: str) -> Localities | None:
        """What the cluster goes by, None for none."""
        identity = ProxyIdentity(locality="eu/west/a")
        found = compiled(GATEWAY, ROUTE, SERVICE, MESH % setting, *texts, identity=identity)
        builder = found.clusters["outbound|80||app.test"].builder
        return builder.localities if isinstance(builder, AvailableBuilder) else None

    def test_distribute(self) -> None:
        """It is what holds without a rule, and for a rule that does not speak of localities."""
        for texts in ((), (EJECTING,)):
            found = self.localities(DISTRIBUTE, *texts)
            assert found is not None
            self.assertEqual((found.weighted, found.shares), (True, (("eu/west/*", 80), ("us", 20))))

    def test_failover(self) -> None:
        """Failover counts where endpoints can be found unhealthy, and only there."""
        setting = "failover: [{from: eu, to: us}]"
        found = self.localities(setting, EJECTING)
        assert found is not None
        self.assertEqual((found.weighted, found.failover), (True, (("eu", "us"),)))
        self.assertIsNone(self.localities(setting))

    def test_switched_off(self) -> None:
        """Switched off for the mesh, outlier detection makes no priorities; a rule may switch it on again."""
        self.assertEqual(self.localities("enabled: false", EJECTING), Localities())
        on = EJECTING.replace("{outlier", "{loadBalancer: {localityLbSetting: {enabled: true}}, outlier")
        found = self.localities("enabled: false", on)
        assert found is not None
        self.assertTrue(found.by_distance)

    def test_rule_instead(self) -> None:
        """A rule's setting stands instead of the mesh's; nothing of both is put together."""
        own = EJECTING.replace("{outlier", "{loadBalancer: {localityLbSetting: {failoverPriority: [a]}}, outlier")
        found = self.localities("failover: [{from: eu, to: us}]", own)
        assert found is not None
        self.assertEqual((found.failover, found.labels), ((), ("a",)))
        self.assertIsNone(self.localities(DISTRIBUTE, rule("enabled: false")))

    def test_told_once(self) -> None:
        """What is wrong with the setting for this proxy is said once, for however many clusters."""
        other = SERVICE.replace("app", "other")
        routes = ROUTE.replace(
            "{host: app.test}", "{host: app.test}, weight: 1}, {destination: {host: other.test}, weight: 1"
        )
        texts = (GATEWAY, routes, SERVICE, other)
        found = [
            it
            for it in warnings(*texts, MESH % "distribute: [{from: asia, to: {asia: 100}}]")
            if "asia" in it or "no entry" in it
        ]
        self.assertEqual(len(found), 1, found)

    def test_no_effect(self) -> None:
        """A failover without outlier detection anywhere is a warning."""
        for setting in ("failover: [{from: eu, to: us}]", "failoverPriority: [a]"):
            told = [
                it for it in warnings(GATEWAY, ROUTE, SERVICE, MESH % setting) if "no destination has outlier" in it
            ]
            self.assertEqual(len(told), 1, setting)
            told = [it for it in warnings(GATEWAY, ROUTE, SERVICE, EJECTING, MESH % setting) if "has outlier" in it]
            self.assertEqual(told, [])


class FailoverTests(SynchronousTestCase):
    def priorities(self, setting: str, locality: str, outliers: str = "") -> list[list[str]]:
        """The addresses in each priority, for a rule that ejects endpoints."""
        balancing = f"loadBalancer: {{localityLbSetting: {{{setting}}}}}, " if setting else ""
        policy = f"trafficPolicy: {{{balancing}outlierDetection: {{{outliers}}}}}"
        texts = (GATEWAY, ROUTE, SERVICE, istio("DestinationRule", "dr", f"host: app.test\n{policy}"))
        found = compiled(*texts, identity=ProxyIdentity(locality=locality)).clusters["outbound|80||app.test"]
        assert isinstance(found.builder, AvailableBuilder)
        groups = arranged(found.endpoints, found.builder.localities)
        self.weighted = found.builder.localities.weighted
        return [[it.address[-1] for group in priority for it in group.endpoints] for priority in groups]

    def test_by_default(self) -> None:
        """Outlier detection alone makes priorities of what is near and what is far."""
        self.assertEqual(self.priorities("", "eu/west/a"), [["1"], ["2"], ["3"], ["4"]])
        self.assertFalse(self.weighted)
        self.assertEqual(self.priorities("", "us/east"), [["4"], ["3", "1", "2"]])
        self.assertEqual(self.priorities("", ""), [["3", "1", "2", "4"]])

    def test_switched_off(self) -> None:
        """``enabled: false`` makes one priority of all."""
        self.assertEqual(self.priorities("enabled: false", "eu/west/a"), [["3", "1", "2", "4"]])

    def test_failover(self) -> None:
        """Of other regions, the one that is named comes first, and localities have weights."""
        self.assertEqual(self.priorities("failover: [{from: asia, to: us}]", "asia"), [["4"], ["3", "1", "2"]])
        self.assertTrue(self.weighted)

    def test_labels(self) -> None:
        """Labels of the place are compared as others are."""
        setting = "failoverPriority: [topology.kubernetes.io/region, topology.kubernetes.io/zone]"
        self.assertEqual(self.priorities(setting, "eu/west"), [["1", "2"], ["3"], ["4"]])

    def test_distribute(self) -> None:
        """What is distributed has no priorities."""
        setting = "distribute: [{from: '*', to: {eu/*: 100}}]"
        self.assertEqual(self.priorities(setting, "eu/west/a"), [["3", "1", "2"]])

    def test_not_for_this_proxy(self) -> None:
        """A failover from other regions only is warned about."""
        policy = "trafficPolicy: {outlierDetection: {maxEjectionPercent: 50}, loadBalancer: {localityLbSetting: "
        text = istio("DestinationRule", "dr", f"host: app.test\n{policy}{{failover: [{{from: a, to: b}}]}}}}}}")
        found = [it for it in warnings(GATEWAY, ROUTE, SERVICE, text) if "no entry of failover" in it]
        self.assertEqual(len(found), 1)
        self.assertIn("whose locality is unknown", found[0])
