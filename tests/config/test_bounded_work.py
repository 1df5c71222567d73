"""Configurations that are made to be slow: the work grows with the file, not with its square.

Work is counted in calls of functions, so that the result is the same on each machine. What has a bound by itself (the
number of findings, of routes, of comparisons) is tested with a small bound.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import balancers, clusters, delegates, effort, parts, virtual_hosts
from meshproxy.config import findings as findings_module
from meshproxy.config.effects import virtual_services
from meshproxy.config.effects.covering import Budget, Coverage
from meshproxy.config.sources import Source, Sources
from meshproxy.errors import ConfigError, Severity
from meshproxy.model import ProxyIdentity
from meshproxy.routes import HeaderMatch, RouteMatch, TextMatch
from tests.config.loading import GATEWAY, ROUTE, SERVICE, bundled, errors, findings, istio, load, warnings
from tests.config.shapes import SHAPES, TO_APP, many, matches, services


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

    def test_gateways(self) -> None:
        """Every host of a virtual service with every gateway that it names: refused before they are compared."""
        self.patch(virtual_hosts, "MOST_ROUTES", 1_000)
        opened = many(60, lambda it: GATEWAY.replace("gw", f"gw{it}").replace("'*'", f"h{it}.test"), "")
        names = f"hosts: [{many(60, 'h{}.test'.format)}]\ngateways: [{many(60, 'gw{}'.format)}]"
        together = istio("VirtualService", "vs", f"{names}\nhttp: [{{{TO_APP}}}]")
        self.assertIn("this gateway would have more than 1,000 routes", errors(opened, SERVICE, together)[0])

    def test_gateways_that_are_not_opened(self) -> None:
        """The same for gateways of others: it takes effect as before, but not all is told."""
        closed = GATEWAY.replace("gw", "closed").replace("'*'", "b.test").replace("spec:", "spec:\n  selector: {a: b}")
        service = ROUTE.replace("gateways: [gw]", "gateways: [gw, closed]").replace("'*'", "a.test, c.test")
        texts = (GATEWAY, closed, SERVICE, service)
        self.assertEqual(len([it for it in warnings(*texts) if "[IST0132]" in it]), 1)
        self.patch(virtual_services, "_MOST_PAIRS", 2)
        self.assertEqual([it for it in warnings(*texts) if "[IST0132]" in it], [])

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

    def test_conditions(self) -> None:
        """Two match blocks of very many conditions each count as more than one comparison."""
        budget = Budget(1_000)
        coverage: Coverage[int] = Coverage(budget)
        for number in range(2):
            names = (*range(99), 99 + number)
            headers = tuple(HeaderMatch(b"%d" % name, TextMatch()) for name in names)
            self.assertIsNone(coverage.add(RouteMatch(headers=headers), number))
        self.assertLess(budget.left, 500)
