"""Tunnels: bytes both ways, how they end, and what is left of them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Snapshot, UpgradeSettings
from tests.fakes import Peer, Wire, cluster, snapshot
from tests.http.test_downstream import GET, OK
from tests.http.test_upgrading import agreeing, asking

CLIENT_ENDED = (b"DC", b"downstream_remote_disconnect")
ENDPOINT_ENDED = (b"UC", b"upstream_reset_after_response_started{connection_termination}")


class TunnelCase(SynchronousTestCase):
    """A gateway with a tunnel."""

    def setUp(self) -> None:
        self.wire, self.client, self.endpoint = self.tunnel()

    def tunnel(self, early: bytes = b"", first: bytes = b"", **upgrades: Any) -> tuple[Wire, Peer, Peer]:
        wire = Wire(snapshot(upgrades=UpgradeSettings(**upgrades)))
        client, endpoint = wire.pair(asking() + early)
        endpoint.send(agreeing() + first)
        self.assertTrue(client.take().endswith(b"\r\n\r\n" + first))
        self.assertEqual(endpoint.take(), early)
        return wire, client, endpoint

    def check_over(
        self, logged: tuple[bytes, bytes], received: int = 0, sent: int = 0, wire: Wire | None = None
    ) -> None:
        """It is accounted for once, and nothing of it is left."""
        wire = wire or self.wire
        (exchange,) = wire.log.exchanges
        self.assertEqual((exchange.status, exchange.flags, exchange.details), (101, *logged))
        self.assertEqual((exchange.bytes_received, exchange.bytes_sent, exchange.service_ms), (received, sent, None))
        counters = wire.gateway.counters
        self.assertEqual((counters.tunnels_active, counters.tunnels_total, counters.responses_1xx), (0, 1, 1))
        self.assertEqual((counters.requests_active, counters.requests_total), (0, 1))
        self.assertEqual((counters.bytes_received_total, counters.bytes_sent_total), (received, sent))
        self.assertEqual(self.active(wire), 0)

    def check_gone(self, *peers: Peer) -> None:
        """The gateway has closed these connections and forgotten all about them."""
        for peer in peers:
            self.assertTrue(peer.closing)
            peer.settle()
        counters = self.wire.gateway.counters
        self.assertEqual((counters.connections_active, counters.upstream_connections_active), (0, 0))
        self.wire.reactor.advance(10_000)
        self.assertEqual(self.wire.timers, [])

    def active(self, wire: Wire) -> int:
        (state,) = wire.gateway.upstreams.clusters.values()
        (host,) = state.hosts.values()
        self.assertEqual(host.pool.idle, {})
        return host.active


class Bytes(TunnelCase):
    """What passes."""

    def test_both_ways(self) -> None:
        """Bytes pass as they come, whatever they look like."""
        self.client.send(b"GET / HTTP/1.1\r\n", bytes(range(256)))
        self.assertEqual(self.endpoint.take(), b"GET / HTTP/1.1\r\n" + bytes(range(256)))
        self.endpoint.send(b"HTTP/1.1 200 OK\r\n\r\n", b"\x00")
        self.assertEqual(self.client.take(), b"HTTP/1.1 200 OK\r\n\r\n\x00")

    def test_while_it_lasts(self) -> None:
        """It is a request under way and a connection in use; nothing is logged before its end."""
        counters = self.wire.gateway.counters
        self.assertEqual((counters.tunnels_active, counters.requests_active, self.active(self.wire)), (1, 1, 1))
        self.assertEqual(self.wire.log.exchanges, [])
        self.assertEqual(self.wire.timers, [])

    def test_slow_endpoint(self) -> None:
        """The client is not read while the endpoint does not take what there is."""
        self.endpoint.stop_reading()
        self.assertTrue(self.client.paused)
        self.assertFalse(self.endpoint.paused)
        self.endpoint.go_on_reading()
        self.assertFalse(self.client.paused)

    def test_slow_client(self) -> None:
        """Nor is the endpoint while the client does not."""
        self.client.stop_reading()
        self.assertTrue(self.endpoint.paused)
        self.assertFalse(self.client.paused)
        self.client.go_on_reading()
        self.assertFalse(self.endpoint.paused)

    def test_early_bytes_fill_the_buffer(self) -> None:
        """A client whose early bytes the endpoint does not take goes on waiting."""
        wire = Wire()
        client, endpoint = wire.pair(asking() + b"early")
        write = endpoint.transport.write

        def write_and_be_full(data: bytes) -> None:
            write(data)
            endpoint.stop_reading()

        endpoint.transport.write = write_and_be_full  # type: ignore[method-assign]
        endpoint.send(agreeing())
        self.assertEqual(endpoint.take(), b"early")
        self.assertTrue(client.paused)
        endpoint.go_on_reading()
        self.assertFalse(client.paused)

    def test_new_configuration(self) -> None:
        """A tunnel outlives the configuration that it was made under, its listener and its endpoint."""
        self.wire.gateway.install(snapshot(cluster(name="other"), routes=[]))
        self.wire.gateway.install(Snapshot((), {}))
        self.client.send(b"a")
        self.endpoint.send(b"b")
        self.assertEqual((self.endpoint.take(), self.client.take()), (b"a", b"b"))


class Ends(TunnelCase):
    """How it ends."""

    def test_client_first(self) -> None:
        """A client's end reaches the endpoint behind all bytes, and the endpoint may finish what it has to say."""
        self.client.send(b"hello")
        self.client.close()
        self.assertEqual(self.endpoint.take(), b"hello")
        self.assertTrue(self.endpoint.transport.half_closed)
        self.assertFalse(self.endpoint.closing)
        self.endpoint.send(b"world!")
        self.assertEqual(self.client.take(), b"world!")
        self.assertEqual(self.active(self.wire), 1)
        self.endpoint.close()
        self.check_over(CLIENT_ENDED, 5, 6)
        self.check_gone(self.client, self.endpoint)

    def test_endpoint_first(self) -> None:
        """So it is the other way round."""
        self.endpoint.send(b"bye")
        self.endpoint.close()
        self.assertEqual(self.client.take(), b"bye")
        self.assertTrue(self.client.transport.half_closed)
        self.assertFalse(self.client.closing)
        self.client.send(b"so long")
        self.assertEqual(self.endpoint.take(), b"so long")
        self.client.close()
        self.check_over(ENDPOINT_ENDED, 7, 3)
        self.check_gone(self.client, self.endpoint)

    def test_who_has_ended_is_not_read_again(self) -> None:
        """Buffers of the other side that empty later do not make the gateway read a direction that has ended."""
        self.client.close()
        self.assertIsNone(self.endpoint.transport.producer)
        self.endpoint.close()
        self.assertIsNone(self.client.transport.producer)

    def test_slow_reader_at_the_end(self) -> None:
        """A direction that goes on after the other's end still waits for who is slow."""
        self.client.close()
        self.client.stop_reading()
        self.assertTrue(self.endpoint.paused)
        self.client.go_on_reading()
        self.assertFalse(self.endpoint.paused)

    def test_reset(self) -> None:
        """A connection that breaks ends the tunnel; the other one is closed when it has taken what it was sent."""
        self.client.send(b"hello")
        self.client.reset()
        self.assertFalse(self.endpoint.transport.aborted)
        self.check_over(CLIENT_ENDED, 5)
        self.check_gone(self.endpoint)

    def test_reset_by_the_endpoint(self) -> None:
        """So it is the other way round, also while the client is slow."""
        self.client.stop_reading()
        self.endpoint.reset()
        self.assertFalse(self.client.transport.aborted)
        self.check_over(ENDPOINT_ENDED)
        self.check_gone(self.client)

    def test_reset_after_the_end_of_one_side(self) -> None:
        """Who ended first is the one who is logged."""
        self.endpoint.close()
        self.client.reset()
        self.check_over(ENDPOINT_ENDED)
        self.check_gone(self.endpoint)

    def test_connections_are_not_used_again(self) -> None:
        """Neither connection carries anything else."""
        self.endpoint.close()
        self.client.close()
        other = self.wire.client()
        other.send(GET % b"x")
        self.assertEqual(self.wire.attempts, ["192.0.2.1:8080"])

    def test_bytes_with_the_heads_count(self) -> None:
        """Bytes that came along with either head are bytes of the tunnel."""
        wire, client, endpoint = self.tunnel(b"early", b"first!")
        client.close()
        endpoint.close()
        self.check_over(CLIENT_ENDED, 5, 6, wire)

    def test_side_that_is_gone(self) -> None:
        """After one side's end the tunnel lasts for as long as bytes come, and about a minute longer."""
        self.client.close()
        for _ in range(5):
            self.wire.reactor.pump([14.0] * 4)
            self.assertFalse(self.endpoint.closing)
            self.endpoint.send(b"x")
        self.wire.reactor.pump([15.0] * 5)
        self.check_over(CLIENT_ENDED, 0, 5)
        self.check_gone(self.client, self.endpoint)

    def test_what_nobody_takes(self) -> None:
        """A connection that does not take its last bytes is given up after a minute."""
        self.client.reset()
        self.assertFalse(self.endpoint.transport.aborted)
        self.wire.reactor.pump([15.0] * 4)
        self.assertTrue(self.endpoint.transport.aborted)
        self.check_gone(self.endpoint)


