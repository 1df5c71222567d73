"""Tests for the kind ``ServiceEntry``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Cluster, Endpoint
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, istio, warnings

CLUSTER = "outbound|80||app.test"
PORTS = "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 81, name: other, protocol: HTTP}]"


def entry(spec: str, name: str = "app") -> str:
    return istio("ServiceEntry", name, spec)


def static(endpoints: str, name: str = "app") -> str:
    return entry(f"hosts: [app.test]\nresolution: STATIC\n{PORTS}\nendpoints: [{endpoints}]", name)


def endpoints(*texts: str, port: int = 80) -> list[Endpoint]:
    route = ROUTE.replace("host: app.test", f"host: app.test, port: {{number: {port}}}")
    return list(compiled(GATEWAY, route, *texts).clusters[f"outbound|{port}||app.test"].endpoints)


class EndpointTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """Labels are sorted, a missing weight or one of 0 is 1, addresses are canonical."""
        text = static(
            "{address: '2001:DB8::1', labels: {b: x, a: z}, weight: 3, locality: r/z/s}, {address: 10.0.0.1, weight: 0}"
        )
        self.assertEqual(
            endpoints(text),
            [
                Endpoint("10.0.0.1", 8080),
                Endpoint("2001:db8::1", 8080, 3, (("a", "z"), ("b", "x")), "r/z/s"),
            ],
        )

    def test_port(self) -> None:
        """An endpoint's own number for the port's name wins over the target port, that over the port's number."""
        text = static("{address: 10.0.0.1, ports: {http: 90}}, {address: 10.0.0.2}")
        self.assertEqual([it.port for it in endpoints(text)], [90, 8080])
        self.assertEqual([it.port for it in endpoints(text, port=81)], [81, 81])

    def test_order(self) -> None:
        """Endpoints are grouped by locality, sorted as text, and keep their order within one."""
        given = [("10.0.0.3", "b"), ("10.0.0.2", "a"), ("10.0.0.1", "b"), ("10.0.0.9", "")]
        text = static(", ".join(f"{{address: {address}, locality: '{locality}'}}" for address, locality in given))
        self.assertEqual([it.address for it in endpoints(text)], ["10.0.0.9", "10.0.0.2", "10.0.0.3", "10.0.0.1"])

    def test_duplicates(self) -> None:
        """An endpoint that is listed twice counts once, which is said."""
        text = static("{address: 10.0.0.1, weight: 2}, {address: 10.0.0.1}")
        self.assertEqual(endpoints(text), [Endpoint("10.0.0.1", 8080, 2)])
        self.assertIn("10.0.0.1:8080 of app.test is there again", "\n".join(warnings(GATEWAY, ROUTE, text)))

    def test_several_entries(self) -> None:
        """Entries of one host and namespace are one service: the ports of the older, the endpoints of both."""
        second = entry(
            "hosts: [app.test]\nresolution: STATIC\nports: [{number: 99, name: http, protocol: HTTP}]\n"
            "endpoints: [{address: 10.0.0.2}]",
            "bpp",
        )
        self.assertEqual(
            endpoints(second, static("{address: 10.0.0.1}")), [Endpoint("10.0.0.1", 8080), Endpoint("10.0.0.2", 99)]
        )

    def test_without_resolution(self) -> None:
        """Without a resolution a gateway has no endpoints: the cluster is there, empty, and a warning says why."""
        text = entry(f"hosts: [app.test]\n{PORTS}")
        self.assertEqual(compiled(GATEWAY, ROUTE, text).clusters[CLUSTER].endpoints, ())
        (found,) = [it for it in warnings(GATEWAY, ROUTE, text) if "has no endpoint" in it]
        self.assertIn("resolution: STATIC", found)

    def test_unix_socket(self) -> None:
        """An endpoint may be a UNIX socket, by path or by name; it has no port and is known by its address."""
        ports = "ports: [{number: 80, name: http, protocol: HTTP}]"
        given = "endpoints: [{address: 'unix:///run/a b.sock'}, {address: 'unix://@app', weight: 2}]"
        found = endpoints(entry(f"hosts: [app.test]\nresolution: STATIC\n{ports}\n{given}"))
        self.assertEqual(found, [Endpoint("/run/a b.sock", 0), Endpoint("@app", 0, 2)])
        self.assertEqual([it.key for it in found], ["/run/a b.sock", "@app"])


