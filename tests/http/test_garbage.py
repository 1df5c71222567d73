"""What has ended is freed at once: nothing is left to the garbage collector, which does not look at old objects."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.routes import Mirror, RetryPolicy
from tests.fakes import Peer, Wire, cluster, route, snapshot
from tests.http.test_downstream import GET, OK
from tests.http.test_upgrading import agreeing, asking

OTHER = "outbound|80||mirror"


def answered(wire: Wire) -> Sequence[Peer]:
    """Two requests on a connection, and one that is refused."""
    client, endpoint = wire.pair(GET % b"1")
    endpoint.send(OK)
    client.send(GET % b"2")
    endpoint.send(OK)
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    return client, endpoint


def left_behind(wire: Wire) -> Sequence[Peer]:
    """A client that leaves in the middle of a head, one in the middle of a body, one before it has an answer."""
    first, second = wire.client(), wire.client()
    first.send(b"GET /x HT")
    second.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    return first, second, wire.accept(), *wire.pair(GET % b"")


def broken_off(wire: Wire) -> Sequence[Peer]:
    """An endpoint that breaks off, and one that says nonsense."""
    first, second = wire.pair(GET % b"1"), wire.pair(GET % b"2")
    first[1].send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    second[1].send(b"nonsense\r\n\r\n")
    return *first, *second


def refused(wire: Wire) -> Sequence[Peer]:
    """A connection that is not made, tried again, with a time limit and a copy of the request."""
    client = wire.client()
    client.send(GET % b"retried")
    while wire.attempts:
        wire.refuse()
        wire.reactor.advance(1)
    return (client,)


def tunnelled(wire: Wire) -> Sequence[Peer]:
    """A tunnel, and a protocol that the endpoint does not speak."""
    first, second = wire.pair(asking()), wire.pair(asking())
    first[1].send(agreeing() + b"x")
    first[0].send(b"y")
    second[1].send(OK)
    return *first, *second


SCENARIOS = (answered, left_behind, broken_off, refused, tunnelled)


class GarbageTests(SynchronousTestCase):
    def setUp(self) -> None:
        retried = route("/retried", timeout=5.0, retries=RetryPolicy(3), mirrors=(Mirror(OTHER),))
        self.wire = Wire(snapshot(cluster(), cluster(name=OTHER), routes=[retried, route()]))

    def run_to_the_end(self, scenario: Callable[[Wire], Sequence[Peer]]) -> None:
        for peer in scenario(self.wire):
            if not peer.lost:
                peer.reset()
            # As Twisted's transports forget what they served.
            del peer.transport.protocol
            peer.transport.producer = None
        self.wire.reactor.advance(100)
        self.wire.log.exchanges.clear()
        self.wire.reactor.connectors.clear()

    def test_what_has_ended(self) -> None:
        """However connections and requests end, they and all that they had are gone."""
        for scenario in SCENARIOS:
            self.run_to_the_end(scenario)  # what is made once for all is made now
            gc.collect()
            gc.disable()
            try:
                self.run_to_the_end(scenario)
                self.assertEqual((scenario.__name__, garbage()), (scenario.__name__, {}))
            finally:
                gc.enable()


def garbage() -> dict[Any, int]:
    """What only the collector finds, by type."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return Counter(type(it).__name__ for it in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
