"""Endpoints are ejected and return when Envoy would do it."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.policies import OutlierDetection
from meshproxy.upstream.outliers import Detector, Monitor, Reason


@define(eq=False)
class Host:
    key: str
    monitor: Any = None


@define
class Events:
    """What happened, as text."""

    clock: Clock
    said: list[str] = field(factory=list)

    def ejected(self, monitor: Monitor) -> None:
        assert monitor.reason is not None
        self.said.append(f"{monitor.host.key} {monitor.reason.value}")

    def returned(self, monitor: Monitor, seconds: float) -> None:
        self.said.append(f"{monitor.host.key} back after {seconds:g}")

    def spared(self, monitor: Monitor) -> None:
        self.said.append(f"{monitor.host.key} spared")

    def let_go(self, monitor: Monitor) -> None:
        self.said.append(f"{monitor.host.key} let go")


class OutlierCase(SynchronousTestCase):
    def detect(self, count: int = 1, **policy: Any) -> None:
        """Begin to watch so many endpoints, all of which may be ejected."""
        self.clock = Clock()
        self.events = Events(self.clock)
        self.policy = OutlierDetection(**{"max_ejection_percent": 100, **policy})
        self.detector = Detector(self.policy, self.clock, self.events)
        self.hosts = [Host(chr(ord("a") + number)) for number in range(count)]
        self.detector.watch(self.hosts)

    def answer(self, *statuses: int, host: int = 0) -> None:
        for status in statuses:
            self.hosts[host].monitor.responded(status)

    def said(self) -> list[str]:
        """What happened since this was last asked."""
        said, self.events.said = self.events.said, []
        return said

    def advance(self, seconds: float) -> None:
        """In steps as long as an interval, so that each tick has its time."""
        until = self.clock.seconds() + seconds
        while self.clock.seconds() < until - 1e-9:
            self.clock.advance(min(self.policy.interval, until - self.clock.seconds()))


class CountingTests(OutlierCase):
    def test_5xx(self) -> None:
        """So many responses of 5xx in a row; any other one ends the row."""
        self.detect(consecutive_5xx=3)
        self.answer(500, 599, 200, 500, 503, 404, 500, 501)
        self.assertEqual(self.said(), [])
        self.answer(504)
        self.assertEqual(self.said(), ["a consecutive_5xx"])

    def test_gateway_errors(self) -> None:
        """502, 503 and 504 have a row of their own, which other failures end too."""
        self.detect(consecutive_5xx=0, consecutive_gateway_errors=3)
        self.answer(502, 503, 500, 503, 504, 200, 502, 503)
        self.assertEqual(self.said(), [])
        self.answer(504)
        self.assertEqual(self.said(), ["a consecutive_gateway_errors"])

    def test_both(self) -> None:
        """A gateway error counts in both rows; where both are full, it is one ejection."""
        self.detect(consecutive_5xx=3, consecutive_gateway_errors=3)
        self.answer(503, 503, 503)
        self.assertEqual(self.said(), ["a consecutive_gateway_errors"])

    def test_switched_off(self) -> None:
        """A count of 0 never ejects."""
        self.detect(consecutive_5xx=0)
        self.answer(*[503] * 50)
        self.assertEqual(self.said(), [])

    def test_local_failures_count_as_responses(self) -> None:
        """Without a split, a failed connection is a 503 and a timeout a 504; a connection alone resets nothing."""
        self.detect(consecutive_5xx=4, consecutive_gateway_errors=4)
        monitor = self.hosts[0].monitor
        monitor.failed()
        monitor.timed_out()
        monitor.connected()
        self.answer(503)
        self.assertEqual(self.said(), [])
        monitor.failed()
        self.assertEqual(self.said(), ["a consecutive_gateway_errors"])

    def test_split(self) -> None:
        """With a split they have a row of their own, which a connection ends; responses have nothing to do with it."""
        self.detect(split_local_origin=True, consecutive_local_origin_failures=2, consecutive_5xx=3)
        monitor = self.hosts[0].monitor
        monitor.failed()
        monitor.connected()
        monitor.timed_out()
        self.answer(500, 500)
        self.assertEqual(self.said(), [])
        monitor.failed()
        self.assertEqual(self.said(), ["a consecutive_local_origin_failures"])

    def test_own_statuses(self) -> None:
        """Where statuses are given, they alone are failures, those below 500 too; all others end a row."""
        self.detect(consecutive_5xx=3, error_statuses=frozenset({404, 500}))
        self.answer(404, 500, 503, 404, 404)
        self.assertEqual(self.said(), [])
        self.answer(500)
        self.assertEqual(self.said(), ["a consecutive_5xx"])

    def test_own_statuses_of_gateways(self) -> None:
        """One that is a gateway error is counted as such; a failed connection is, whatever the statuses."""
        self.detect(consecutive_5xx=0, consecutive_gateway_errors=2, error_statuses=frozenset({502}))
        self.answer(502)
        self.hosts[0].monitor.failed()
        self.assertEqual(self.said(), ["a consecutive_gateway_errors"])

    def test_grpc(self) -> None:
        """What a gRPC status means is what counts, unless statuses of HTTP are given."""
        self.detect(consecutive_5xx=2)
        for _ in range(2):
            self.hosts[0].monitor.responded(200, 503)
        self.assertEqual(self.said(), ["a consecutive_5xx"])
        self.detect(consecutive_5xx=2, error_statuses=frozenset({500}))
        for _ in range(2):
            self.hosts[0].monitor.responded(200, 503)
        self.assertEqual(self.said(), [])


class LimitTests(OutlierCase):
    def test_default(self) -> None:
        """With 10 percent, none of nine endpoints may be ejected and one of ten."""
        for count, expected in ((9, ["a spared"]), (10, ["a consecutive_5xx"])):
            self.detect(count, consecutive_5xx=1, max_ejection_percent=10)
            self.answer(500)
            self.assertEqual(self.said(), expected)

    def test_half(self) -> None:
        """With 50 percent, two of four are ejected; the third is not, and its row begins anew."""
        self.detect(4, consecutive_5xx=2, max_ejection_percent=50)
        for host in range(3):
            self.answer(500, 500, host=host)
        self.assertEqual(self.said(), ["a consecutive_5xx", "b consecutive_5xx", "c spared"])
        self.answer(500, host=2)
        self.assertEqual(self.said(), [])
        self.answer(500, host=2)
        self.assertEqual(self.said(), ["c spared"])

    def test_followed(self) -> None:
        """An ejection elsewhere makes one here that came later end, if both are too many, and never the earlier one."""
        self.detect(4, consecutive_5xx=1, max_ejection_percent=25)
        self.advance(2)
        self.answer(500, host=1)
        self.said()
        monitors, reason = self.detector.monitors, Reason.CONSECUTIVE_5XX
        self.detector.follow(monitors[2], reason, since=2.5, multiplier=1)
        self.assertEqual((self.said(), self.detector.ejected), (["c let go"], [monitors[1]]))
        self.detector.follow(monitors[0], reason, since=1.5, multiplier=1)
        self.assertEqual((self.said(), self.detector.ejected), (["b spared", "b back after 0"], [monitors[0]]))

    def test_only_once(self) -> None:
        """What still fails while it is ejected is not ejected again, and begins anew when it is back."""
        self.detect(consecutive_5xx=2, interval=1, base_ejection_time=1)
        self.answer(*[500] * 9)
        self.assertEqual(self.said(), ["a consecutive_5xx"])
        self.advance(2)
        self.said()
        self.answer(500)
        self.assertEqual(self.said(), [])
        self.answer(500)
        self.assertEqual(self.said(), ["a consecutive_5xx"])


class TimeTests(OutlierCase):
    def test_ticks(self) -> None:
        """It is over at the first tick after the base time; ticks are counted from the beginning of all."""
        self.detect(consecutive_5xx=1, interval=10, base_ejection_time=15)
        self.clock.advance(4)
        self.answer(500)
        self.said()
        self.clock.pump([6, 9])
        self.assertEqual(self.said(), [])
        self.clock.advance(1)
        self.assertEqual(self.said(), ["a back after 16"])

    def test_growth(self) -> None:
        """Each ejection is one base time longer than the one before."""
        self.detect(consecutive_5xx=1, interval=0.3, base_ejection_time=0.6)
        for wanted in (0.6, 1.2, 1.8):
            self.answer(500)
            self.advance(wanted)
            self.assertEqual(self.said(), ["a consecutive_5xx", f"a back after {wanted:g}"])

    def test_decay(self) -> None:
        """Each interval that it has been back makes the next ejection shorter again, down to the base time."""
        self.detect(consecutive_5xx=1, interval=1, base_ejection_time=2)
        for quiet, wanted in ((0, 2), (0, 4), (0, 6), (1, 6), (2, 4), (3, 2), (50, 2)):
            self.advance(quiet)
            self.answer(500)
            self.advance(wanted)
            self.assertEqual(self.said(), ["a consecutive_5xx", f"a back after {wanted}"], quiet)

    def test_longest(self) -> None:
        """300 seconds are the longest, unless the base time is longer."""
        self.detect(consecutive_5xx=1, interval=10, base_ejection_time=140)
        for wanted in (140, 280, 300, 300, 300):
            self.answer(500)
            self.advance(wanted)
            self.assertEqual(self.said()[1:], [f"a back after {wanted}"])
        self.detect(consecutive_5xx=1, interval=10, base_ejection_time=400)
        for _ in range(3):
            self.answer(500)
            self.advance(400)
            self.assertEqual(self.said()[1:], ["a back after 400"])

    def test_no_timer_in_good_times(self) -> None:
        """There is a timer only from an ejection until it is forgotten."""
        self.detect(consecutive_5xx=1, interval=1, base_ejection_time=1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.answer(500)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.advance(2)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.detector.stop()

    def test_counters_begin_anew(self) -> None:
        """All rows do when an endpoint returns, not only the one that ejected it."""
        self.detect(interval=1, base_ejection_time=1, consecutive_5xx=3, consecutive_gateway_errors=2)
        self.answer(503, 503)
        self.advance(1)
        self.said()
        self.answer(500, 500)
        self.assertEqual(self.said(), [])
        self.answer(500)
        self.assertEqual(self.said(), ["a consecutive_5xx"])


class ChangeTests(OutlierCase):
    def test_endpoints(self) -> None:
        """Those that stay keep what is known of them; of those that leave, nothing is heard any more."""
        self.detect(2, consecutive_5xx=2, max_ejection_percent=50)
        first, second = self.hosts
        self.answer(500)
        self.answer(500, 500, host=1)
        self.assertEqual(self.said(), ["b consecutive_5xx"])
        self.detector.watch([first, Host("c")])
        self.assertIsNone(second.monitor)
        self.assertEqual(self.detector.ejected, [])
        self.answer(500)
        self.assertEqual(self.said(), ["a consecutive_5xx"])
        self.assertEqual(first.monitor.reason, Reason.CONSECUTIVE_5XX)

    def test_rules(self) -> None:
        """Other rules hold at once, for those that are ejected too."""
        self.detect(consecutive_5xx=5, interval=10, base_ejection_time=100)
        self.answer(*[500] * 5)
        self.said()
        self.clock.advance(3)
        self.detector.configure(self.policy)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.policy = OutlierDetection(1, interval=2, base_ejection_time=4, max_ejection_percent=100)
        self.detector.configure(self.policy)
        self.clock.advance(2)
        self.assertEqual(self.said(), ["a back after 5"])
        self.answer(500)
        self.assertEqual(self.said(), ["a consecutive_5xx"])

    def test_stop(self) -> None:
        """After the end there is neither a monitor nor a timer."""
        self.detect(consecutive_5xx=1)
        self.answer(500)
        self.detector.stop()
        self.assertIsNone(self.hosts[0].monitor)
        self.assertEqual(self.clock.getDelayedCalls(), [])
