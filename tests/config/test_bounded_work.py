"""Configurations that are made to be slow: the work grows with the file, not with its square.

Work is counted in calls of functions, so that the result is the same on each machine. What has a bound by itself (the
number of findings, of routes, of comparisons) is tested with a small bound.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import balancers, clusters, delegates, effort, parts, virtual_hosts
from meshproxy.config import findings as findings_module
from meshproxy.config.sources import Source, Sources
from meshproxy.errors import ConfigError, Severity
from meshproxy.model import ProxyIdentity
from tests.config.loading import GATEWAY, ROUTE, SERVICE, bundled, errors, findings, istio, load

TO_APP = "route: [{destination: {host: app.test}}]"


def many(count: int, unit: Callable[[int], str], separator: str = ", ") -> str:
    return separator.join(map(unit, range(count)))


def matches(count: int, unit: Callable[[int], str]) -> str:
    routes = f"http: [{{match: [{many(count, unit)}], {TO_APP}}}]"
    return GATEWAY + SERVICE + istio("VirtualService", "vs", f"hosts: [a.test]\ngateways: [gw]\n{routes}")


def in_namespaces(n: int) -> str:
    """As many virtual services for hosts ``h0.test`` and so on, each in a namespace of its own."""
    return many(
        n,
        lambda it: istio(
            "VirtualService", "vs", f"hosts: [h{it}.test]\ngateways: [default/gw]\nhttp: [{{{TO_APP}}}]", f"n{it}"
        ),
        "",
    )


def services(count: int, unit: Callable[[int], str]) -> str:
    return GATEWAY + SERVICE + many(count, lambda number: istio("VirtualService", f"v{number}", unit(number)), "")


def entries(count: int, more: str = "") -> str:
    spec = "hosts: [h%d.test]\nresolution: STATIC\nports: [{number: 80, name: h, protocol: HTTP}]\n" + more
    return many(count, lambda number: istio("ServiceEntry", f"s{number}", spec % number), "")


def service_of(count: int, labels: Callable[[int], str]) -> str:
    found = many(count, lambda it: f"{{address: 10.0.{it >> 8}.{it & 255}, labels: {labels(it)}}}")
    spec = "hosts: [all.test]\nresolution: STATIC\nports: [{number: 80, name: h, protocol: HTTP}]\n"
    return istio("ServiceEntry", "all", f"{spec}endpoints: [{found}]")


def matches_of_subsets(count: int) -> str:
    to = "route: [{destination: {host: all.test, subset: s%d}}]"
    routes = many(count, lambda it: f"{{match: [{{uri: {{exact: /{it}}}}}], {to % it}}}")
    return istio("VirtualService", "vs", f"hosts: [a.test]\ngateways: [gw]\nhttp: [{routes}]")


def sized_subset(number: int) -> str:
    hashing = f"{{useSourceIp: true, ringHash: {{minimumRingSize: {number + 1}}}}}"
    return f"{{name: s{number}, trafficPolicy: {{loadBalancer: {{consistentHash: {hashing}}}}}}}"


SHAPES: dict[str, Callable[[int], str]] = {
    "prefixes that cover each other": lambda n: matches(n, lambda it: f"{{uri: {{prefix: /{'a' * (it % 20)}}}}}"),
    "one path after another": lambda n: matches(n, lambda it: f"{{uri: {{exact: /{it}}}}}"),
    "hosts": lambda n: (
        GATEWAY
        + SERVICE
        + istio("VirtualService", "vs", f"hosts: [{many(n, 'h{}.test'.format)}]\ngateways: [gw]\nhttp: [{{{TO_APP}}}]")
    ),
    "wildcards that do not meet": lambda n: (
        GATEWAY.replace("'*'", many(n, "'*.a{}.test'".format))
        + SERVICE
        + istio(
            "VirtualService",
            "vs",
            f"hosts: [{many(n, lambda it: repr(f'*.b{it}.test'))}]\ngateways: [gw]\nhttp: [{{{TO_APP}}}]",
        )
    ),
    "virtual services": lambda n: services(n, lambda it: f"hosts: [h{it}.test]\ngateways: [gw]\nhttp: [{{{TO_APP}}}]"),
    "sidecars of one host": lambda n: services(
        n, lambda it: f"hosts: [h.test]\nexportTo: [n{it}]\nhttp: [{{{TO_APP}}}]"
    ),
    "unknown gateways": lambda n: (
        GATEWAY
        + SERVICE
        + istio("VirtualService", "vs", f"hosts: [a.test]\ngateways: [{many(n, 'g{}'.format)}]\nhttp: [{{{TO_APP}}}]")
    ),
    "workloads that nobody selects": lambda n: (
        GATEWAY
        + SERVICE
        + ROUTE
        + entries(n, "workloadSelector: {labels: {a: b}}\n")
        + many(n, lambda it: istio("WorkloadEntry", f"w{it}", f"address: 10.0.0.1\nlabels: {{a: c{it}}}"), "")
    ),
    "rules for wildcards": lambda n: (
        GATEWAY
        + ROUTE
        + entries(n)
        + many(n, lambda it: istio("DestinationRule", f"r{it}", f"host: '*.t{it}'\nsubsets: [{{name: a}}]"), "")
    ),
    "rules for one host that others see": lambda n: (
        GATEWAY
        + SERVICE
        + ROUTE
        + many(n, lambda it: istio("DestinationRule", f"r{it}", f"host: app.test\nexportTo: [istio-system, n{it}]"), "")
    ),
    "rules for one host and some proxies": lambda n: (
        GATEWAY
        + SERVICE
        + ROUTE
        + many(
            n,
            lambda it: istio(
                "DestinationRule",
                f"r{it}",
                f"host: app.test\nworkloadSelector: {{matchLabels: {{a: b{it}}}}}",
                "istio-system",
            ),
            "",
        )
    ),
    "subsets": lambda n: (
        GATEWAY
        + service_of(n, lambda it: f"{{a: b, c: d{it % 7}}}")
        + istio(
            "DestinationRule", "r", f"host: all.test\nsubsets: [{many(n, '{{name: s{}, labels: {{a: b}}}}'.format)}]"
        )
        + matches_of_subsets(n)
    ),
    "subsets that nobody uses": lambda n: (
        GATEWAY
        + service_of(n, lambda it: f"{{a: b, c: d{it}}}")
        + istio(
            "DestinationRule",
            "r",
            f"host: all.test\nsubsets: [{many(n, '{{name: s{}, labels: {{a: b, e: f}}}}'.format)}]",
        )
        + matches_of_subsets(1)
    ),
    "balancers of one service": lambda n: (
        GATEWAY
        + service_of(9, lambda it: "{}")
        + istio("DestinationRule", "r", f"host: all.test\nsubsets: [{many(n, sized_subset)}]")
        + matches_of_subsets(n)
    ),
    "workloads that have a label in common": lambda n: (
        GATEWAY
        + SERVICE
        + ROUTE
        + many(
            n,
            lambda it: (
                istio("WorkloadEntry", f"w{it}", f"address: 10.0.0.1\nlabels: {{a: b, c: d{it}}}")
                + entries(1, f"workloadSelector: {{labels: {{a: b, c: e{it}}}}}\n")
                .replace("s0", f"s{it}")
                .replace("h0.test", f"h{it}.test")
            ),
            "",
        )
    ),
    "namespaces of exportTo": lambda n: (
        GATEWAY
        + SERVICE
        + ROUTE.replace("gateways: [gw]", f"gateways: [gw]\n  exportTo: [istio-system, {many(n, 'n{}'.format)}]")
    ),
    "localities": lambda n: (
        GATEWAY
        + SERVICE
        + ROUTE
        + istio(
            "DestinationRule",
            "r",
            "host: app.test\ntrafficPolicy: {loadBalancer: {simple: RANDOM, localityLbSetting: {distribute: ["
            + many(n, "{{from: r{}/z, to: {{a: 100}}}}".format)
            + "]}}}",
        )
    ),
    "servers of one port": lambda n: (
        istio(
            "Gateway",
            "gw",
            f"servers: [{many(n, '{{hosts: [h{0}.test], port: {{number: 80, name: p{0}, protocol: HTTP}}}}'.format)}]",
        )
        + services(n, lambda it: f"hosts: [h{it}.test]\ngateways: [gw]\nhttp: [{{{TO_APP}}}]").replace(GATEWAY, "")
    ),
    "namespaces with hosts of their own": lambda n: (
        GATEWAY.replace("'*'", many(n, "n{0}/h{0}.test".format)) + SERVICE + in_namespaces(n)
    ),
    "namespaces that share hosts": lambda n: (
        GATEWAY.replace("'*'", many(n, "h{}.test".format)) + SERVICE + in_namespaces(n)
    ),
    "ports of entries": lambda n: (
        GATEWAY
        + SERVICE
        + ROUTE
        + many(
            n // 20,
            lambda it: istio(
                "ServiceEntry",
                f"s{it}",
                f"hosts: [{many(20, f'h{{}}.{it}.test'.format)}]\nresolution: STATIC\n"
                f"ports: [{many(20, '{{number: {0}, name: p{0}, protocol: HTTP}}'.format).replace(': 0,', ': 99,')}]",
            ),
            "",
        )
    ),
    "authorities": lambda n: (
        matches(n, lambda it: f"{{uri: {{exact: /{it}}}, authority: {{exact: a{it}.test}}}}").replace(
            "[a.test]", "['*.test']"
        )
        + services(n, lambda it: f"hosts: [a{it}.test]\ngateways: [gw]\nhttp: [{{{TO_APP}}}]").replace(GATEWAY, "")
    ),
    "blocks for a port": lambda n: matches(n, lambda it: f"{{port: 80, uri: {{prefix: /{it}}}}}"),
    "routes of a delegate": lambda n: (
        GATEWAY
        + SERVICE
        + istio("VirtualService", "vs", "hosts: [a.test]\ngateways: [gw]\nhttp: [{delegate: {name: inner}}]")
        + istio(
            "VirtualService",
            "inner",
            f"http: [{many(n, lambda it: f'{{match: [{{uri: {{prefix: /{it}/}}}}], {TO_APP}}}')}]",
        )
    ),
    "overruled routes": lambda n: (
        GATEWAY
        + SERVICE
        + many(
            2,
            lambda number: istio(
                "VirtualService",
                f"v{number}",
                f"hosts: [{many(n, 'h{}.test'.format)}]\ngateways: [gw]\n"
                f"http: [{{match: [{{uri: {{prefix: /a}}}}], {TO_APP}}}]",
            ),
            "",
        )
    ),
    "policies of used subsets": lambda n: (
        GATEWAY
        + service_of(9, lambda it: "{}")
        + istio(
            "DestinationRule",
            "r",
            "host: all.test\ntrafficPolicy: {connectionPool: {http: {maxRetries: 1}}}\n"
            f"subsets: [{many(n, sized_subset)}]",
        )
        + matches_of_subsets(n)
    ),
    "workloads with ports": lambda n: (
        GATEWAY
        + SERVICE
        + ROUTE
        + many(n, lambda it: istio("WorkloadEntry", f"w{it}", "address: a.b\nlabels: {a: b}\nports: {h: 1}"), "")
        + entries(n, "workloadSelector: {labels: {a: b}}\n")
    ),
    "merge keys": lambda n: "a: &a {b: c}\nd:\n" + "  <<: *a\n" * n,
    "tiny documents": lambda n: "---\n" * n,
    "unknown fields": lambda n: istio("Gateway", "gw", many(n, "servrs{}: 1".format, "\n")),
    "duplicate keys": lambda n: "a: 1\n" * n,
}


def work(text: str) -> int:
    """How many functions a load calls, in Python or C."""
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    # What other tests left behind would be counted, if it were collected meanwhile.
    gc.collect()
    gc.disable()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        load(Sources((Source("mesh.yaml", text),), "digest"), bundled(), ProxyIdentity())
    except ConfigError:
        pass
    finally:
        sys.setprofile(before)
        gc.enable()
    return calls


class GrowthTests(SynchronousTestCase):
    def test_twice_the_file(self) -> None:
        """A file of twice the size takes no more than a little over twice the work."""
        self.patch(effort, "ALLOWED", {**effort.ALLOWED, effort.SUGGESTIONS: 500})
        work(SHAPES["hosts"](1))  # plugins are imported the first time
        grown = {name: work(shape(200)) / work(shape(100)) for name, shape in SHAPES.items()}
        self.assertEqual({name: growth for name, growth in grown.items() if growth > 2.4}, {})


class BoundTests(SynchronousTestCase):
    def test_errors(self) -> None:
        """Beyond a number of errors nothing more is looked at, which is said."""
        self.patch(findings_module, "MOST", 50)
        found = findings(SHAPES["duplicate keys"](1_000))
        self.assertLess(len(found), 60)
        self.assertIn("there are more errors than the first", found[0].message)

    def test_warnings(self) -> None:
        """Beyond a number of warnings the load goes on, and they are counted."""
        self.patch(findings_module, "MOST", 50)
        found = findings(SHAPES["unknown gateways"](200))
        self.assertEqual(errors(SHAPES["unknown gateways"](200)), [])
        self.assertEqual({it.severity for it in found}, {Severity.WARNING})
        self.assertEqual(len(found), 51)
        self.assertEqual(found[0].message, "151 more warnings are not listed")

    def test_routes(self) -> None:
        """Every virtual service for every host: refused before it fills the memory."""
        self.patch(virtual_hosts, "MOST_ROUTES", 1_000)
        gateway = GATEWAY.replace("'*'", many(100, "h{}.test".format))
        text = services(100, lambda _: f"hosts: ['*.test']\ngateways: [gw]\nhttp: [{{{TO_APP}}}]")
        (found,) = errors(gateway + text.replace(GATEWAY, ""))
        self.assertIn("this gateway would have more than 1,000 routes", found)

    def test_long_texts(self) -> None:
        """A long text that aliases repeat counts as what it is, since findings may repeat it too."""
        hosts = f"x: &x {'a b' * 1_000}\nservers: [{{hosts: [{many(500, '*x'.format)}]}}]"
        self.patch(parts, "EXPANSION", 1_000)
        self.assertIn("the aliases up to here expand", errors(istio("Gateway", "gw", hosts))[0])
        name = istio("VirtualService", "n" * 300, f"hosts: [a.test]\ngateways: [gw]\nhttp: [{{{TO_APP}}}]")
        self.assertIn("metadata.name may have at most 253 characters", errors(GATEWAY, SERVICE, name)[0])
        long = matches(1, lambda _: f"{{name: {'n' * 1_001}}}")
        self.assertIn("name may have at most 1,000 characters", errors(long)[0])

    def test_endpoints(self) -> None:
        """Every subset with every endpoint: refused before the state of all of them fills the memory."""
        self.patch(clusters, "MOST_ENDPOINTS", 1_000)
        (found,) = errors(SHAPES["subsets"](100))
        self.assertIn("there would be more than 1,000 endpoints", found)

    def test_tables(self) -> None:
        """Rings and tables are not built by a load, and not accepted beyond what a machine can hold."""
        largest = "{consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 8388608}}}"
        rule = istio("DestinationRule", "r", f"host: app.test\ntrafficPolicy: {{loadBalancer: {largest}}}")
        self.assertLess(work(GATEWAY + SERVICE + ROUTE + rule), 20_000)
        self.assertEqual(errors(GATEWAY, SERVICE, ROUTE, rule), [])
        self.patch(balancers, "MOST_TABLE_BYTES", 50 * 2**20)
        (found,) = errors(GATEWAY, SERVICE, ROUTE, rule)
        self.assertIn("tables of ringHash and the like come to more than 50 MiB, with 96 MiB for this one", found)
        named = SERVICE.replace("STATIC", "DNS").replace("10.0.0.1", "app.example").replace("10.0.0.2", "b.example")
        self.assertEqual(errors(GATEWAY, named, ROUTE, rule), [found])

    def test_delegates(self) -> None:
        """Every block of a root with every block of its delegate."""
        self.patch(delegates, "MOST_PAIRS", 1_000)
        roots = many(40, lambda it: f"{{match: [{{uri: {{prefix: /{it}}}}}], delegate: {{name: inner}}}}")
        inner = many(40, lambda it: f"{{match: [{{uri: {{prefix: /{it}/a}}}}], {TO_APP}}}")
        root = istio("VirtualService", "root", f"hosts: [a.test]\ngateways: [gw]\nhttp: [{roots}]")
        (found,) = errors(GATEWAY + SERVICE + root + istio("VirtualService", "inner", f"http: [{inner}]"))
        self.assertIn("delegates come to more than 1,000 matches", found)

    def test_regular_expressions(self) -> None:
        """Short texts that make large programs; ordinary ones are not counted."""
        self.patch(effort, "ALLOWED", {**effort.ALLOWED, effort.REGEXES: 20_000})
        found = errors(matches(100, lambda it: f"{{uri: {{regex: '/{it}(?:[a-z]{{1,9}}){{50}}'}}}}"))
        self.assertGreater(len(found), 50)
        self.assertIn("comes behind so many large regular expressions", found[0])
        self.assertEqual(errors(matches(500, lambda it: f"{{uri: {{regex: '/{it}/[a-z]+(-[0-9]{{3}})?'}}}}")), [])
