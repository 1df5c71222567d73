"""Destination rules, parts of them, and sessions that get lost."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading import GATEWAY, ROUTE, SERVICE, istio, warnings
from tests.config.test_backend_policy import policy

HASH = "loadBalancer: {consistentHash: {httpHeaderName: x-user}}"
TWO_PORTS = SERVICE.replace("protocol: HTTP}", "protocol: HTTP}, {number: 81, name: other, protocol: HTTP}")
SUBSETS = "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}%s}]"


def rule(spec: str, name: str = "dr", host: str = "app.test", namespace: str = "default") -> str:
    return istio("DestinationRule", name, f"host: '{host}'\n{spec}", namespace)


def to(*destinations: str) -> str:
    entries = ", ".join(f"{{destination: {{host: app.test{more}}}, weight: 1}}" for more in destinations)
    return ROUTE.replace("{destination: {host: app.test}}", entries)


class RuleTests(SynchronousTestCase):
    def found(self, *texts: str, route: str = ROUTE, service: str = SERVICE) -> str:
        """The one warning."""
        (found,) = warnings(GATEWAY, service, route, *texts)
        return found

    def test_unknown_host(self) -> None:
        """A rule for a service that is not there."""
        found = self.found(rule(f"trafficPolicy: {{{HASH}}}", host="app.tets"))
        self.assertIn(
            "there is no service app.tets, so this rule has no effect [IST0174] (did you mean 'app.test'?)", found
        )

    def test_no_route(self) -> None:
        """A rule for a service that no route leads to."""
        other = SERVICE.replace("app", "other")
        found = self.found(other, rule(f"trafficPolicy: {{{HASH}}}", host="other.test"))
        self.assertIn("DestinationRule default/dr has no effect here: no route leads to other.test", found)
        self.assertEqual(
            warnings(GATEWAY, SERVICE, ROUTE, other, rule(f"trafficPolicy: {{{HASH}}}", host="*.test")), []
        )

    def test_loses(self) -> None:
        """A rule that another one keeps from having an effect, with its place."""
        found = self.found(
            rule(f"trafficPolicy: {{{HASH}}}"), rule("trafficPolicy: {loadBalancer: {simple: RANDOM}}", "w", "*.test")
        )
        self.assertIn("DestinationRule default/w has no effect (DestinationRule default/dr applies to app.test", found)
        hidden = self.found(rule(f"exportTo: [apps]\ntrafficPolicy: {{{HASH}}}"))
        self.assertIn("its exportTo hides it from namespace istio-system", hidden)
        elsewhere = self.found(rule(f"trafficPolicy: {{{HASH}}}", namespace="apps"))
        self.assertIn("neither in the namespace of the service", elsewhere)

    def test_behind_one_that_does_not_apply(self) -> None:
        """A rule for a more specific host, or of the proxy's namespace, is looked at first even where it is hidden."""
        wide = rule(f"trafficPolicy: {{{HASH}}}", "w", "*.test")
        hidden = rule(f"exportTo: [apps]\ntrafficPolicy: {{{HASH}}}")
        found = warnings(GATEWAY, SERVICE, ROUTE, hidden, wide)
        self.assertEqual(len(found), 2)
        self.assertIn(
            "default/w has no effect (DestinationRule default/dr is looked at before it for app.test", found[1]
        )
        others = rule(
            f"workloadSelector: {{matchLabels: {{a: b}}}}\ntrafficPolicy: {{{HASH}}}", namespace="istio-system"
        )
        found = warnings(GATEWAY, SERVICE, ROUTE, others, wide)
        self.assertIn("(DestinationRule istio-system/dr is looked at before it for app.test", found[1])

    def test_only_names(self) -> None:
        """A rule of nothing but subsets that no route leads to, unless it takes the place of another one."""
        found = self.found(rule(SUBSETS % ""))
        self.assertIn("DestinationRule default/dr has no effect here: no route leads to a subset of app.test", found)
        self.assertIn("has no subset 'v3'", self.found(rule(SUBSETS % ""), route=to(", subset: v3")))
        wide = rule(f"trafficPolicy: {{{HASH}}}", "w", "*.test")
        self.assertNotIn(
            "no route leads to a subset", " ".join(warnings(GATEWAY, SERVICE, ROUTE, rule(SUBSETS % ""), wide))
        )

    def test_service_that_gets_nothing(self) -> None:
        """A rule for a service whose host routes lead to, but to another service with the host."""
        other = SERVICE.replace("name: app}", "name: other, namespace: apps}")
        found = warnings(GATEWAY, SERVICE, ROUTE, other, rule(f"trafficPolicy: {{{HASH}}}", namespace="apps"))
        self.assertIn("DestinationRule apps/dr has no effect here: no route leads to app.test", " ".join(found))

    def test_unused_subset_policy(self) -> None:
        """The policy of a subset that no destination names; a subset without one is only a name."""
        found = self.found(rule(SUBSETS % f", trafficPolicy: {{{HASH}}}"), route=to(", subset: v1"))
        self.assertIn("the trafficPolicy of subset 'v2' has no effect here", found)
        self.assertEqual(warnings(GATEWAY, SERVICE, to(", subset: v1"), rule(SUBSETS % "")), [])

    def test_replaced_blocks(self) -> None:
        """Blocks that narrower ones replace wherever a route leads; those that count somewhere are no matter."""
        pool, simple = "connectionPool: {http: {maxRetries: 5}}", "loadBalancer: {simple: RANDOM}"
        at_port = f"portLevelSettings: [{{port: {{number: 80}}, {simple}}}]"
        found = self.found(rule(f"trafficPolicy: {{{pool}, {simple}, {at_port}}}"))
        self.assertIn("mesh.yaml:36:18: warning: loadBalancer and connectionPool have no effect here: at each", found)
        self.assertIn("(settings for a port replace all that the levels above say)", found)
        of_subset = SUBSETS % f", trafficPolicy: {{{simple}}}"
        whole = rule(f"trafficPolicy: {{{pool}, {simple}}}\n{of_subset}")
        found = self.found(whole, route=to(", subset: v2"))
        self.assertIn("mesh.yaml:36:18: warning: loadBalancer has no effect here", found)
        for route in (to(", subset: v1"), to(", subset: v2", ""), to("")):
            self.assertNotIn("loadBalancer has no effect", " ".join(warnings(GATEWAY, SERVICE, route, whole)))
        ports = rule(f"trafficPolicy: {{{pool}, {at_port}}}")
        both = to(", port: {number: 80}", ", port: {number: 81}")
        self.assertEqual(warnings(GATEWAY, TWO_PORTS, both, ports), [])
        narrowest = rule(f"trafficPolicy: {{{at_port}}}\n{of_subset}")
        found = self.found(narrowest, route=to(", subset: v2"))
        self.assertIn("mesh.yaml:36:39: warning: loadBalancer has no effect here", found)

    def test_port_of_a_subset(self) -> None:
        """Settings for a port of a subset, where routes lead to the one and the other but not to both."""
        at_port = "trafficPolicy: {portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: RANDOM}}]}"
        text = rule(SUBSETS % f", {at_port}")
        route = to(", subset: v2, port: {number: 80}", ", subset: v1, port: {number: 81}")
        found = self.found(text, route=route, service=TWO_PORTS)
        self.assertIn("these portLevelSettings have no effect here: no route leads to port 81 of subset v2", found)
        self.assertEqual(warnings(GATEWAY, TWO_PORTS, to(", subset: v2, port: {number: 81}"), text), [])

    def test_empty_subset(self) -> None:
        """A subset that selects nothing, before a route leads to it."""
        found = self.found(rule(SUBSETS.replace("version: v2", "version: v3") % ""), route=to(", subset: v1"))
        self.assertIn("no endpoint has the labels version=v3 of this subset [IST0173]", found)

    def test_ports(self) -> None:
        """Settings for a port that the service lacks, or that no route leads to."""
        spec = f"trafficPolicy: {{portLevelSettings: [{{port: {{number: 81}}, {HASH}}}]}}"
        self.assertIn("app.test has no port 81 (routes lead to 80)", self.found(rule(spec)))
        found = self.found(rule(spec), route=to(", port: {number: 80}"), service=TWO_PORTS)
        self.assertIn("no route leads to port 81", found)


