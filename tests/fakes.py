"""What the tests of the data path share: sample configurations, strategies that say what they were asked.

The gateway in memory itself is public: ``meshproxy.testing``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from zope.interface import implementer

from meshproxy.http.logwriter import SerialThread
from meshproxy.interfaces import HashKey, IHashKey, ILoadBalancer, ILoadBalancerBuilder, IRequest
from meshproxy.model import Cluster, Endpoint, Listener, MeshSettings, Snapshot
from meshproxy.policies import ConnectionPool
from meshproxy.routes import (
    Comparison,
    DirectResponse,
    Fault,
    Forward,
    PathMatch,
    Redirect,
    Route,
    RouteMatch,
    VirtualHost,
    WeightedDestination,
)
from meshproxy.routing import RouteTable
from meshproxy.testing import wire
from meshproxy.testing.messages import Response, read_responses
from meshproxy.testing.wire import FakeTransport, MemoryReactor, Peer, RecordedLog

CLUSTER = "outbound|8080||shop.example"


@implementer(ILoadBalancer, ILoadBalancerBuilder)
class FixedBalancer:
    """Picks ``endpoints[hash + attempt]``, and remembers what it was asked; also its own builder."""

    def __init__(self, endpoints: Sequence[Endpoint], uses_hash: bool = False) -> None:
        self.endpoints = tuple(endpoints)
        self.uses_hash = uses_hash
        self.asked: list[tuple[int, int]] = []

    def build(self, endpoints: Sequence[Endpoint]) -> ILoadBalancer:
        return FixedBalancer(endpoints, self.uses_hash)

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        self.asked.append((hash, attempt))
        if not self.endpoints:
            return None
        return self.endpoints[((hash if self.uses_hash else 0) + attempt) % len(self.endpoints)]

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        return iter(self.endpoints)


@implementer(ILoadBalancer)
class EmptyBalancer:
    """The balancer of a cluster without endpoints."""

    uses_hash = False

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        return None

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        return iter(())


@implementer(IHashKey)
class CountedCookie:
    """A key that generates a new cookie each time it is asked: ``id=1``, ``id=2``, ... ``hash`` is given."""

    terminal = False

    def __init__(self, hash: int = 0) -> None:
        self.hash = hash
        self.requests: list[IRequest] = []

    def evaluate(self, request: IRequest) -> HashKey:
        self.requests.append(request)
        return HashKey(self.hash, b"id=%d" % len(self.requests))


def endpoints(count: int = 1) -> tuple[Endpoint, ...]:
    """192.0.2.1:8080 and its successors."""
    return tuple(Endpoint(f"192.0.2.{number}", 8080) for number in range(1, count + 1))


def cluster(count: int = 1, name: str = CLUSTER, balancer: ILoadBalancer | None = None, **pool: Any) -> Cluster:
    """A cluster of ``count`` endpoints that are picked in turn by attempt; ``pool`` as ``ConnectionPool`` has it."""
    members = endpoints(count)
    used = balancer or FixedBalancer(members)
    return Cluster(name, members, FixedBalancer(members), used, 10.0, pool=ConnectionPool(**pool))


def route(
    prefix: str = "/",
    to: str = CLUSTER,
    name: str = "",
    fault: Fault | None = None,
    destination: Mapping[str, Any] | None = None,
    **forward: Any,
) -> Route:
    """A route for a path prefix to one destination.

    ``destination`` as ``routes.WeightedDestination``, ``forward`` as ``routes.Forward`` has it.
    """
    destinations = (WeightedDestination(to, **(destination or {})),)
    return Route(_prefixed(prefix), Forward(destinations, **forward), name, fault=fault)


def answer(action: Redirect | DirectResponse, prefix: str = "/", **route: Any) -> Route:
    """A route for a path prefix that answers; ``route`` as ``routes.Route`` has it."""
    return Route(_prefixed(prefix), action, **route)


def _prefixed(prefix: str) -> RouteMatch:
    return RouteMatch(PathMatch(Comparison.PREFIX, prefix))


def snapshot(*clusters: Cluster, routes: Sequence[Route] | None = None, **mesh: Any) -> Snapshot:
    """One listener on port 80 that takes any host; ``mesh`` as ``model.MeshSettings`` has it."""
    host = VirtualHost("*", tuple(routes if routes is not None else [route()]))
    listener = Listener("", 80, RouteTable([host]))
    found = clusters or (cluster(),)
    return Snapshot((listener,), {c.name: c for c in found}, MeshSettings(**mesh))


class AtOnce(SerialThread):
    """No thread: what is to be run is run at once."""

    def run(self, function: Callable[[], None]) -> None:
        function()

    def finish(self, seconds: float) -> None:
        pass


class Wire(wire.Wire):
    """A gateway in memory, with a sample configuration if there is no other."""

    def __init__(self, installed: Snapshot | None = None) -> None:
        super().__init__(installed if installed is not None else snapshot())


__all__ = [
    "CLUSTER",
    "AtOnce",
    "CountedCookie",
    "EmptyBalancer",
    "FakeTransport",
    "FixedBalancer",
    "MemoryReactor",
    "Peer",
    "RecordedLog",
    "Response",
    "Wire",
    "answer",
    "cluster",
    "endpoints",
    "read_responses",
    "route",
    "snapshot",
]