class NameTests(SynchronousTestCase):
    """Endpoints that are found by name: ``targets`` of their cluster."""

    def cluster(self, spec: str, *more: str, subset: str = "") -> Cluster | None:
        route = ROUTE.replace("host: app.test", f"host: app.test, port: {{number: 80}}, subset: '{subset}'")
        text = entry(f"hosts: [app.test]\n{PORTS}\n{spec}")
        return compiled(GATEWAY, route if subset else ROUTE, text, *more).clusters.get(f"outbound|80|{subset}|app.test")

    def test_named_endpoints(self) -> None:
        """Names and addresses of a DNS service are targets, in order of locality; none is an endpoint before that."""
        cluster = self.cluster(
            "resolution: DNS\nendpoints: [{address: b.test, locality: z}, {address: 10.0.0.1},"
            " {address: a.test, ports: {http: 1}, weight: 3}]"
        )
        assert cluster is not None
        expected = (Endpoint("10.0.0.1", 8080), Endpoint("a.test", 1, 3), Endpoint("b.test", 8080, locality="z"))
        self.assertEqual((cluster.targets, cluster.endpoints, cluster.logical), (expected, (), False))
        self.assertIsNone(cluster.balancer.pick(0, 0))

    def test_host_itself(self) -> None:
        """Without endpoints the host is looked up, at the target port; of a selection that is empty it is not."""
        cluster = self.cluster("resolution: DNS")
        assert cluster is not None
        self.assertEqual(cluster.targets, (Endpoint("app.test", 8080),))
        self.assertIsNone(self.cluster("resolution: DNS\nworkloadSelector: {labels: {a: b}}"))

    def test_only_addresses(self) -> None:
        """There is nothing to look up where all endpoints are addresses."""
        cluster = self.cluster("resolution: DNS\nendpoints: [{address: 10.0.0.1}]")
        assert cluster is not None
        self.assertEqual((cluster.targets, cluster.endpoints), ((), (Endpoint("10.0.0.1", 8080),)))

    def test_round_robin(self) -> None:
        """DNS_ROUND_ROBIN has one endpoint, also where several entries have one each: the first."""
        second = entry(f"hosts: [app.test]\nresolution: DNS\n{PORTS}\nendpoints: [{{address: b.test}}]", "bpp")
        cluster = self.cluster("resolution: DNS_ROUND_ROBIN\nendpoints: [{address: a.test}]", second)
        assert cluster is not None
        self.assertEqual((cluster.targets, cluster.logical), ((Endpoint("a.test", 8080),), True))

    def test_resolution_of_the_oldest(self) -> None:
        """Of several entries for a host the oldest one's resolution counts: names of the others are left out."""
        second = entry(
            f"hosts: [app.test]\nresolution: DNS\n{PORTS}\nendpoints: [{{address: b.test}}, {{address: 10.0.0.2}}]",
            "bpp",
        )
        cluster = self.cluster("resolution: STATIC\nendpoints: [{address: 10.0.0.1}]", second)
        assert cluster is not None
        self.assertEqual([it.address for it in cluster.endpoints], ["10.0.0.1", "10.0.0.2"])
        self.assertEqual(cluster.targets, ())

    def test_subset_without_a_name(self) -> None:
        """A labelled subset of a DNS service that has no name in it does not exist; one with a name does."""
        rule = istio("DestinationRule", "r", "host: app.test\nsubsets: [{name: v1, labels: {version: v1}}]")
        self.assertIsNone(self.cluster("resolution: DNS", rule, subset="v1"))
        labelled = "resolution: DNS\nendpoints: [{address: a.test, labels: {version: v1}}, {address: b.test}]"
        cluster = self.cluster(labelled, rule, subset="v1")
        assert cluster is not None
        self.assertEqual([it.address for it in cluster.targets], ["a.test"])

    def test_reload(self) -> None:
        """A cluster of the same names is the same object; another name makes another one."""
        text = entry(f"hosts: [app.test]\nresolution: DNS\n{PORTS}\nendpoints: [{{address: a.test}}]")
        before = compiled(GATEWAY, ROUTE, text)
        same = compiled(GATEWAY, ROUTE, text, previous=before)
        self.assertIs(same.clusters[CLUSTER], before.clusters[CLUSTER])
        other = compiled(GATEWAY, ROUTE, text.replace("a.test", "b.test"), previous=before)
        self.assertIsNot(other.clusters[CLUSTER], before.clusters[CLUSTER])
        logical = compiled(GATEWAY, ROUTE, text.replace("DNS", "DNS_ROUND_ROBIN"), previous=before)
        self.assertIsNot(logical.clusters[CLUSTER], before.clusters[CLUSTER])


