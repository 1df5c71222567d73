"""What the data path counts of exchanges, by cluster."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.upstream.traffic import BUCKETS
from tests.fakes import CLUSTER, CountedCookie, FixedBalancer, Wire, cluster, endpoints, route, snapshot
from tests.http.test_exchange import GET, OK


class NoKey(CountedCookie):
    """A key that no request has."""

    def evaluate(self, request: object) -> None:  # type: ignore[override]
        return None


def counted(wire: Wire) -> dict[tuple[str, str], float]:
    """How many requests, by cluster and ``STATUS FLAGS``."""
    found = wire.gateway.requests()
    return {(name, key): sum(row[:BUCKETS]) for name, rows in found.items() for key, row in rows.items()}


class RequestTests(SynchronousTestCase):
    def test_places(self) -> None:
        """A request counts for its cluster, also when no endpoint answers; one that got to none counts by itself."""
        wire = Wire(snapshot(routes=[route("/x", retries=None), route("/gone", to="nowhere")]))
        client, endpoint = wire.pair(GET)
        endpoint.send(OK)
        endpoint.close()
        client.send(GET)
        wire.refuse()
        client.send(GET.replace(b"/x", b"/gone"))
        client.send(GET.replace(b"/x", b"/other"))
        client.send(b"nonsense\r\n\r\n")
        self.assertEqual(
            counted(wire),
            {
                (CLUSTER, "200 -"): 1,
                (CLUSTER, "503 UF"): 1,
                ("", "503 NC"): 1,
                ("", "404 NR"): 1,
                ("", "400 DPE"): 1,
            },
        )

    def test_sizes(self) -> None:
        """Bytes of both bodies are those of the access log."""
        wire = Wire()
        client, endpoint = wire.pair(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        endpoint.send(OK)
        (row,) = wire.gateway.requests()[CLUSTER].values()
        part = BUCKETS + 1
        self.assertEqual((row[2 * part - 1], row[3 * part - 1]), (3, 2))
        self.assertEqual(client.responses()[0].body, b"ok")

    def test_kept_over_reloads(self) -> None:
        """A cluster that changes goes on counting; one that is gone is forgotten."""
        wire = Wire()
        _, endpoint = wire.pair(GET)
        endpoint.send(OK)
        wire.gateway.install(snapshot(cluster(2)))
        self.assertEqual(counted(wire), {(CLUSTER, "200 -"): 1})
        wire.gateway.install(snapshot(cluster(name="other")))
        self.assertEqual(counted(wire), {})


class KeyTests(SynchronousTestCase):
    def counted(self, *keys: CountedCookie, uses_hash: bool = True) -> tuple[int, int]:
        """How many requests had no key, and how many got a new session, after one that is tried twice."""
        balancer = FixedBalancer(endpoints(2), uses_hash)
        wire = Wire(snapshot(cluster(2, balancer=balancer), routes=[route(hash_policy=keys)]))
        wire.client().send(GET)
        wire.refuse()
        wire.reactor.advance(0.025)
        wire.accept().send(OK)
        traffic = wire.gateway.upstreams.clusters[CLUSTER].traffic
        return traffic.without_key, traffic.with_new_session

    def test_without_key(self) -> None:
        """A request without any of the keys that are asked for counts once, however often it is tried."""
        self.assertEqual(self.counted(NoKey()), (1, 0))

    def test_new_session(self) -> None:
        """One for which a key is made up counts as a new session, once."""
        self.assertEqual(self.counted(NoKey(), CountedCookie()), (0, 1))

    def test_not_counted(self) -> None:
        """One that needs no key does not count."""
        self.assertEqual(self.counted(), (0, 0))
        self.assertEqual(self.counted(NoKey(), uses_hash=False), (0, 0))
