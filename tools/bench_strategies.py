"""What strategies cost: for each request, to build, and to the reactor while they are built.

Usage: bench_strategies.py [ENDPOINTS]

Prints, with ENDPOINTS (1,000) of equal weight, the processor time of finding a session's cookie and picking its
endpoint, and of building rings and tables; then how long the answers of a reactor take while it builds one table after
the other, as after changes of endpoints. Each time has a limit; the exit status is 1 if one is exceeded. Times
are the least of several rounds, those of the reactor the largest of all but one in a thousand, since other processes
have the processor too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from socket import socketpair
from threading import Thread
from time import monotonic, process_time
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from zope.interface import implementer

from meshproxy.interfaces import ILoadBalancerBuilder
from meshproxy.model import Endpoint
from meshproxy.selection import evaluate, ready
from meshproxy.strategies.edf import Rotation
from meshproxy.strategies.http_cookie import CookieKey
from meshproxy.strategies.maglev import MaglevBuilder
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.testing import FakeRequest, sample_endpoints
from meshproxy.upstream.building import Builds, share_processor

reactor: Any = installed_reactor

REQUESTS = 2_000
ROUNDS = 15
REACTOR_SECONDS = 2.0
PICK_MICROSECONDS = 3.0
REACTOR_MILLISECONDS = 20.0


def best(call: Callable[[], object], rounds: int) -> float:
    """The least processor time of a call, in seconds."""
    times = []
    for _ in range(rounds):
        began = process_time()
        call()
        times.append(process_time() - began)
    return min(times)


def cost_of_requests(endpoints: Sequence[Endpoint]) -> bool:
    """Print what key and pick cost for each request; whether all is within the limit."""
    policy = [CookieKey("ISTIOID", timedelta(seconds=60))]
    requests = [FakeRequest([(b"cookie", b'theme=dark; ISTIOID="%016x"' % number)]) for number in range(REQUESTS)]
    rotation = Rotation([endpoint.weight + index % 3 for index, endpoint in enumerate(endpoints)], 7)

    def rotate() -> None:
        for _ in requests:
            rotation.pick()

    good = True
    for name, builder in (("ringHash", RingHashBuilder()), ("maglev", MaglevBuilder())):
        balancer = ready(builder.build, endpoints)

        def serve(pick: Callable[[int, int], Endpoint | None] = balancer.pick) -> None:
            for request in requests:
                found, _ = evaluate(policy, request)
                assert found is not None
                pick(found, 0)

        good &= tell(f"key and pick, {name}", best(serve, ROUNDS) / REQUESTS * 1e6, "µs", PICK_MICROSECONDS)
    return good & tell("turn of a rotation by weight", best(rotate, ROUNDS) / REQUESTS * 1e6, "µs", PICK_MICROSECONDS)


def cost_of_builds(endpoints: Sequence[Endpoint]) -> bool:
    """Print what building costs; whether all is within the limits."""
    few, good = endpoints[:100], True
    for name, builder, members, limit in (
        ("ringHash of 1,024", RingHashBuilder(), few, 2.0),
        ("ringHash of 1,024", RingHashBuilder(), endpoints, 3.0),
        ("ringHash of 65,536", RingHashBuilder(65536), endpoints, 100.0),
        ("maglev of 65,537", MaglevBuilder(), few, 60.0),
        ("maglev of 65,537", MaglevBuilder(), endpoints, 60.0),
    ):

        def build(builder: ILoadBalancerBuilder = builder, members: Sequence[Endpoint] = members) -> None:
            ready(builder.build, members)

        good &= tell(f"build {name}, {len(members)} endpoints", best(build, ROUNDS // 3) * 1e3, "ms", limit)
    return good


@implementer(IReadDescriptor)
class Echo:
    """Sends back what comes, as a reactor's connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def doRead(self) -> None:
        """See ``IReadDescriptor``."""
        self._connection.send(self._connection.recv(64))

    def fileno(self) -> int:
        """See ``IFileDescriptor``."""
        return int(self._connection.fileno())

    def logPrefix(self) -> str:
        """See ``ILoggingContext``."""
        return "echo"

    def connectionLost(self, reason: Failure) -> None:
        """See ``IReadDescriptor``."""


def cost_to_the_reactor(endpoints: Sequence[Endpoint]) -> bool:
    """Print how long answers take while tables are built; whether that is within the limit."""
    near, far = socketpair()
    near.setblocking(False)
    echo = Echo(near)
    builds = Builds(deferToThread, reactor)
    built = 0

    def build(_: object = None) -> None:
        nonlocal built
        built += 1
        building: Deferred[Any] = builds.run(MaglevBuilder().build, endpoints)
        building.addCallback(build)

    times: list[float] = []

    def ask() -> None:
        # In a thread of this process, which is worse than a client elsewhere: one more that waits for its turn.
        ends = monotonic() + REACTOR_SECONDS
        while monotonic() < ends:
            began = monotonic()
            far.send(b"?")
            far.recv(64)
            times.append(monotonic() - began)
        reactor.callFromThread(reactor.stop)

    share_processor()
    reactor.addReader(echo)
    reactor.callWhenRunning(build)
    reactor.callWhenRunning(Thread(target=ask).start)
    reactor.run()
    times.sort()
    worst = times[-1 - len(times) // 1000] * 1e3
    return tell(f"answer of the reactor during {built} builds of maglev", worst, "ms", REACTOR_MILLISECONDS)


def tell(what: str, found: float, unit: str, limit: float) -> bool:
    """Print a figure; whether it is within its limit."""
    print(f"{what:48}{found:8.2f} {unit}  (limit {limit:g})")
    return found <= limit


def main() -> None:
    """Measure and print."""
    endpoints = sample_endpoints(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    good = [measure(endpoints) for measure in (cost_of_requests, cost_of_builds, cost_to_the_reactor)]
    raise SystemExit(not all(good))


if __name__ == "__main__":
    main()