class Stopping(TunnelCase):
    """When the gateway stops."""

    def test_until_the_deadline(self) -> None:
        """It goes on until its time is up."""
        stopped: list[None] = []
        self.wire.gateway.drain(30).addCallback(stopped.append)
        self.wire.reactor.pump([1.0] * 29)
        self.client.send(b"x")
        self.assertEqual((self.endpoint.take(), stopped), (b"x", []))
        self.wire.reactor.pump([1.0] * 2)
        self.assertTrue(self.client.transport.aborted)
        self.client.settle()
        self.check_over((b"DC", b"downstream_local_disconnect"), 1)
        self.wire.reactor.advance(1)
        self.assertEqual(stopped, [None])
        self.check_gone(self.endpoint)

    def test_ends_by_itself(self) -> None:
        """One that ends before lets the gateway stop."""
        stopped: list[None] = []
        self.wire.gateway.drain(30).addCallback(stopped.append)
        self.client.close()
        self.endpoint.close()
        self.client.settle()
        self.wire.reactor.advance(1)
        self.assertEqual(stopped, [None])

    def test_asked_while_stopping(self) -> None:
        """A request on the way when the gateway begins to stop still becomes one."""
        wire = Wire()
        client, endpoint = wire.pair(asking())
        wire.gateway.drain(30)
        endpoint.send(agreeing())
        self.assertEqual([r.status for r in client.responses()], [101])
        client.send(b"x")
        self.assertEqual(endpoint.take(), b"x")


