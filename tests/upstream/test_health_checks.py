"""What health checks say of endpoints decides which are chosen, wherever the checks are made."""

from __future__ import annotations

from typing import Any

from meshproxy.availability import Health
from meshproxy.policies import HealthCheck, OutlierDetection, Warmup
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.upstream.checking import Verdicts
from meshproxy.upstream.describing import look
from meshproxy.upstream.health import FIRST_CHECK_SECONDS, TABLE_SECONDS
from tests.upstream.test_health import NAME, HealthCase, endpoints

CHECK = HealthCheck()
NO_PANIC = OutlierDetection(consecutive_5xx=0)


class HealthCheckTests(HealthCase):
    def checked(self, count: int, **more: Any) -> None:
        self.serve(endpoints(count), outliers=more.pop("outliers", NO_PANIC), health_check=CHECK, **more)

    def verdict(self, passing: str = "", **failing: str) -> None:
        """Ports that pass, such as ``12``, and ports that fail as ``p3="why"``; then the reactor has a turn."""
        keys = frozenset(f"10.0.0.1:{port}" for port in passing)
        whys = {f"10.0.0.1:{port[1:]}": why for port, why in failing.items()}
        self.upstreams.apply([Verdicts(NAME, keys, whys)])
        self.turn()

    def test_out_and_back(self) -> None:
        """An endpoint that fails is not picked until it passes again; then the configured balancer serves."""
        self.checked(3)
        self.verdict("13", p2="refused")
        self.assertEqual(self.picked(), {1, 3})
        self.verdict("123")
        self.assertEqual(self.picked(), {1, 2, 3})
        self.assertIs(self.state.balancer, self.state.cluster.balancer)

    def test_before_the_first_checks(self) -> None:
        """A new cluster is served whole until all have been checked once, but for what has failed already."""
        self.checked(3)
        self.assertEqual(self.picked(), {1, 2, 3})
        self.verdict("1", p2="refused")
        self.assertEqual(self.picked(), {1, 3})
        self.clock.advance(FIRST_CHECK_SECONDS)
        self.turn()
        self.assertEqual(self.picked(), {1})
        self.verdict("13", p2="refused")
        self.assertEqual(self.picked(), {1, 3})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_new_endpoint(self) -> None:
        """An endpoint that comes to a cluster in service gets no request before it has passed a check."""
        self.checked(2)
        self.verdict("12")
        self.checked(3)
        self.turn()
        self.assertEqual(self.picked(), {1, 2})
        self.verdict("123")
        self.assertEqual(self.picked(), {1, 2, 3})

    def test_reload(self) -> None:
        """What is known outlives a reload, and also comes before the cluster that it is about."""
        self.upstreams.apply([Verdicts(NAME, frozenset({"10.0.0.1:1"}), {"10.0.0.1:2": "no"})])
        self.checked(2)
        self.turn()
        self.assertEqual(self.picked(), {1})
        self.checked(2, connect_timeout=3.0)
        self.turn()
        self.assertEqual(self.picked(), {1})

    def test_rule_taken_away(self) -> None:
        """Without a check everybody is healthy again."""
        self.checked(2)
        self.verdict("1", p2="no")
        self.serve(endpoints(2), outliers=NO_PANIC)
        self.turn()
        self.assertEqual(self.picked(), {1, 2})

    def test_panic(self) -> None:
        """With too few healthy endpoints all are used, by the threshold of outlier detection, else by Envoy's."""
        self.checked(3)
        self.verdict("1", p2="no", p3="no")
        self.assertEqual(self.picked(), {1})
        self.checked(3, outliers=None)
        self.turn()
        self.assertEqual(self.picked(), {1, 2, 3})
        self.verdict("12", p3="no")
        self.assertEqual(self.picked(), {1, 2})

    def test_with_ejections(self) -> None:
        """An endpoint is picked only while it is neither ejected nor failing."""
        self.checked(3, outliers=OutlierDetection(consecutive_5xx=1, base_ejection_time=10, max_ejection_percent=100))
        self.verdict("12", p3="no")
        self.answer(500, 1)
        self.turn()
        self.assertEqual(self.picked(), {2})
        self.verdict("123")
        self.assertEqual(self.picked(), {2, 3})

    def test_warms_up_again(self) -> None:
        """An endpoint that passes again is new: it gets its share little by little."""
        self.checked(2, warmup=Warmup(100))
        self.verdict("12")
        self.clock.advance(1000)
        self.verdict("1", p2="no")
        self.clock.advance(10)
        self.verdict("12")
        since = {host.port: host.since for host in self.state.hosts.values()}
        self.assertEqual((since[1], since[2]), (0, self.clock.seconds()))

    def test_tables(self) -> None:
        """A table is rebuilt in a thread, at most once in a second, whatever flaps; the old one serves meanwhile."""
        self.in_threads()
        self.serve(endpoints(5), RingHashBuilder(), NO_PANIC, health_check=CHECK)
        self.verdict("2345", p1="no")
        self.assertEqual(len(self.threads), 1)
        self.assertEqual(self.picked(), {1, 2, 3, 4, 5})
        self.finish()
        self.assertEqual(self.picked(), {2, 3, 4, 5})
        for _ in range(5):
            self.verdict("1345", p2="no")
            self.verdict("2345", p1="no")
            self.verdict("1345", p2="no")
        self.assertEqual(self.threads, [])
        self.clock.advance(TABLE_SECONDS)
        self.finish()
        self.assertEqual((self.picked(), self.threads), ({1, 3, 4, 5}, []))

    def test_status(self) -> None:
        """The status says since when and why an endpoint does not pass, and from when on it passes again."""
        self.checked(2)
        self.clock.advance(1)
        self.verdict("1", p2="status 503")
        self.clock.advance(5)
        found = list(look(self.state)[1])[1]
        self.assertEqual((found.health, found.reason, found.since), (Health.UNHEALTHY, "health check: status 503", 1))
        self.verdict("12")
        found = list(look(self.state)[1])[1]
        self.assertEqual((found.health, found.reason, found.since), (Health.HEALTHY, "", 6))

    def test_cluster_gone(self) -> None:
        """A cluster that is gone leaves no timer and no verdict behind."""
        self.checked(2)
        self.upstreams.apply([Verdicts(NAME)])
        self.upstreams.update({})
        self.assertEqual((self.clock.getDelayedCalls(), self.upstreams.verdicts), ([], {}))
