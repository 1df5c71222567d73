"""The gateway in memory serves YAML and tells where a request went."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.errors import ConfigError
from meshproxy.plugin import HashKeyPlugin, LoadBalancerPlugin
from meshproxy.testing import MemoryGateway
from tests.config.loading import GATEWAY, ROUTE, SERVICE, istio

_BOTH = {"10.0.0.1:80", "10.0.0.2:80"}


def rule(balancing: str) -> str:
    return istio("DestinationRule", "dr", f"host: app.test\ntrafficPolicy: {{loadBalancer: {balancing}}}")


def mesh(balancing: str = "{simple: ROUND_ROBIN}") -> str:
    return GATEWAY + SERVICE + ROUTE + rule(balancing)


class AnswerTests(SynchronousTestCase):
    def test_request_and_answer(self) -> None:
        """What the endpoint received and what it answered are there, and which one it was."""
        gateway = MemoryGateway(mesh())
        pending = gateway.begin("/cart?x=1", {"x-user": "ann"}, method="POST", host="shop.test", body=b"hello")
        self.assertIn(pending.endpoint, _BOTH)
        assert pending.request is not None
        self.assertEqual((pending.request.method, pending.request.target), (b"POST", b"/cart?x=1"))
        self.assertEqual(pending.request.values(b"x-user"), [b"ann"])
        self.assertEqual((pending.request.values(b"host"), pending.request.body), ([b"shop.test"], b"hello"))
        answer = pending.finish(b"HTTP/1.1 201 Created\r\nX-Kind: test\r\nContent-Length: 2\r\n\r\nok")
        self.assertEqual((answer.status, answer.body, answer.header(b"x-kind")), (201, b"ok", b"test"))
        self.assertIsNone(answer.header(b"x-other"))
        self.assertEqual((answer.endpoint, answer.tried), (pending.endpoint, (pending.endpoint,)))

    def test_gateways_own(self) -> None:
        """What the gateway answers itself has no endpoint."""
        gateway = MemoryGateway(GATEWAY + SERVICE + ROUTE.replace("'*'", "other.test"))
        answer = gateway.ask()
        self.assertEqual((answer.status, answer.endpoint, answer.request), (404, None, None))

    def test_turns(self) -> None:
        """Endpoints take turns over requests, whose connections are used again."""
        gateway = MemoryGateway(mesh())
        self.assertEqual({gateway.ask().endpoint for _ in range(2)}, _BOTH)
        self.assertEqual([gateway.ask().endpoint for _ in range(2)], [gateway.ask().endpoint for _ in range(2)])

    def test_sticky_cookie(self) -> None:
        """A client that sends its cookie back gets to the same endpoint; new clients get to both."""
        gateway = MemoryGateway(mesh("{consistentHash: {httpCookie: {name: sid, ttl: 60s}}}"))
        seen = set()
        for _ in range(12):
            first = gateway.ask()
            (pair,) = first.cookies.items()
            again = gateway.ask(headers=[("cookie", b"=".join(pair).decode())])
            self.assertEqual((again.endpoint, again.cookies), (first.endpoint, {}))
            seen.add(first.endpoint)
        self.assertEqual(seen, _BOTH)

    def test_source(self) -> None:
        """The client's address is what the test says."""
        gateway = MemoryGateway(mesh("{consistentHash: {useSourceIp: true}}"))
        found = {address: gateway.ask(source=address).endpoint for address in (f"10.1.0.{n}" for n in range(9))}
        self.assertEqual(set(found.values()), _BOTH)
        for address, endpoint in found.items():
            self.assertEqual(gateway.ask(source=address).endpoint, endpoint)

    def test_mirror(self) -> None:
        """A copy for a mirror is neither the request nor a try of it, whether the mirror answers or refuses."""
        shadow = istio(
            "ServiceEntry",
            "shadow",
            "hosts: [shadow.test]\nports: [{number: 80, name: http, protocol: HTTP}]\nresolution: STATIC\n"
            "endpoints: [{address: 10.0.0.9}]",
        )
        mirrored = ROUTE.replace("http: [{", "http: [{mirror: {host: shadow.test}, ")
        gateway = MemoryGateway(GATEWAY + SERVICE + shadow + mirrored)
        for down in (set[str](), {"10.0.0.9:80"}):
            gateway.down = down
            for _ in range(3):
                answer = gateway.ask()
                self.assertIn(answer.endpoint, _BOTH)
                self.assertEqual((answer.status, answer.tried), (200, (answer.endpoint,)))

    def test_down(self) -> None:
        """An endpoint that is down refuses; the retry and its order are there to see."""
        gateway = MemoryGateway(mesh())
        gateway.down = {"10.0.0.1:80"}
        answers = [gateway.ask() for _ in range(2)]
        self.assertEqual([answer.endpoint for answer in answers], ["10.0.0.2:80"] * 2)
        self.assertIn(("10.0.0.1:80", "10.0.0.2:80"), [answer.tried for answer in answers])
        gateway.down = set(_BOTH)
        answer = gateway.ask()
        self.assertEqual((answer.status, answer.endpoint, set(answer.tried)), (503, None, _BOTH))

    def test_in_flight(self) -> None:
        """A request that waits for its answer is in flight: a balancer that goes by load sees it."""
        gateway = MemoryGateway(mesh("{simple: LEAST_REQUEST}"))
        first = gateway.begin()
        counted = [gateway.ask().endpoint for _ in range(60)]
        self.assertGreater(counted.count((_BOTH - {first.endpoint}).pop()), 35)
        self.assertEqual(first.finish().status, 200)

    def test_ports(self) -> None:
        """The port of a server can be named."""
        servers = GATEWAY.replace(
            "  servers:\n", "  servers:\n  - {hosts: ['*'], port: {name: b, number: 81, protocol: HTTP}}\n"
        )
        gateway = MemoryGateway(servers + SERVICE + ROUTE)
        self.assertEqual([gateway.ask(port=port).status for port in (80, 81)], [200, 200])


