"""Tests for ``localityLbSetting``."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.locality import DistributedBuilder, matches, overlap
from meshproxy.model import Cluster, Endpoint, ProxyIdentity
from meshproxy.strategies import ring_hash, round_robin
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
        self.assertIsInstance(cluster(DISTRIBUTE, "eu/west/a").builder, DistributedBuilder)

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


class WeightTests(SynchronousTestCase):
    def weights(self, shares: tuple[tuple[str, int], ...] | None, *endpoints: tuple[str, int]) -> list[tuple[int, str]]:
        made = [Endpoint(f"10.0.0.{n}", 80, weight, (), place) for n, (place, weight) in enumerate(endpoints)]
        builder = DistributedBuilder(ring_hash.RingHashBuilder(), shares)
        return [(weight, found[0].locality) for weight, found in builder.weighed(made)]

    def test_rounding(self) -> None:
        """A share is divided among the localities it matches by their size, rounded up."""
        shares = (("eu/*", 50), ("us", 50))
        found = self.weights(shares, ("eu/a", 1), ("eu/b", 2), ("us", 9))
        self.assertEqual(found, [(17, "eu/a"), (34, "eu/b"), (50, "us")])

    def test_first_match(self) -> None:
        """A locality belongs to the first share that matches it."""
        found = self.weights((("eu/a", 90), ("eu/*", 10)), ("eu/a", 1), ("eu/b", 1), ("x", 1))
        self.assertEqual(found, [(90, "eu/a"), (10, "eu/b")])

    def test_own_size(self) -> None:
        """Without shares each locality weighs what its endpoints weigh."""
        self.assertEqual(self.weights(None, ("a", 1), ("a", 2), ("b", 4)), [(3, "a"), (4, "b")])


class PatternTests(SynchronousTestCase):
    def test_matching(self) -> None:
        """Each part is equal, ``*``, or missing in the pattern; the region may not be missing."""
        for pattern in ("*", "eu", "eu/*", "eu/west", "eu/west/*", "eu/west/a", "*/west", "*/*/a"):
            self.assertTrue(matches("eu/west/a", pattern), pattern)
        for pattern in ("us", "eu/east", "eu/west/b", ""):
            self.assertFalse(matches("eu/west/a", pattern), pattern)
        self.assertFalse(matches("", "eu"))
        self.assertTrue(matches("", "*"))

    def test_overlap(self) -> None:
        """What is covered by a pattern before it is refused; a wildcard for the rest may come last."""
        for patterns in (["eu", "us"], ["eu/west", "eu/*"], ["eu/west/a", "eu/west/b", "*"]):
            self.assertEqual(overlap(patterns), "", patterns)
        for patterns in (["eu", "eu/west"], ["*", "eu"], ["eu/*", "eu/west"], ["eu/west", "eu"], ["a", "a"]):
            self.assertIn("overlaps with", overlap(patterns), patterns)
        self.assertIn("only at its end", overlap(["*/west"]))
        self.assertIn("empty part", overlap(["eu//a"]))

    @given(st.text("ab*/", max_size=7))
    def test_itself(self, text: str) -> None:
        """Every locality matches itself as a pattern."""
        self.assertTrue(matches(text, text))


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
