"""What the data path asks of strategies, and what it costs when one fails."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from meshproxy.interfaces import HashKey, IHashKey, IRequest
from meshproxy.model import Endpoint
from tests.fakes import CountedCookie, FixedBalancer, Wire, cluster, endpoints, route, snapshot

GET = b"GET /x?y=1 HTTP/1.1\r\nHost: Shop.example:80\r\nUser-Agent: probe\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@implementer(IHashKey)
class Failing:
    """A strategy with a bug."""

    terminal = False

    def evaluate(self, request: IRequest) -> HashKey | None:
        raise ZeroDivisionError


class FailingBalancer(FixedBalancer):
    """Another one."""

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        raise ZeroDivisionError


class StrategyTests(SynchronousTestCase):
    """What is asked of strategies, and what their failure costs."""

    def hashed(self, key: IHashKey, count: int = 4) -> tuple[Wire, FixedBalancer]:
        balancer = FixedBalancer(endpoints(count), uses_hash=True)
        return Wire(snapshot(cluster(count, balancer=balancer), routes=[route(hash_policy=(key,))])), balancer

    def test_hash(self) -> None:
        """The hash of the request's key picks the endpoint."""
        wire, balancer = self.hashed(CountedCookie(hash=6))
        wire.client().send(GET)
        self.assertEqual((balancer.asked, wire.attempts), ([(6, 0)], ["192.0.2.3:8080"]))

    def test_keys_unused(self) -> None:
        """A balancer that does not use the hash causes no key to be evaluated, and gets a random number."""
        key, balancer = CountedCookie(), FixedBalancer(endpoints())
        wire = Wire(snapshot(cluster(balancer=balancer), routes=[route(hash_policy=(key,))]))
        wire.client().send(GET + GET)
        wire.accept().send(OK)
        self.assertEqual(key.requests, [])
        self.assertEqual(len({number for number, _ in balancer.asked}), 2)

    def test_cookie(self) -> None:
        """A generated cookie comes with the endpoint's response, behind the endpoint's own."""
        wire, _ = self.hashed(CountedCookie())
        client, endpoint = wire.pair(GET)
        endpoint.send(b"HTTP/1.1 200 OK\r\nSet-Cookie: own=1\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(client.responses()[0].values(b"set-cookie"), [b"own=1", b"id=1"])

    def test_cookie_of_each_try(self) -> None:
        """A retry evaluates the keys anew; the client gets the cookies of all tries."""
        wire, _ = self.hashed(CountedCookie())
        client = wire.client()
        client.send(GET)
        wire.refuse()
        wire.reactor.advance(1)
        wire.accept().send(OK)
        self.assertEqual(client.responses()[0].values(b"set-cookie"), [b"id=1", b"id=2"])

    def test_no_cookie_without_an_endpoint(self) -> None:
        """The gateway's own answers set no cookie."""
        wire, _ = self.hashed(CountedCookie())
        client, endpoint = wire.pair(GET)
        endpoint.close()
        (response,) = client.responses()
        self.assertEqual((response.status, response.values(b"set-cookie")), (503, []))

    def test_failure(self) -> None:
        """A strategy that raises fails its request with 500; the log hears of it once in ten seconds."""
        keys = Wire(
            snapshot(cluster(balancer=FixedBalancer(endpoints(), True)), routes=[route(hash_policy=(Failing(),))])
        )
        for wire in (keys, Wire(snapshot(cluster(balancer=FailingBalancer(endpoints()))))):
            client = wire.client()
            client.send(GET * 3)
            self.assertEqual([(r.status, r.body) for r in client.responses()], [(500, b"")] * 3)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertEqual(wire.gateway.counters.strategy_errors_total, 3)
            self.assertEqual(wire.log.exchanges[0].details, b"strategy_error")
            wire.reactor.advance(10)
            client.send(GET)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertFalse(client.closing)


@implementer(IHashKey)
@frozen
class Nonsense:
    """A strategy that makes what nothing can be done with."""

    found: Any
    terminal = False

    def evaluate(self, request: IRequest) -> Any:
        return self.found


class NonsenseBalancer(FixedBalancer):
    """Another one."""

    picked: Any = None

    def pick(self, hash: int, attempt: int) -> Any:
        return self.picked


class NonsenseTests(SynchronousTestCase):
    """A strategy that returns nonsense fails its request, as one that raises does, and nothing else."""

    def check(self, wire: Wire) -> None:
        client = wire.client()
        client.send(GET * 2)
        self.assertEqual([(r.status, r.body) for r in client.responses()], [(500, b"")] * 2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError, TypeError, AttributeError, SystemExit)), 1)
        self.assertEqual(wire.gateway.counters.strategy_errors_total, 2)
        self.assertEqual(wire.attempts, [])
        self.assertFalse(client.closing)

    def test_hash_keys(self) -> None:
        """Hashes that are none, and cookies that no header line can carry."""
        cookie = b"a=1\r\nx-injected: 1"
        for found in (HashKey(-1), HashKey(2**64), HashKey("1"), object(), HashKey(1, "a"), HashKey(1, cookie)):
            balancer = FixedBalancer(endpoints(), uses_hash=True)
            self.check(Wire(snapshot(cluster(balancer=balancer), routes=[route(hash_policy=(Nonsense(found),))])))

    def test_endpoints(self) -> None:
        """Endpoints of nobody's or of another cluster, and what is no endpoint."""
        for picked in (Endpoint("192.0.2.99", 8080), "192.0.2.1:8080", 7, [1], object()):
            balancer = NonsenseBalancer(endpoints())
            balancer.picked = picked
            self.check(Wire(snapshot(cluster(balancer=balancer))))

    def test_wants_to_leave(self) -> None:
        """A strategy that asks to end the process only fails."""

        class Leaving(FixedBalancer):
            def pick(self, hash: int, attempt: int) -> Endpoint | None:
                raise SystemExit

        self.check(Wire(snapshot(cluster(balancer=Leaving(endpoints())))))