class ConfigurationTests(SynchronousTestCase):
    def test_does_not_load(self) -> None:
        """A configuration that does not load is refused with its places; one that warns tells so."""
        error = self.assertRaises(ConfigError, MemoryGateway, mesh("{consistentHash: {httpCokie: {}}}"))
        self.assertIn("mesh.yaml:", str(error))
        (warning,) = MemoryGateway(mesh("{consistentHash: {}}")).warnings
        self.assertIn("no hash key", warning.message)

    def test_reload(self) -> None:
        """Another configuration can be installed; one that does not load changes nothing."""
        gateway = MemoryGateway(mesh())
        self.assertRaises(ConfigError, gateway.install, "x: [")
        self.assertEqual(gateway.ask().status, 200)
        gateway.install(GATEWAY + SERVICE + ROUTE.replace("'*'", "other.test"))
        self.assertEqual(gateway.ask().status, 404)

    def test_own_strategies(self) -> None:
        """Strategies are used that no package offers, instead of installed ones of the same name too."""
        key = HashKeyPlugin("example.com/user", "tests.testing.breaches:user_key")
        balancer = LoadBalancerPlugin("RANDOM", "tests.testing.breaches:first_endpoint")
        gateway = MemoryGateway(mesh("{consistentHash: {example.com/user: {}}}"), [key])
        found = {name: gateway.ask(headers={"x-user": name}).endpoint for name in "abcdefgh"}
        self.assertEqual(set(found.values()), _BOTH)
        gateway = MemoryGateway(mesh("{simple: RANDOM}"), [balancer])
        self.assertEqual({gateway.ask().endpoint for _ in range(9)}, {"10.0.0.1:80"})
        self.assertEqual(gateway.strategy_errors, 0)

    def test_failing_strategy(self) -> None:
        """A strategy that fails on a request makes it a 500, and is counted."""
        key = HashKeyPlugin("example.com/user", "tests.testing.breaches:failing_key")
        gateway = MemoryGateway(mesh("{consistentHash: {example.com/user: {}}}"), [key])
        self.assertEqual((gateway.ask().status, gateway.strategy_errors), (500, 1))
        self.flushLoggedErrors(ZeroDivisionError)
