"""Tunnels over real sockets: much traffic with slow ends, and ends that end or vanish."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import inlineCallbacks
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.task import Clock
from zope.interface import implementer

from meshproxy.http.tunnel import TunnelLimits
from tests.http.test_upgrading import agreeing, asking
from tests.integration.test_wire import MOST_BUFFERED, PIECE, SIZE, Far, Pattern, WireCase, buffered


@implementer(IHalfCloseableProtocol)
class HalfClosing(Far):
    """A peer that goes on after the other's end."""

    ended = False

    def readConnectionLost(self) -> None:
        self.ended = True

    def writeConnectionLost(self) -> None:
        pass


class TunnelWire(WireCase):
    """A gateway with a tunnel; ``tearDown`` checks that nothing is left of it."""

    far = HalfClosing

    def setUp(self) -> None:
        super().setUp()
        self.gateway.tunnel_limits = TunnelLimits(Clock(), None)  # time does not matter here

    @inlineCallbacks
    def tunnel(self) -> Iterator[Any]:
        client, endpoint = yield self.exchange(asking())
        endpoint.transport.write(agreeing())
        yield client.ready
        return client, endpoint

    @inlineCallbacks
    def check_slow(self, sender: Far, receiver: Far) -> Iterator[Any]:
        """A sender waits for a receiver, with little of what it sends in memory, and all of it arrives."""
        receiver.transport.pauseProducing()
        pattern = Pattern(sender.transport)
        yield self.settled(lambda: pattern.sent)
        self.assertLess(pattern.sent, SIZE)
        (connection,) = self.factory.connections
        transports = (connection.transport, connection._current.upstream.transport)
        self.assertLess(sum(map(buffered, transports)), MOST_BUFFERED)
        self.assertGreater(sum(map(buffered, transports)), 0)
        receiver.transport.resumeProducing()
        yield self.until(lambda: receiver.size == SIZE)
        self.assertTrue(receiver.intact)

    @inlineCallbacks
    def test_slow_client(self) -> Iterator[Any]:
        """An endpoint that sends 64 MiB waits for its client."""
        client, endpoint = yield self.tunnel()
        yield self.check_slow(endpoint, client)

    @inlineCallbacks
    def test_slow_endpoint(self) -> Iterator[Any]:
        """A client that sends as much waits for its endpoint."""
        client, endpoint = yield self.tunnel()
        yield self.check_slow(client, endpoint)

    @inlineCallbacks
    def test_both_ways_at_once(self) -> Iterator[Any]:
        """Both directions go on at the same time, and then end one after the other."""
        client, endpoint = yield self.tunnel()
        for far in (client, endpoint):
            Pattern(far.transport)
        yield self.until(lambda: client.size == endpoint.size == SIZE)
        self.assertTrue(client.intact and endpoint.intact)
        client.transport.loseWriteConnection()
        yield self.until(lambda: endpoint.ended)
        endpoint.transport.write(PIECE)
        yield self.until(lambda: client.size == SIZE + len(PIECE))
        endpoint.transport.loseWriteConnection()
        yield self.until(lambda: client.ended)
        (exchange,) = self.log.exchanges
        self.assertEqual(
            (exchange.bytes_received, exchange.bytes_sent, exchange.flags), (SIZE, SIZE + len(PIECE), b"DC")
        )

    @inlineCallbacks
    def test_end_behind_all_bytes(self) -> Iterator[Any]:
        """The end of a direction comes behind everything that was sent, however slowly that is taken."""
        client, endpoint = yield self.tunnel()
        client.transport.pauseProducing()
        pattern = Pattern(endpoint.transport)
        yield self.settled(lambda: pattern.sent)
        client.transport.resumeProducing()
        yield self.until(lambda: endpoint.transport.producer is None)
        endpoint.transport.loseWriteConnection()
        yield self.until(lambda: client.ended)
        self.assertEqual((client.size, client.intact), (SIZE, True))

    @inlineCallbacks
    def test_vanishing(self) -> Iterator[Any]:
        """A side that vanishes takes the other one with it, also while it does not read what the other sends."""
        for vanishing, slow, flags in ((0, False, b"DC"), (0, True, b"DC"), (1, False, b"UC"), (1, True, b"UC")):
            self.endpoints.clear()
            self.log.exchanges.clear()
            ends = yield self.tunnel()
            gone, other = ends[vanishing], ends[1 - vanishing]
            if slow:
                gone.transport.pauseProducing()
                pattern = Pattern(other.transport)
                yield self.settled(lambda pattern=pattern: pattern.sent)
            gone.transport.abortConnection()
            yield self.until(lambda other=other: other.ended or other.lost)
            self.assertEqual([e.flags for e in self.log.exchanges], [flags])
