"""Limits of connections and requests: who waits, in which order, who is refused, and what the refusal looks like."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.policies import OutlierDetection, RetryBudget
from meshproxy.routes import Mirror, RetryPolicy
from meshproxy.upstream.breakers import CircuitBreakers
from tests.fakes import CLUSTER, Peer, Wire, cluster, route, snapshot
from tests.http.test_exchange import GET, OK, RESET
from tests.http.test_upgrading import agreeing
from tests.http.test_upgrading import asking as asking_to_upgrade

POST = b"POST /form HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nabcd"


def limited(count: int = 1, **limits: Any) -> Wire:
    return Wire(snapshot(cluster(count, **limits)))


def breakers(wire: Wire) -> CircuitBreakers:
    return wire.gateway.upstreams.clusters[CLUSTER].breakers


def asking(wire: Wire, number: int, request: bytes = GET) -> list[Peer]:
    """So many clients that have asked, in this order."""
    clients = [wire.client() for _ in range(number)]
    for client in clients:
        client.send(request)
    return clients


def statuses(clients: list[Peer]) -> list[int]:
    """What each was answered since the last time; 0 for none."""
    return [found[0].status if (found := client.responses()) else 0 for client in clients]


def turn_to_second_host(wire: Wire) -> None:
    """Let the first choice be the other one of two hosts from now on."""
    balancer: Any = wire.gateway.upstreams.clusters[CLUSTER].cluster.balancer
    balancer.endpoints = balancer.endpoints[::-1]


class Overflow(SynchronousTestCase):
    """Requests for which there is no room."""

    def test_answer(self) -> None:
        """503 with a header, a body and log fields of its own; the client's connection stays."""
        wire = limited(max_pending=1)
        _, refused = asking(wire, 2)
        (response,) = refused.responses()
        self.assertEqual((response.status, response.body), (503, RESET + b"reset reason: overflow"))
        names = [name for name, _ in response.headers]
        self.assertEqual(names, [b"x-envoy-overloaded", b"content-length", b"content-type", b"date", b"server"])
        self.assertEqual(response[b"x-envoy-overloaded"], b"true")
        (logged,) = wire.log.exchanges
        self.assertEqual((logged.flags, logged.details), (b"UO", b"upstream_reset_before_response_started{overflow}"))
        self.assertEqual(logged.upstream_host, b"192.0.2.1:8080")
        self.assertFalse(refused.closing)

    def test_head(self) -> None:
        """HEAD is refused without a body."""
        wire = limited(max_pending=1)
        asking(wire, 1)
        client = wire.client()
        client.send(b"HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        self.assertTrue(client.take().endswith(b"\r\n\r\n"))

    def test_pending(self) -> None:
        """Requests that wait for their own connection count as pending; those with a connection do not."""
        wire = limited(max_pending=2)
        clients = asking(wire, 3)
        self.assertEqual(statuses(clients), [0, 0, 503])
        wire.accept()
        clients += asking(wire, 2)
        self.assertEqual(statuses(clients), [0, 0, 0, 0, 503])
        self.assertEqual(breakers(wire).pending_overflows, 2)

    def test_requests(self) -> None:
        """A request that finds an idle connection is refused where enough are under way; then there is room again."""
        wire = limited(max_requests=1)
        clients = asking(wire, 1)
        endpoint = wire.accept()
        endpoint.send(OK)
        self.assertEqual(statuses(clients), [200])
        clients = asking(wire, 2)
        wire.accept().close()
        self.assertEqual(statuses(clients), [0, 503])
        endpoint.send(OK)
        self.assertEqual(statuses(clients), [200, 0])
        self.assertEqual(statuses(asking(wire, 1)), [0])
        self.assertEqual(breakers(wire).request_overflows, 1)

    def test_requests_of_all_hosts(self) -> None:
        """What waits for a connection is refused when it is there, if other hosts of the cluster have the rest."""
        wire = limited(2, max_requests=1)
        clients = asking(wire, 2)
        wire.accept()
        wire.accept()
        self.assertEqual(statuses(clients), [0, 503])
        self.assertEqual(breakers(wire).requests, 1)

    def test_pipelined(self) -> None:
        """A refusal is one answer of its connection, and the next request is looked at afresh."""
        wire = limited(max_pending=1)
        asking(wire, 1)
        client = wire.client()
        client.send(GET * 3)
        self.assertEqual([it.status for it in client.responses()], [503, 503, 503])

    def test_upload(self) -> None:
        """A request whose body is still to come is refused at once, and ends its connection."""
        wire = limited(max_pending=1)
        asking(wire, 1)
        client = wire.client()
        client.send(POST[:-2])
        self.assertEqual(client.responses()[0].status, 503)
        client.send(POST[-2:])
        self.assertTrue(client.closing or client.transport.half_closed)

    def test_not_the_fault_of_the_endpoint(self) -> None:
        """What a limit refuses counts for nothing where failing endpoints are ejected."""
        ejecting = evolve(
            cluster(max_pending=1), outliers=OutlierDetection(consecutive_5xx=1, max_ejection_percent=100)
        )
        wire = Wire(snapshot(ejecting))
        self.assertEqual(statuses(asking(wire, 3)), [0, 503, 503])
        (host,) = wire.gateway.upstreams.clusters[CLUSTER].hosts.values()
        self.assertFalse(host.is_ejected)
        wire.accept().send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(host.is_ejected)

    def test_mirror(self) -> None:
        """A copy for which there is no room is dropped, and the request itself goes on."""
        copied = cluster(name="copies", max_pending=1)
        wire = Wire(snapshot(cluster(), copied, routes=[route(mirrors=(Mirror("copies"),))]))
        clients = asking(wire, 2)
        self.assertEqual(statuses(clients), [0, 0])
        self.assertEqual(wire.gateway.counters.mirrors_dropped_total, 1)
        self.assertEqual(wire.gateway.upstreams.clusters["copies"].breakers.pending, 1)


class Queue(SynchronousTestCase):
    """Requests that wait for a connection."""

    def test_order(self) -> None:
        """At the limit of connections requests wait, and the one that has waited longest is next."""
        wire = limited(max_connections=1)
        clients = asking(wire, 4)
        endpoint = wire.accept()
        self.assertEqual(wire.attempts, [])
        for expected in ([200, 0, 0, 0], [0, 200, 0, 0], [0, 0, 200, 0], [0, 0, 0, 200]):
            endpoint.send(OK)
            self.assertEqual(statuses(clients), expected)
        self.assertEqual(breakers(wire).pending, 0)
        self.assertGreater(breakers(wire).connection_overflows, 0)

    def test_freed_before_made(self) -> None:
        """A connection that becomes free carries what waits for one that is still being made; that one is kept."""
        wire = limited()
        first = asking(wire, 1)
        endpoint = wire.accept()
        second = asking(wire, 1)
        self.assertEqual(len(wire.attempts), 1)
        endpoint.take()
        endpoint.send(OK)
        self.assertTrue(endpoint.take().startswith(b"GET"))
        spare = wire.accept()
        self.assertEqual(spare.take(), b"")
        endpoint.send(OK)
        self.assertEqual(statuses(first + second), [200, 200])
        asking(wire, 2)
        self.assertEqual((wire.attempts, bool(endpoint.take()), bool(spare.take())), ([], True, True))

    def test_body_waits(self) -> None:
        """No more than a buffer of a body is taken while its request waits, and all of it is sent then."""
        wire = limited(max_connections=1)
        asking(wire, 1)
        endpoint = wire.accept()
        endpoint.take()
        client = wire.client()
        body = b"x" * 200_000
        client.send(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 200000\r\n\r\n", body[:100_000])
        self.assertTrue(client.paused)
        endpoint.send(OK)
        self.assertFalse(client.paused)
        client.send(body[100_000:])
        self.assertTrue(endpoint.take().endswith(b"\r\n\r\n" + body))

    def test_client_leaves(self) -> None:
        """Who leaves loses the place in the queue, and is never sent."""
        wire = limited(max_connections=1)
        clients = asking(wire, 3)
        endpoint = wire.accept()
        endpoint.take()
        clients[1].close()
        self.assertEqual(breakers(wire).pending, 1)
        endpoint.send(OK)
        self.assertEqual(endpoint.take().count(b"GET"), 1)
        endpoint.send(OK)
        self.assertEqual(statuses([clients[0], clients[2]]), [200, 200])
        self.assertEqual(breakers(wire).requests, 0)

    def test_timeout(self) -> None:
        """The route's time runs while a request waits; its place becomes free."""
        wire = Wire(snapshot(cluster(max_connections=1), routes=[route(timeout=5.0)]))
        clients = asking(wire, 1)
        wire.accept()
        wire.reactor.advance(3)
        clients += asking(wire, 1)
        wire.reactor.advance(2)
        self.assertEqual((statuses(clients), breakers(wire).pending), ([504, 0], 1))
        wire.reactor.advance(3)
        self.assertEqual((statuses(clients), breakers(wire).pending), ([0, 504], 0))

    def test_lost_connection(self) -> None:
        """When the only connection goes, another one is made for what waits."""
        wire = limited(max_connections=1)
        clients = asking(wire, 2)
        wire.accept().close()
        self.assertEqual((statuses(clients), len(wire.attempts)), ([503, 0], 1))
        wire.accept().send(OK)
        self.assertEqual(statuses(clients), [0, 200])

    def test_connect_failure(self) -> None:
        """What waits at a host hears when it cannot be reached, so that it may try another one."""
        wire = limited(2, max_connections=1)
        clients = asking(wire, 3)
        wire.refuse()
        self.assertEqual(breakers(wire).pending, 0)
        wire.reactor.advance(0.025)
        self.assertEqual(wire.attempts, ["192.0.2.2:8080"])
        endpoint = wire.accept()
        for _ in clients:
            endpoint.send(OK)
        self.assertEqual(statuses(clients), [200, 200, 200])

    def test_host_without_connection(self) -> None:
        """At the limit of the cluster a host without a connection gets one all the same, and no second one."""
        wire = limited(2, max_connections=1)
        clients = asking(wire, 1)
        wire.accept()
        state = wire.gateway.upstreams.clusters[CLUSTER]
        other = list(state.hosts.values())[1]
        turn_to_second_host(wire)
        clients += asking(wire, 2)
        self.assertEqual(wire.attempts, ["192.0.2.2:8080"])
        self.assertEqual((other.pool.opened, state.breakers.connections), (1, 2))
        wire.accept().send(OK, OK)
        self.assertEqual(statuses(clients), [0, 200, 200])


class Retried(SynchronousTestCase):
    """Retries, and requests that are repeated because a kept connection had died."""

    def test_no_room(self) -> None:
        """A retry for which there is no room does not take place: the response goes on as it is."""
        policy = RetryPolicy(2, conditions=frozenset({"5xx"}))
        wire = Wire(snapshot(cluster(max_retries=1), routes=[route(retries=policy)]))
        clients = asking(wire, 2)
        peers = [wire.accept(), wire.accept()]
        for peer in peers:
            peer.send(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno")
        (response,) = clients[1].responses()
        self.assertEqual((response.status, response.body), (500, b"no"))
        self.assertEqual(wire.log.exchanges[0].flags, b"UO")
        self.assertEqual((breakers(wire).retries, breakers(wire).retry_overflows), (1, 1))
        wire.reactor.advance(0.025)
        peers[1].send(OK)  # which is idle by now
        self.assertEqual((statuses(clients), breakers(wire).retries), ([200, 0], 0))

    def test_connect_failure_without_room(self) -> None:
        """A connection that fails is told with both flags when there is no room for a retry."""
        wire = Wire(snapshot(cluster(max_retries=1)))
        clients = asking(wire, 2)
        wire.refuse()
        self.assertEqual(statuses(clients), [0, 503])
        self.assertEqual(wire.log.exchanges[0].flags, b"UO,UF")

    def test_ends(self) -> None:
        """A retry does not count any more when its response begins, its client leaves, or it fails for good."""
        for end in ("response", "client", "failure"):
            wire = Wire(snapshot(cluster(max_retries=1), routes=[route(retries=RetryPolicy(1))]))
            (client,) = asking(wire, 1)
            wire.refuse()
            self.assertEqual(breakers(wire).retries, 1)
            wire.reactor.advance(0.025)
            if end == "response":
                wire.accept().send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            elif end == "client":
                client.close()
            else:
                wire.refuse()
            self.assertEqual(breakers(wire).retries, 0, end)

    def test_ends_with_a_tunnel(self) -> None:
        """Nor while a tunnel lasts that the retry has led to."""
        wire = limited(max_retries=1)
        asking(wire, 1, asking_to_upgrade())
        wire.refuse()
        wire.reactor.advance(0.025)
        wire.accept().send(agreeing())
        self.assertEqual((wire.gateway.counters.tunnels_active, breakers(wire).requests), (1, 1))
        self.assertEqual(breakers(wire).retries, 0)

    def test_overflow_after_retry(self) -> None:
        """The refusal of a further try says that it is one, and no try follows."""
        wire = Wire(snapshot(cluster(2, max_pending=1)))
        clients = asking(wire, 1)
        wire.refuse()
        clients += asking(wire, 1)
        wire.reactor.advance(0.025)
        (response,) = clients[0].responses()
        self.assertEqual(response.body, RESET + b"retried and the latest reset reason: overflow")
        self.assertEqual(wire.log.exchanges[0].flags, b"UO")

    def test_budget(self) -> None:
        """A budget is a share of what is under way and waits, but never less than its minimum."""
        breakers = CircuitBreakers(cluster(retry_budget=RetryBudget(50.0, 1), max_retries=0).pool)
        self.assertEqual([breakers.begin_retry(), breakers.begin_retry()], [True, False])
        breakers.requests, breakers.pending = 3, 2
        self.assertEqual([breakers.begin_retry(), breakers.begin_retry()], [True, False])
        breakers.end_retry()
        self.assertTrue(breakers.begin_retry())

    def test_replay_over_new_connection(self) -> None:
        """A request whose kept connection had died goes over a new one, before those that wait for any."""
        wire = limited(max_connections=1)
        clients = asking(wire, 1)
        endpoint = wire.accept()
        endpoint.send(OK)
        clients += asking(wire, 2)
        endpoint.close()
        self.assertEqual(len(wire.attempts), 1)
        fresh = wire.accept()
        fresh.send(OK)
        self.assertEqual(statuses(clients), [200, 200, 0])
        fresh.send(OK)
        self.assertEqual(statuses(clients), [0, 0, 200])

    def test_replay_waits_for_new_connection(self) -> None:
        """A connection that becomes free meanwhile carries another request."""
        wire = limited(max_connections=2)
        clients = asking(wire, 2)
        kept, busy = wire.accept(), wire.accept()
        kept.send(OK)
        clients += asking(wire, 2)
        kept.close()
        busy.take()
        busy.send(OK)
        self.assertEqual((statuses(clients), bool(busy.take())), ([200, 200, 0, 0], True))
        wire.accept().send(OK)
        self.assertEqual(statuses(clients), [0, 0, 200, 0])

    def test_replay_without_room(self) -> None:
        """Where no new connection may be made, a repeated request takes any instead of waiting for ever."""
        wire = limited(2, max_connections=2)
        clients = asking(wire, 2)
        kept, busy = wire.accept(), wire.accept()
        kept.send(OK)
        turn_to_second_host(wire)
        clients += asking(wire, 1)
        wire.accept()  # the first connection of the other host, above the limit
        turn_to_second_host(wire)
        clients += asking(wire, 1)
        kept.close()
        self.assertEqual(wire.attempts, [])
        busy.send(OK)
        busy.send(OK)
        self.assertEqual(statuses(clients), [200, 200, 0, 200])
