"""Configurations that are made to be slow, each of a size that is asked for."""

from __future__ import annotations

from collections.abc import Callable

from tests.config.loading import GATEWAY, ROUTE, SERVICE, istio

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
    "routes of many hosts": lambda n: (
        GATEWAY
        + SERVICE
        + istio(
            "VirtualService",
            "vs",
            f"hosts: [{many(n, 'h{}.test'.format)}]\ngateways: [gw]\n"
            f"http: [{many(n, lambda it: f'{{match: [{{uri: {{exact: /{it}}}}}], {TO_APP}}}')}]",
        )
    ),
    "gateways that are not named": lambda n: (
        SERVICE
        + many(n, lambda it: GATEWAY.replace("name: gw", f"name: gw{it}, namespace: other"), "")
        + istio("VirtualService", "vs", f"hosts: [a.test]\ngateways: [{many(n, 'gw{}'.format)}]\nhttp: [{{{TO_APP}}}]")
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
