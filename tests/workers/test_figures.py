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
