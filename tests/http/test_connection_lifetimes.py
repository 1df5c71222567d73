"""How long a connection to an endpoint is used: requests, idleness, age; what a reload leaves of pools and limits."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Cluster
from meshproxy.policies import Keepalive
from meshproxy.upstream.pool import MOST_IDLE
from meshproxy.upstream.poolstate import HostPoolState, host_pool_state
from tests.fakes import CLUSTER, Wire, cluster, snapshot
from tests.http.test_exchange import OK
from tests.http.test_pools import asking, breakers, limited, statuses


class Lifetimes(SynchronousTestCase):
    """Connections that end although nobody broke them."""

    def test_requests(self) -> None:
        """A connection ends after so many requests, and what waits gets another one."""
        wire = limited(max_connections=1, max_requests_per_connection=2)
        clients = asking(wire, 3)
        endpoint = wire.accept()
        endpoint.send(OK)
        endpoint.send(OK)
        self.assertEqual((statuses(clients), endpoint.closing), ([200, 200, 0], True))
        endpoint.settle()
        wire.accept().send(OK)
        self.assertEqual(statuses(clients), [0, 0, 200])

    def test_idle(self) -> None:
        """An idle connection ends within a second of its time; one that is used now and then stays."""
        wire = limited(idle_timeout=10.0)
        asking(wire, 2)
        unused, used = wire.accept(), wire.accept()
        unused.send(OK)
        used.send(OK)
        for _ in range(9):
            wire.reactor.advance(1)
            asking(wire, 1)
            used.send(OK)
        self.assertFalse(unused.closing)
        wire.reactor.advance(1)
        wire.reactor.advance(1)
        self.assertEqual((unused.closing, used.closing), (True, False))
        wire.reactor.pump([1.0] * 10)
        self.assertTrue(used.closing)

    def test_idle_for_a_moment(self) -> None:
        """A short time is kept within a quarter of it."""
        wire = limited(idle_timeout=0.4)
        asking(wire, 1)
        endpoint = wire.accept()
        endpoint.send(OK)
        wire.reactor.pump([0.1] * 2)
        self.assertFalse(endpoint.closing)
        wire.reactor.pump([0.1] * 3)
        self.assertTrue(endpoint.closing)

    def test_idle_by_default(self) -> None:
        """Without a rule it is an hour, and never where that is what was said."""
        for limits, closed in (({}, True), ({"idle_timeout": None}, False)):
            wire = limited(**limits)
            asking(wire, 1)
            endpoint = wire.accept()
            endpoint.send(OK)
            wire.reactor.advance(3590)
            self.assertFalse(endpoint.closing)
            wire.reactor.advance(11)
            self.assertEqual(endpoint.closing, closed, limits)

    def test_never_used(self) -> None:
        """A connection for which there was no request any more ends as well."""
        wire = limited(idle_timeout=10.0)
        (client,) = asking(wire, 1)
        client.close()
        endpoint = wire.accept()
        wire.reactor.pump([1.0] * 11)
        self.assertTrue(endpoint.closing)

    def test_age(self) -> None:
        """A connection that is too old finishes what it carries and ends; an idle one ends at once."""
        wire = limited(max_connection_duration=10.0)
        clients = asking(wire, 2)
        busy, idle = wire.accept(), wire.accept()
        idle.send(OK)
        wire.reactor.pump([1.0] * 11)
        self.assertEqual((busy.closing, idle.closing), (False, True))
        busy.send(OK)
        self.assertEqual((statuses(clients), busy.closing), ([200, 200], True))

    def test_one_timer(self) -> None:
        """All connections have one timer together, and it ends with the last of them."""
        wire = Wire(snapshot(cluster(3)))
        before = len(wire.reactor.getDelayedCalls())
        asking(wire, 5)
        peers = [wire.accept() for _ in range(5)]
        self.assertEqual(len(wire.reactor.getDelayedCalls()), before + 1)
        for peer in peers:
            peer.close()
        self.assertEqual(len(wire.reactor.getDelayedCalls()), before)

    def test_most_idle(self) -> None:
        """No more idle connections are kept to a host than are of use, the latest ones."""
        wire = Wire()
        asking(wire, MOST_IDLE + 1)
        peers = [wire.accept() for _ in range(MOST_IDLE + 1)]
        for peer in peers:
            peer.send(OK)
        wire.reactor.advance(1)
        self.assertEqual([peer.closing for peer in peers], [True] + [False] * MOST_IDLE)

    def test_keepalive(self) -> None:
        """The system is asked to probe silent connections where the rule says so."""
        for limits, expected in (({}, None), ({"keepalive": Keepalive(7, 3, 2)}, Keepalive(7, 3, 2))):
            wire = limited(**limits)
            asking(wire, 1)
            self.assertEqual(wire.accept().transport.kept_alive, expected)


class Reloads(SynchronousTestCase):
    """What another snapshot does to connections, queues and counts."""

    def install(self, wire: Wire, *clusters: Cluster) -> None:
        wire.gateway.install(snapshot(*clusters))

    def test_unchanged(self) -> None:
        """Connections outlive a snapshot whose cluster has the same pool, be it another object."""
        wire = limited(max_connections=1)
        asking(wire, 1)
        endpoint = wire.accept()
        endpoint.send(OK)
        self.install(wire, cluster(2, max_connections=1))
        endpoint.take()
        asking(wire, 1)
        self.assertTrue(endpoint.take())

    def test_changed(self) -> None:
        """With other settings idle connections end at once, and busy ones when they have their answer."""
        wire = limited(idle_timeout=10.0)
        clients = asking(wire, 2)
        busy, idle = wire.accept(), wire.accept()
        idle.send(OK)
        self.install(wire, cluster(idle_timeout=20.0))
        self.assertEqual((busy.closing, idle.closing), (False, True))
        busy.send(OK)
        self.assertEqual((statuses(clients), busy.closing), ([200, 200], True))
        asking(wire, 1)
        self.assertEqual(len(wire.attempts), 1)

    def test_counts_stay(self) -> None:
        """What is under way counts for the limits of the next snapshot."""
        wire = limited()
        clients = asking(wire, 2)
        peers = [wire.accept(), wire.accept()]
        self.install(wire, cluster(max_requests=2))
        self.assertEqual((breakers(wire).requests, breakers(wire).connections), (2, 2))
        clients += asking(wire, 1)
        wire.accept()
        self.assertEqual(statuses(clients), [0, 0, 503])
        for peer in peers:
            peer.send(OK)
            peer.settle()
        self.assertEqual((breakers(wire).requests, breakers(wire).connections), (0, 1))

    def test_higher_limit(self) -> None:
        """Requests that wait at a limit go on at once when it is raised."""
        wire = limited(max_connections=1)
        clients = asking(wire, 3)
        endpoint = wire.accept()
        self.install(wire, cluster(max_connections=10))
        self.assertEqual(len(wire.attempts), 2)
        for peer in (wire.accept(), wire.accept(), endpoint):
            peer.send(OK)
        self.assertEqual(statuses(clients), [200, 200, 200])

    def test_lower_limit(self) -> None:
        """A lower limit keeps what is under way and takes nothing more."""
        wire = limited()
        clients = asking(wire, 2)
        peers = [wire.accept(), wire.accept()]
        self.install(wire, cluster(max_connections=1))
        clients += asking(wire, 2)
        wire.accept().send(OK, OK)  # the first one of the new pool
        for peer in peers:
            peer.send(OK)
        self.assertEqual(statuses(clients), [200, 200, 200, 200])

    def test_waiting_client_leaves(self) -> None:
        """Who waited before a reload can leave after it."""
        wire = limited(max_connections=1)
        clients = asking(wire, 2)
        wire.accept()
        self.install(wire, cluster(max_connections=1, max_pending=5))
        clients[1].close()
        self.assertEqual(breakers(wire).pending, 0)

    def test_endpoint_leaves(self) -> None:
        """What waits for an endpoint that leaves still goes there; then its connections end."""
        wire = limited(2, max_connections=1)
        clients = asking(wire, 2)
        endpoint = wire.accept()
        reduced = cluster(2, max_connections=1)
        members = reduced.endpoints[1:]
        balancer = type(reduced.balancer)(members)  # type: ignore[call-arg]
        self.install(wire, Cluster(CLUSTER, members, balancer, balancer, pool=reduced.pool))
        endpoint.send(OK)
        self.assertFalse(endpoint.closing)
        endpoint.send(OK)
        self.assertEqual((statuses(clients), endpoint.closing), ([200, 200], True))


class States(SynchronousTestCase):
    def test_pool_state(self) -> None:
        """The state of a cluster has its limits, what is under way, what was refused, and each host's share."""
        wire = limited(2, max_connections=2, max_pending=1)
        asking(wire, 1)
        wire.accept().send(OK)
        asking(wire, 4)
        state = wire.gateway.upstreams.clusters[CLUSTER]
        found = state.breakers
        self.assertEqual((state.name, state.cluster.pool.max_connections), (CLUSTER, 2))
        self.assertEqual((found.connections, found.pending, found.requests, found.retries), (2, 1, 1, 0))
        self.assertEqual((found.pending_overflows, found.request_overflows, found.retry_overflows), (2, 0, 0))
        self.assertEqual(
            tuple(map(host_pool_state, state.hosts.values())),
            (
                HostPoolState("192.0.2.1:8080", connections=2, connecting=1, idle=0, pending=1, active=1),
                HostPoolState("192.0.2.2:8080", connections=0, connecting=0, idle=0, pending=0, active=0),
            ),
        )
