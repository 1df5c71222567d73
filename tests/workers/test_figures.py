from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.workers.figures import Tally, dump


def figures(asked: float, busy: float, **by_reason: float) -> str:
    """What a worker tells: a counter, a gauge, a counter with labels."""
    labelled = CounterMetricFamily("refused", "Refused.", labels=["reason"])
    for reason, value in by_reason.items():
        labelled.add_metric([reason], value)
    return dump([CounterMetricFamily("asked", "Asked.", asked), GaugeMetricFamily("busy", "Busy.", busy), labelled])


def values(metrics: Iterable[Metric]) -> dict[tuple[str, ...], float]:
    return {(it.name, *it.labels.values()): it.value for metric in metrics for it in metric.samples}


class TallyTests(SynchronousTestCase):
    def test_sum(self) -> None:
        """Every sample is the sum over all workers as they were last heard of, labels by labels."""
        tally = Tally()
        tally.heard(1, figures(2, 3, slow=1))
        tally.heard(2, figures(5, 1))
        tally.heard(2, figures(6, 0, slow=2, late=4))
        self.assertEqual(
            values(tally.total()),
            {("asked_total",): 8, ("busy",): 3, ("refused_total", "slow"): 3, ("refused_total", "late"): 4},
        )

    def test_described(self) -> None:
        """Metrics keep their names, types and descriptions."""
        tally = Tally()
        tally.heard(1, figures(1, 1))
        asked, busy, _ = tally.total()
        self.assertEqual((asked.name, asked.type, asked.documentation), ("asked", "counter", "Asked."))
        self.assertEqual((busy.name, busy.type), ("busy", "gauge"))

    def test_gone(self) -> None:
        """What a worker counted outlives it, what it had goes with it, and its successor counts from there."""
        tally = Tally()
        tally.heard(1, figures(2, 3, slow=1))
        tally.gone(1)
        self.assertEqual(values(tally.total()), {("asked_total",): 2, ("refused_total", "slow"): 1})
        tally.heard(2, figures(1, 1, slow=1))
        self.assertEqual(values(tally.total()), {("asked_total",): 3, ("busy",): 1, ("refused_total", "slow"): 2})

    def test_gone_unheard(self) -> None:
        """A worker that ended before it told anything is nothing."""
        tally = Tally()
        tally.gone(1)
        self.assertEqual(tally.total(), [])

    def test_no_sums(self) -> None:
        """Of shares there is the extreme, of facts the fact."""
        tally = Tally()
        for worker, (least, most, fact) in enumerate(((0.8, 1.1, "x"), (0.9, 1.3, "x"), (0.7, 1.2, "y"))):
            info = GaugeMetricFamily("table_info", "Facts.", labels=["fact"])
            info.add_metric([fact], 1)
            ratios = [
                GaugeMetricFamily("least_loaded_ratio", "x", least),
                GaugeMetricFamily("most_loaded_ratio", "x", most),
            ]
            tally.heard(worker, dump([info, *ratios]))
        self.assertEqual(
            values(tally.total()),
            {
                ("table_info", "x"): 1,
                ("table_info", "y"): 1,
                ("least_loaded_ratio",): 0.7,
                ("most_loaded_ratio",): 1.3,
            },
        )

    def test_requests(self) -> None:
        """Requests add up, and outlive the worker that counted them."""
        tally = Tally()
        tally.heard(1, dump([], {"a": {"200 -": [1, 2]}}))
        tally.heard(2, dump([], {"a": {"200 -": [3, 4], "404 NR": [1, 1]}}))
        expected = {"a": {"200 -": [4, 6], "404 NR": [1, 1]}}
        self.assertEqual(tally.requests(), expected)
        tally.gone(1)
        tally.gone(2)
        self.assertEqual(tally.requests(), expected)
        tally.heard(3, dump([], {"a": {"200 -": [1, 0]}}))
        self.assertEqual(tally.requests()["a"]["200 -"], [5, 6])