class Silence(TunnelCase):
    """The limit that a configuration may set."""

    def setUp(self) -> None:
        self.wire, self.client, self.endpoint = self.tunnel(idle_timeout=100.0)

    def test_silence(self) -> None:
        """A tunnel without a byte for so long ends."""
        self.wire.reactor.pump([25.0, 25.0, 25.0, 24.0])
        self.assertFalse(self.client.closing)
        self.wire.reactor.advance(1)
        self.check_over((b"SI", b"stream_idle_timeout"))
        self.assertFalse(self.client.transport.aborted)
        self.check_gone(self.client, self.endpoint)

    def test_either_side_may_speak(self) -> None:
        """Bytes from either side are enough."""
        for speaker in (self.client, self.endpoint) * 3:
            self.wire.reactor.pump([24.0] * 4)
            speaker.send(b"x")
        self.assertEqual(self.wire.log.exchanges, [])

    def test_later_limit(self) -> None:
        """A configuration that comes later has no say in it."""
        self.wire.gateway.install(snapshot(upgrades=UpgradeSettings(idle_timeout=1.0)))
        self.wire.reactor.advance(50)
        self.assertEqual(self.wire.log.exchanges, [])

    def test_short_limit_at_the_end(self) -> None:
        """A limit below a minute holds for the end, too."""
        wire, client, _ = self.tunnel(idle_timeout=4.0)
        client.close()
        wire.reactor.pump([1.0] * 4)
        self.check_over(CLIENT_ENDED, wire=wire)

    def test_response_like_any_other(self) -> None:
        """Other requests are not concerned."""
        client, endpoint = self.wire.pair(GET % b"x")
        self.wire.reactor.advance(1000)
        endpoint.send(OK)
        self.assertEqual([r.status for r in client.responses()], [200])