class VisibilityTests(SynchronousTestCase):
    def test_hidden(self) -> None:
        """An entry that is not exported to the proxy's namespace, or to none (``~``), does not exist for it."""
        for export in (".", "~", "other"):
            text = entry(f"hosts: [app.test]\n{PORTS}\nexportTo: ['{export}']")
            self.assertEqual(compiled(GATEWAY, ROUTE, text).clusters, {})
            self.assertIn("exportTo of app.test hides it", warnings(GATEWAY, ROUTE, text)[0])
        text = entry(f"hosts: [app.test]\n{PORTS}\nexportTo: [istio-system]")
        self.assertEqual(list(compiled(GATEWAY, ROUTE, text).clusters), [CLUSTER])


class RefusalTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error; what is not implemented says so."""
        static_entry = "hosts: [a.b]\nresolution: STATIC\nports: [{number: 80, name: http, protocol: HTTP}]\n"
        for spec, part in (
            ("ports: []", "spec.hosts needs at least one host"),
            ("hosts: ['*']", "may not be '*'"),
            ("hosts: [a.b]\naddresses: [x]", "must be an IP address or a range"),
            ("hosts: [a.b]\nlocation: MESH", "must not be 'MESH'"),
            ("hosts: [a.b]\nresolution: STATIK", "did you mean 'STATIC'?"),
            ("hosts: ['*.b']\nresolution: DYNAMIC_DNS", "spec.resolution DYNAMIC_DNS is not served yet"),
            ("hosts: [a.b]\nresolution: DNS\naddresses: [10.0.0.0/8]", "a range only with resolution NONE or STATIC"),
            ("hosts: ['*.b']\nresolution: DNS", "'*.b' cannot be looked up"),
            ("hosts: [a.b]\nresolution: DNS\nendpoints: [{address: 'unix:///a'}]", "may not be a unix socket"),
            ("hosts: [a.b]\nresolution: DNS\nendpoints: [{address: a_b}]", "must be an IP address, a host name or"),
            (
                "hosts: [a.b]\nresolution: DNS_ROUND_ROBIN\nendpoints: [{address: a.b}, {address: c.d}]",
                "DNS_ROUND_ROBIN has at most one endpoint",
            ),
            ("hosts: [a.b]\nexportTo: ['~', a]", "has to stand alone"),
            ("hosts: [a.b]\nports: [{number: 1, name: a}, {number: 2, name: a}]", "name 'a' is there twice"),
            ("hosts: [a.b]\nports: [{number: 1, name: a}, {number: 1, name: b}]", "number 1 is there twice"),
            ("hosts: [a.b]\nports: [{number: 1, name: a_b}]", "must be a DNS label"),
            ("hosts: [a.b]\nports: [{number: 1, name: a, protocol: HTTB}]", "must be a protocol"),
            ("hosts: [a.b]\nports: [{name: a}]", "ports[0].number is required"),
            ("hosts: [a.b]\nendpoints: [{address: 10.0.0.1}]", "resolution NONE has no endpoints"),
            (static_entry + "endpoints: [{address: a.b}]", "must be an IP address with resolution STATIC"),
            (static_entry + "endpoints: [{labels: {}}]", "endpoints[0].address is required"),
            (static_entry + "endpoints: [{address: 'unix://a'}]", "the absolute path of a socket or @name"),
            (static_entry + "endpoints: [{address: 'unix:///a/'}]", "the absolute path of a socket or @name"),
            (static_entry + f"endpoints: [{{address: 'unix:///{'a' * 107}'}}]", "has at most 107 bytes"),
            (static_entry + "endpoints: [{address: 'unix:///a', ports: {http: 1}}]", "a unix socket has no ports"),
            (
                static_entry.replace("}]", "}, {number: 81, name: b, protocol: HTTP}]")
                + "endpoints: [{address: 'unix:///a'}]",
                "needs a service with exactly one port",
            ),
            (static_entry + "endpoints: []\nworkloadSelector: {labels: {a: b}}", "only one of endpoints and"),
            (static_entry + "endpoints: [{address: 10.0.0.1, ports: {x: 1}}]", "which is no name in spec.ports"),
            (static_entry + "endpoints: [{address: 10.0.0.1, weight: -1}]", "weight must be between"),
            (static_entry.replace("[a.b]", "[a.b, c.d]").replace("HTTP", "TCP"), "several hosts cannot share"),
        ):
            found = errors(GATEWAY, entry(spec))
            self.assertEqual(len(found), 1, (spec, found))
            self.assertIn(part, found[0])

    def test_names_to_look_up(self) -> None:
        """With DNS a host is a name even where a selector says who is asked, and an endpoint has an address."""
        dns = f"hosts: ['*.a.b']\nresolution: DNS\n{PORTS}\n"
        (found,) = errors(GATEWAY, entry(dns + "workloadSelector: {labels: {a: b}}"))
        self.assertIn("'*.a.b' cannot be looked up", found)
        (found,) = errors(GATEWAY, entry(dns + "endpoints: [{network: n}]"))
        self.assertIn("spec.endpoints[0].address is required", found)
        (found,) = errors(GATEWAY, entry(dns + "endpoints: [{network: n, address: ''}]"))
        self.assertIn("spec.endpoints[0].address must be", found)

    def test_dynamic(self) -> None:
        """Beside being not served yet, DYNAMIC_DNS needs wildcards and HTTP or TLS, and has no addresses."""
        text = entry(
            "hosts: [a.b]\nresolution: DYNAMIC_DNS\naddresses: [10.0.0.1]\n"
            "ports: [{number: 1, name: a, protocol: TCP}]\nendpoints: []"
        )
        found = "\n".join(errors(GATEWAY, text))
        for part in ("must be a wildcard", "spec.addresses may not be there", "is one of HTTP", "has no endpoints"):
            self.assertIn(part, found)

    def test_warned_about(self) -> None:
        """What Istio accepts with a warning."""
        ports = "ports: [{number: 80, name: a, protocol: %s}]\n"
        for spec, part in (
            ("hosts: ['*a.b']", "'*' stands for a part of a label [IST0133]"),
            ("hosts: [a.b]\n" + ports % "TCP", "needs spec.addresses in a mesh [IST0134]"),
            ("hosts: [a.b]\nresolution: STATIC\nworkloadSelector: {}", "without labels selects everything"),
            ("hosts: [a.b]\nworkloadSelector: {labels: {a: b}}", "has no effect with resolution NONE"),
            (
                "hosts: [a.b, c.d]\nresolution: DNS\naddresses: [10.0.0.1]\n" + ports % "TLS",
                "several hosts with common addresses",
            ),
            ("hosts: [a.b]\nresolution: STATIC\n" + ports % "HTTP" + "endpoints: [{network: n}]", "has no address"),
        ):
            self.assertEqual(errors(GATEWAY, entry(spec)), [], spec)
            self.assertIn(part, "\n".join(warnings(GATEWAY, SERVICE, ROUTE, entry(spec, "other"))), spec)
        quiet = "hosts: [a.b]\nresolution: STATIC\n" + ports % "TCP"
        self.assertNotIn("IST0134", "\n".join(warnings(GATEWAY, SERVICE, ROUTE, entry(quiet, "other"))))