class SessionTests(SynchronousTestCase):
    def found(self, spec: str, route: str, service: str = SERVICE) -> str:
        (found,) = warnings(GATEWAY, service, route, rule(spec))
        return found

    def test_port_that_is_not_named(self) -> None:
        """A hash key for a port is not found by a destination that does not name the port."""
        spec = f"trafficPolicy: {{portLevelSettings: [{{port: {{number: 80}}, {HASH}}}]}}"
        found = self.found(spec, ROUTE)
        self.assertIn("requests go to random endpoints: the consistentHash for port 80", found)
        self.assertIn("(write port: {number: 80})", found)
        self.assertEqual(warnings(GATEWAY, SERVICE, to(", port: {number: 80}"), rule(spec)), [])

    def test_replaced_policy(self) -> None:
        """Settings of a port that drop the consistentHash of the whole rule."""
        ports = "portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {connectTimeout: 1s}}}]"
        found = self.found(f"trafficPolicy: {{{HASH}, {ports}}}", ROUTE)
        self.assertIn("these settings for port 80 of app.test replace the whole trafficPolicy", found)
        chosen = ports.replace("connectionPool: {tcp: {connectTimeout: 1s}}", "loadBalancer: {simple: RANDOM}")
        self.assertEqual(warnings(GATEWAY, SERVICE, ROUTE, rule(f"trafficPolicy: {{{HASH}, {chosen}}}")), [])

    def test_several_destinations(self) -> None:
        """Among weighted destinations one is drawn for each request, hash or no hash."""
        spec = f"trafficPolicy: {{{HASH}}}\n" + SUBSETS % ""
        found = self.found(spec, to(", subset: v1", ", subset: v2"))
        self.assertIn("sessions do not stay at one of these destinations", found)
        self.assertEqual(warnings(GATEWAY, SERVICE, to(", subset: v1"), rule(spec)), [])


