"""Mirrors: copies that never get in the way of the request."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.routes import HeaderOperations, Mirror, Rewrite
from tests.fakes import CLUSTER, EmptyBalancer, Peer, Wire, cluster, route, snapshot
from tests.http.test_exchange import GET, OK, head_lines

SHADOW = "outbound|80||shadow.example"
UPLOAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class MirrorCase(SynchronousTestCase):
    def mirrored(self, request: bytes = GET, mirror: Mirror | None = None, **fields: Any) -> tuple[Peer, Peer, Peer]:
        """Client, mirror and endpoint."""
        routes = [route(mirrors=(mirror or Mirror(SHADOW),), **fields)]
        self.wire = Wire(snapshot(cluster(), cluster(name=SHADOW), routes=routes))
        self.counters = self.wire.gateway.counters
        client = self.wire.client()
        client.send(request)
        mirror_peer, endpoint = self.wire.accept(), self.wire.accept()
        return client, mirror_peer, endpoint

    def check_dropped(self, number: int = 1) -> None:
        self.assertEqual((self.counters.mirrors_active, self.counters.mirrors_dropped_total), (0, number))


class Copies(MirrorCase):
    def test_same_head(self) -> None:
        """The mirror gets the request as the endpoint does, after all changes."""
        destination = {
            "rewrite": Rewrite("/mm", whole=True, authority="rw.test"),
            "request_headers": (HeaderOperations(set=((b"x-s", "1"),)),),
        }
        _, mirror, endpoint = self.mirrored(destination=destination)
        sent = endpoint.take()
        self.assertEqual(mirror.take(), sent)
        self.assertEqual(head_lines(sent)[:2], [b"GET /mm?y=1 HTTP/1.1", b"host: rw.test"])

    def test_answer_is_thrown_away(self) -> None:
        """The client gets the endpoint's answer only; the mirror's connection is used again."""
        client, mirror, endpoint = self.mirrored()
        mirror.send(b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad")
        self.assertEqual(client.take(), b"")
        endpoint.send(OK)
        self.assertEqual([(r.status, r.body) for r in client.responses()], [(200, b"ok")])
        self.check_dropped(0)
        mirror.take()
        client.send(GET)
        self.assertTrue(mirror.take().startswith(b"GET "))
        self.assertEqual(self.counters.mirrors_total, 2)

    def test_bodies(self) -> None:
        """The body goes to both as it comes, in either framing."""
        client, mirror, endpoint = self.mirrored(UPLOAD % 4 + b"ab")
        client.send(b"cd")
        self.assertTrue(mirror.take().endswith(b"\r\n\r\nabcd"))
        self.assertTrue(endpoint.take().endswith(b"\r\n\r\nabcd"))
        client, mirror, endpoint = self.mirrored(CHUNKED + b"1\r\na\r\n")
        client.send(b"1\r\nb\r\n0\r\n\r\n")
        for peer in (mirror, endpoint):
            self.assertTrue(peer.take().endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"))

    def test_share(self) -> None:
        """A share of nothing is no copy."""
        wire = Wire(snapshot(cluster(), cluster(name=SHADOW), routes=[route(mirrors=(Mirror(SHADOW, 0),))]))
        wire.client().send(GET)
        self.assertEqual((len(wire.attempts), wire.gateway.counters.mirrors_total), (1, 0))

    def test_several(self) -> None:
        """Each mirror gets its copy."""
        routes = [route(mirrors=(Mirror(SHADOW), Mirror(CLUSTER)))]
        wire = Wire(snapshot(cluster(), cluster(name=SHADOW), routes=routes))
        wire.client().send(GET)
        self.assertEqual(len(wire.attempts), 3)

    def test_not_for_retries(self) -> None:
        """A request that is tried again is mirrored once."""
        routes = [route(mirrors=(Mirror(SHADOW),))]
        wire = Wire(snapshot(cluster(), cluster(name=SHADOW), routes=routes))
        wire.client().send(GET)
        wire.accept()
        wire.refuse()
        wire.reactor.advance(1)
        self.assertEqual((len(wire.attempts), wire.gateway.counters.mirrors_total), (1, 1))


class Losses(MirrorCase):
    def test_slow(self) -> None:
        """A mirror that does not take the body is waited for up to 1 MiB; the request is not slowed."""
        client, mirror, endpoint = self.mirrored(UPLOAD % (1 << 22))
        mirror.stop_reading()
        for _ in range(20):
            self.assertFalse(client.paused)
            client.send(bytes(1 << 16))
        self.assertEqual(len(endpoint.take().partition(b"\r\n\r\n")[2]), 20 << 16)
        self.assertTrue(mirror.transport.aborted)
        self.check_dropped()

    def test_catching_up(self) -> None:
        """One that was slow for a while gets the whole body."""
        client, mirror, _ = self.mirrored(UPLOAD % 6 + b"ab")
        mirror.take()
        mirror.stop_reading()
        client.send(b"cd", b"ef")
        self.assertEqual(mirror.take(), b"")
        mirror.go_on_reading()
        self.assertEqual(mirror.take(), b"cdef")

    def test_failures(self) -> None:
        """A mirror that fails in any way costs its copy only."""
        for act in (
            lambda mirror: mirror.close(),
            lambda mirror: mirror.send(b"garbage\r\n\r\n"),
            lambda mirror: (mirror.send(OK[:-1]), mirror.reset()),
        ):
            client, mirror, endpoint = self.mirrored()
            act(mirror)
            self.check_dropped()
            endpoint.send(OK)
            self.assertEqual([r.status for r in client.responses()], [200])

    def test_not_reached(self) -> None:
        """So does one that cannot be reached, has no endpoint, or is not configured."""
        for shadow in (
            cluster(name=SHADOW),
            cluster(name=SHADOW, balancer=EmptyBalancer()),
            cluster(name="outbound|80||other.example"),
        ):
            wire = Wire(snapshot(cluster(), shadow, routes=[route(mirrors=(Mirror(SHADOW),))]))
            client = wire.client()
            client.send(GET)
            if len(wire.attempts) == 2:
                wire.refuse()
            wire.accept().send(OK)
            self.assertEqual([r.status for r in client.responses()], [200])
            counters = wire.gateway.counters
            self.assertEqual((counters.mirrors_active, counters.mirrors_dropped_total), (0, 1))

    def test_nowhere_to_go(self) -> None:
        """There is no copy of a request that the gateway answers because it has no endpoint."""
        clusters = (cluster(balancer=EmptyBalancer()), cluster(name=SHADOW))
        wire = Wire(snapshot(*clusters, routes=[route(mirrors=(Mirror(SHADOW),))]))
        client = wire.client()
        client.send(GET)
        self.assertEqual([r.status for r in client.responses()], [503])
        self.assertEqual((wire.attempts, wire.gateway.counters.mirrors_total), ([], 0))

    def test_request_breaks_off(self) -> None:
        """A request that breaks off does not look whole to the mirror."""
        client, mirror, _ = self.mirrored(UPLOAD % 6 + b"ab")
        client.close()
        self.assertTrue(mirror.transport.aborted)
        self.check_dropped()

    def test_client_leaves_after_the_request(self) -> None:
        """A copy that is whole stays under way when the client leaves."""
        client, mirror, _ = self.mirrored()
        client.close()
        self.assertFalse(mirror.closing)
        mirror.send(OK)
        self.check_dropped(0)

    def test_no_answer(self) -> None:
        """A mirror that does not answer is given up after the route's timeout, or a minute."""
        for seconds, fields in ((60, {}), (5, {"timeout": 5.0})):
            _, mirror, endpoint = self.mirrored(**fields)
            endpoint.send(OK)
            self.wire.reactor.advance(seconds - 0.1)
            self.assertFalse(mirror.closing)
            self.wire.reactor.advance(0.1)
            self.assertTrue(mirror.transport.aborted)
            self.check_dropped()

    def test_too_many(self) -> None:
        """There are no more than 1024 copies at a time; the requests are served all the same."""
        wire = Wire(snapshot(cluster(), cluster(name=SHADOW), routes=[route(mirrors=(Mirror(SHADOW),))]))
        for _ in range(1030):
            wire.client().send(GET)
        counters = wire.gateway.counters
        self.assertEqual((counters.mirrors_active, counters.mirrors_dropped_total), (1024, 6))
        self.assertEqual(len(wire.attempts), 1024 + 1030)
