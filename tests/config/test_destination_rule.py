"""Tests for the kind ``DestinationRule`` and for strategies named in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from meshproxy.config import Loader
from meshproxy.errors import ConfigError
from meshproxy.interfaces import (
    API_VERSION,
    HashKey,
    IBoundsLoad,
    IConfig,
    IForeseesShares,
    IHashKey,
    IHashKeyFactory,
    IHasTable,
    ILoadBalancer,
    ILoadBalancerBuilder,
    ILoadBalancerFactory,
    IRequest,
    Shortage,
)
from meshproxy.model import Endpoint, ProxyIdentity
from meshproxy.registry import Registry
from meshproxy.reload import load_to_serve
from tests.config.loading import (
    GATEWAY,
    ROUTE,
    SERVICE,
    bundled,
    compiled,
    errors,
    istio,
    routes,
    sources,
    warnings,
)
from tests.config.test_backend_policy import policy

CLUSTER = "outbound|80||app.test"


@implementer(IHashKey)
@frozen
class Constant:
    """A hash key that is the same for all requests."""

    text: str
    terminal: bool = False

    def evaluate(self, request: IRequest) -> HashKey | None:
        return HashKey(len(self.text))


@implementer(ILoadBalancer)
class First:
    """Always the first endpoint."""

    uses_hash = True

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = endpoints

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        return self.endpoints[0] if self.endpoints else None

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        return iter(self.endpoints)


@implementer(ILoadBalancerBuilder, IBoundsLoad)
@frozen
class FirstBuilder:
    """Builds ``First``, or fails where ``broken`` says so."""

    broken: bool = False

    def build(self, endpoints: Sequence[Endpoint]) -> ILoadBalancer:
        if self.broken:
            raise ZeroDivisionError("no share\nfor nobody")
        return First(endpoints)

    def bounded(self, factor: int) -> ILoadBalancerBuilder:
        if factor == 100:
            raise RuntimeError("no bounds")
        return None  # type: ignore[return-value]


@implementer(IHashKeyFactory)
class ConstantFactory:
    name = "example.com/constant"
    api = API_VERSION

    def from_config(self, config: IConfig) -> IHashKey | None:
        text = config.string()
        if text == "raise":
            raise RuntimeError("out of luck")
        if text == "nonsense":
            return object()  # type: ignore[return-value]
        if text == "refuse":
            config.fail("this text is refused")
        return Constant(text)


@implementer(ILoadBalancerFactory)
class FirstFactory:
    name = "example.com/first"
    api = API_VERSION

    def from_config(self, config: IConfig | None) -> ILoadBalancerBuilder:
        return FirstBuilder(config is not None and bool(config.fields("broken")))


@implementer(IHasTable, IForeseesShares)
class BrokenTable(First):
    """Has a table that cannot be built."""

    table_bytes = 8

    def build_table(self) -> None:
        raise MemoryError("so large")

    def shortage(self, limit: float) -> Shortage | None:
        return None


@implementer(ILoadBalancerFactory, ILoadBalancerBuilder)
class TableFactory:
    name = "example.com/table"
    api = API_VERSION

    def from_config(self, config: IConfig | None) -> ILoadBalancerBuilder:
        return self

    def build(self, endpoints: Sequence[Endpoint]) -> ILoadBalancer:
        return BrokenTable(endpoints)


@implementer(ILoadBalancerFactory)
class NoneFactory:
    name = "example.com/none"
    api = API_VERSION

    def from_config(self, config: IConfig | None) -> ILoadBalancerBuilder:
        return None  # type: ignore[return-value]


def registry(*problems: str) -> Registry:
    """The bundled strategies and those of a third party."""
    known = bundled()
    keys = [*known.hash_keys.values(), ConstantFactory()]
    balancers = [*known.load_balancers.values(), FirstFactory(), TableFactory(), NoneFactory()]
    return Registry(keys, balancers, problems)


def rule(spec: str, name: str = "dr") -> str:
    return istio("DestinationRule", name, f"host: app.test\n{spec}")


def balancer(fields: str) -> str:
    return rule(f"trafficPolicy: {{loadBalancer: {{{fields}}}}}")


class ThirdPartyTests(SynchronousTestCase):
    def test_strategies(self) -> None:
        """A hash key and a load balancer of a third party are used through their names."""
        text = balancer("consistentHash: {example.com/constant: abc, example.com/first: {}}")
        snapshot = compiled(GATEWAY, SERVICE, ROUTE, text, registry=registry())
        (route,) = routes(snapshot, "*")
        self.assertEqual(route.action.hash_policy, (Constant("abc"),))
        self.assertFalse(route.action.retries.avoid_previous_hosts)
        self.assertEqual(snapshot.clusters[CLUSTER].builder, FirstBuilder())
        self.assertIsInstance(snapshot.clusters[CLUSTER].balancer, First)

    def test_simple(self) -> None:
        """A load balancer of a third party can be named where Istio's simple ones are."""
        snapshot = compiled(GATEWAY, SERVICE, ROUTE, balancer("simple: example.com/first"), registry=registry())
        self.assertEqual(snapshot.clusters[CLUSTER].builder, FirstBuilder())

    def test_failures(self) -> None:
        """Whatever a strategy raises or returns instead is an error at the line that asked for it."""
        for fields, place, part in (
            (
                "consistentHash: {example.com/constant: raise}",
                "36:51",
                "strategy example.com/constant failed: RuntimeError: out of luck",
            ),
            ("consistentHash: {example.com/constant: refuse}", "36:73", "this text is refused"),
            ("consistentHash: {example.com/constant: nonsense}", "36:51", "is no IHashKey"),
            ("consistentHash: {example.com/constant: a, example.com/first: {broken: 1}}", "36:76", "ZeroDivisionError"),
            ("consistentHash: {example.com/constant: a, example.com/none: {}}", "36:76", "is no ILoadBalancerBuilder"),
            ("simple: example.com/none", "36:42", "no ILoadBalancerBuilder: it returned None"),
            ("consistentHash: {example.com/constant: a, example.com/first: {other: 1}}", "", "has no field 'other'"),
        ):
            found = errors(GATEWAY, SERVICE, ROUTE, balancer(fields), registry=registry())
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn(part, found[0])
            self.assertIn(place, found[0])
            self.assertNotIn("\n", found[0])

    def test_bounds_that_fail(self) -> None:
        """So is what it does where a policy asks for bounded loads."""
        text = balancer("consistentHash: {useSourceIp: true, example.com/first: {}}")
        for factor, part in ((100, "RuntimeError: no bounds"), (101, "no ILoadBalancerBuilder: it returned None")):
            asked = policy(f"host: app.test\nconsistentHash: {{hashBalanceFactor: {factor}}}")
            (found,) = errors(GATEWAY, SERVICE, ROUTE, text, asked, registry=registry())
            self.assertIn("36:70: strategy example.com/first", found)
            self.assertIn(part, found)

    def test_table_that_fails(self) -> None:
        """So is a table that cannot tell its size at the load, or cannot be built when it is to be served."""
        text = balancer("consistentHash: {useSourceIp: true, example.com/table: {}}")
        self.assertEqual(errors(GATEWAY, SERVICE, ROUTE, text, registry=registry()), [])
        loader = Loader(registry(), ProxyIdentity())
        told = self.assertRaises(ConfigError, load_to_serve, loader, sources(GATEWAY, SERVICE, ROUTE, text), None)
        self.assertIn("36:70: strategy example.com/table failed: MemoryError: so large", str(told))
        (found,) = told.diagnostics
        self.assertIn("consistentHash", found.excerpt)
        self.patch(BrokenTable, "table_bytes", property(lambda table: 1 // 0))
        (found,) = errors(GATEWAY, SERVICE, ROUTE, text, registry=registry())
        self.assertIn("36:70: strategy example.com/table failed: ZeroDivisionError", found)

    def test_judgement_that_fails(self) -> None:
        """What cannot be told about a table is a warning there: nothing depends on it."""
        text = balancer("consistentHash: {useSourceIp: true, example.com/table: {}}")
        for shortage, part in (
            (lambda table, limit: 1 // 0, "could not be judged: ZeroDivisionError"),
            (lambda table, limit: "too small", "could not be judged: AttributeError"),
            (lambda table, limit: Shortage("is small", 5), "is small (5)"),  # type: ignore[arg-type]
        ):
            self.patch(BrokenTable, "shortage", shortage)
            (found,) = compiled(GATEWAY, SERVICE, ROUTE, text, registry=registry()).warnings
            self.assertIn(f"this table of example.com/table {part}", str(found))

    def test_not_installed(self) -> None:
        """A name with a domain that nobody provides is that of a plugin which is not installed."""
        for fields, place in (
            ("consistentHash: {useSourceIp: true, acme.example/jump: {}}", "36:70"),
            ("simple: acme.example/jump", "36:42"),
        ):
            (found,) = errors(GATEWAY, SERVICE, ROUTE, balancer(fields), registry=registry())
            self.assertIn(f"{place}: no plugin provides the strategy acme.example/jump", found)
            self.assertIn("meshproxy plugins lists what is installed", found)

    def test_unknown(self) -> None:
        """An unknown strategy is an error at its key, with the name that was meant and the plugins that are broken."""
        broken = "The plugin module acme does not load: ImportError: jwt."
        for fields, hint in (
            ("consistentHash: {example.com/konstant: a}", "did you mean 'example.com/constant'?"),
            ("consistentHash: {maglevv: {}, useSourceIp: true}", "did you mean 'maglev'?"),
            ("simple: ROUND_ROBBIN", "did you mean 'ROUND_ROBIN'?"),
            ("simple: maglev", "one of LEAST_CONN"),
        ):
            (found,) = errors(GATEWAY, SERVICE, ROUTE, balancer(fields), registry=registry(broken))
            self.assertIn(hint, found)
            self.assertIn(broken, found)

    def test_missing_plugin(self) -> None:
        """A strategy of Istio whose plugin is not there is an error, also for the default one where it is needed."""
        bare = Registry([], [], ["gone"])
        (first,) = errors(GATEWAY, SERVICE, ROUTE, registry=bare)
        self.assertIn("no plugin provides the strategy LEAST_REQUEST (gone)", first)
        found = "\n".join(errors(GATEWAY, balancer("consistentHash: {httpCookie: {name: a}}"), registry=bare))
        for name in ("httpCookie", "ringHash"):
            self.assertIn(f"no plugin provides the strategy {name} (gone)", found)
        self.assertEqual(errors(GATEWAY, registry=bare), [])


class LoadBalancerTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """What Istio refuses is refused, and what is not implemented says so."""
        for fields, part in (
            ("simple: RANDOM, consistentHash: {useSourceIp: true}", "may have only one of simple, consistentHash"),
            ("consistentHash: {useSourceIp: true, httpHeaderName: a}", "may have only one hash key"),
            ("consistentHash: {useSourceIp: true, maglev: {tableSize: 251}, ringHash: {}}", "only one load balancer"),
            ("consistentHash: {httpCookie: {ttl: 1s}}", "name"),
            ("consistentHash: {useSourceIp: true, maglev: {tableSize: 4}}", "tableSize"),
            ("consistentHash: {useSourceIp: true, minimumRingSize: 1, ringHash: {}}", "may not stand beside ringHash"),
            ("simple: PASSTHROUGH", "PASSTHROUGH is not served yet"),
            ("backendUtilization: {}", "backendUtilization is not served yet"),
            ("zoneAwareLbSetting: {}", "zoneAwareLbSetting is not served yet"),
        ):
            found = errors(GATEWAY, SERVICE, ROUTE, balancer(fields))
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn(part, found[0])

    def test_no_hash_key(self) -> None:
        """Consistent hashing without a hash key loads, and a warning says what that comes to."""
        found = warnings(GATEWAY, SERVICE, ROUTE, balancer("consistentHash: {maglev: {tableSize: 251}}"))
        self.assertEqual(len(found), 1)
        self.assertIn("has no hash key", found[0])

    def test_old_ring_size(self) -> None:
        """The deprecated ring size works, with a warning that shows the new form."""
        old = balancer("consistentHash: {useSourceIp: true, minimumRingSize: 7}")
        new = balancer("consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 7}}")
        builders = [compiled(GATEWAY, SERVICE, ROUTE, text).clusters[CLUSTER].builder for text in (old, new)]
        self.assertEqual(*builders)
        self.assertIn("write ringHash: {minimumRingSize: N}", warnings(GATEWAY, SERVICE, ROUTE, old)[0])

    def test_error_of_a_builder_of_old_size(self) -> None:
        """A wrong deprecated ring size is reported where it is written."""
        found = errors(GATEWAY, SERVICE, ROUTE, balancer("consistentHash: {useSourceIp: true, minimumRingSize: many}"))
        self.assertEqual(len(set(found)), 1, found)
        self.assertIn("minimumRingSize must be a whole number", found[0])


class PolicyTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """Empty policies, ports and names that are wrong."""
        for spec, part in (
            ("trafficPolicy: {}", "spec.trafficPolicy needs at least one field"),
            ("trafficPolicy: {connectionPool: {}}", "needs http or tcp"),
            ("trafficPolicy: {connectionPool: {tcp: {connectTimeout: 0.1ms}}}", "may not be less than 1ms"),
            ("trafficPolicy: {connectionPool: {tcp: {connectTimeout: 1.5ms}}}", "whole number of milliseconds"),
            ("trafficPolicy: {connectionPool: {tcp: {connectTimeout: 5}}}", "must be a duration"),
            ("trafficPolicy: {portLevelSettings: [{loadBalancer: {simple: RANDOM}}]}", "[0].port is required"),
            ("trafficPolicy: {portLevelSettings: [{port: {number: 80}}]}", "needs at least one of loadBalancer"),
            ("trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {}}]}", "tls is not served yet"),
            ("subsets: [{name: a}, {name: a}]", "'a' is there twice"),
            ("subsets: [{name: a.b}]", "must be a DNS label"),
            ("subsets: [{labels: {a: b}}]", "subsets[0].name is required"),
            ("subsets: [{name: a, labels: {version: 1}}]", "must be a string"),
            ("workloadSelector: {labels: {a: b}}", "spec.workloadSelector has no field 'labels'"),
            ("workloadSelector: {matchLabels: {a: '*'}}", "may not have '*' in it"),
            ("workloadSelector: {matchLabels: {'': a}}", "has no name"),
            ("workloadSelector: {matchLabels: {a: b}}\nexportTo: ['*']", "may only be the rule's own namespace"),
            ("workloadSelector: {matchLabels: {a: b}}\nexportTo: [x]", "may only be the rule's own namespace"),
            ("exportTo: [a b]", "must be '.', '*' or a namespace"),
        ):
            found = errors(GATEWAY, SERVICE, ROUTE, rule(spec))
            self.assertEqual(len(found), 1, (spec, found))
            self.assertIn(part, found[0])
        self.assertIn("spec.host is required", errors(GATEWAY, istio("DestinationRule", "a", "subsets: []"))[0])