class DestinationTests(SynchronousTestCase):
    def test_port_of_the_gateway(self) -> None:
        """A destination without port of a service with several."""
        (found,) = warnings(GATEWAY, TWO_PORTS, ROUTE)
        self.assertIn(
            "app.test has the ports 80, 81: the one with the number of the gateway's is used [IST0112]", found
        )
        self.assertEqual(warnings(GATEWAY, TWO_PORTS, to(", port: {number: 81}")), [])
        (found,) = warnings(GATEWAY.replace("number: 80", "number: 90"), TWO_PORTS, ROUTE)
        self.assertIn("app.test has no port 90", found)

    def test_destinations_that_get_nothing(self) -> None:
        """With weight 0 too, a destination has to exist; without any, it is told that it gets nothing."""
        route = ROUTE.replace(
            "{destination: {host: app.test}}",
            "{destination: {host: app.test}, weight: 1}, {destination: {host: b.test}%s}",
        )
        found = warnings(GATEWAY, SERVICE, route % ", weight: 0")
        self.assertEqual(len(found), 1)
        self.assertIn("there is no service b.test", found[0])
        found = warnings(GATEWAY, SERVICE, route % "")
        self.assertEqual(len(found), 2)
        self.assertIn("spec.http[0].route[1] gets no requests: it has no weight", found[0])


class TableTests(SynchronousTestCase):
    def found(self, policy: str, endpoints: int = 200, more: str = "") -> list[str]:
        """The warnings about a rule for a service with so many endpoints."""
        addresses = "".join(f"  - {{address: 10.0.{n >> 8}.{n & 255}}}\n" for n in range(endpoints))
        service = SERVICE[: SERVICE.index("endpoints:")] + "endpoints:\n" + addresses + "---\n"
        return warnings(GATEWAY, ROUTE, service, rule(f"trafficPolicy: {{{policy}}}"), more)

    def test_small_ring(self) -> None:
        """A ring with so few entries that some endpoint has to expect more than twice its share, told at its place."""
        (found,) = self.found(HASH)
        self.assertIn("this table of ringHash is too small for 200 endpoints: with 6 entries for each", found)
        self.assertIn("minimumRingSize: 8192 makes it 1.5 times", found)
        self.assertEqual(self.found(HASH.replace("x-user", "x-user, ringHash: {minimumRingSize: 8192}")), [])
        self.assertEqual(self.found(HASH, 50), [])

    def test_small_table(self) -> None:
        """A table in which some endpoints have no slot."""
        (found,) = self.found(HASH.replace("x-user", "x-user, maglev: {tableSize: 13}"))
        self.assertIn("this table of maglev is too small for 200 endpoints with these weights: some get none", found)

    def test_once(self) -> None:
        """Several clusters of one rule are one warning; where load is bounded, tables may be uneven."""
        subsets = "subsets: [{name: a}, {name: b}]"
        texts = rule(f"trafficPolicy: {{{HASH}}}\n{subsets}")
        route = to(", subset: a", ", subset: b")
        addresses = "".join(f"  - {{address: 10.0.0.{n}}}\n" for n in range(200))
        service = SERVICE[: SERVICE.index("endpoints:")] + "endpoints:\n" + addresses + "---\n"
        found = [it for it in warnings(GATEWAY, service, route, texts) if "this table" in it]
        self.assertEqual(len(found), 1)
        bounded = policy("host: app.test\nconsistentHash: {hashBalanceFactor: 120}")
        self.assertEqual(self.found(HASH, 200, bounded), [])
