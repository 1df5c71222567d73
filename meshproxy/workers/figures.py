"""The figures of all workers in one, also of those that are gone.

A counter never goes backwards: what a worker had counted when it was last heard of stays in the sum after its end. What
it counted after that is lost, for it was in its memory. A gauge ends with its worker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from attrs import define, field
from prometheus_client.core import Metric

_COUNTER = "counter"
SampleKey = tuple[str, tuple[tuple[str, str], ...]]


@define
class Family:
    """A metric of Prometheus. ``samples`` are values by name and labels."""

    name: str
    documentation: str
    type: str
    samples: dict[SampleKey, float] = field(factory=dict)

    def add(self, other: Family) -> None:
        """Add the samples of another one, each to the same one here."""
        for key, value in other.samples.items():
            self.samples[key] = self.samples.get(key, 0) + value

    def metric(self) -> Metric:
        """For Prometheus."""
        metric = Metric(self.name, self.documentation, self.type)
        for (name, labels), value in self.samples.items():
            metric.add_sample(name, dict(labels), value)
        return metric


def dump(metrics: Iterable[Metric]) -> str:
    """Metrics as a text for ``load``."""
    return json.dumps([(it.name, it.documentation, it.type, _samples(it)) for it in metrics])


def _samples(metric: Metric) -> list[tuple[str, list[tuple[str, str]], float]]:
    return [(it.name, list(it.labels.items()), it.value) for it in metric.samples]


def load(text: str) -> list[Family]:
    """What ``dump`` made."""
    return [Family(name, documentation, kind, _by_key(its)) for name, documentation, kind, its in json.loads(text)]


def _by_key(samples: Iterable[tuple[str, list[list[str]], float]]) -> dict[SampleKey, float]:
    return {(name, tuple((label, text) for label, text in labels)): value for name, labels, value in samples}


class Tally:
    """The sum over all workers."""

    def __init__(self) -> None:
        self._of_gone: dict[str, Family] = {}
        # As they came: answers are frequent, and hardly ever read.
        self._heard: dict[object, str] = {}

    def heard(self, worker: object, text: str) -> None:
        """The present figures of a worker, as ``dump`` has them."""
        self._heard[worker] = text

    def gone(self, worker: object) -> None:
        """A worker has ended."""
        families = load(self._heard.pop(worker, "[]"))
        _add(self._of_gone, [family for family in families if family.type == _COUNTER])

    def total(self) -> list[Metric]:
        """The sums over all that were and are."""
        total: dict[str, Family] = {}
        for families in (self._of_gone.values(), *map(load, self._heard.values())):
            _add(total, families)
        return [family.metric() for family in total.values()]


def _add(to: dict[str, Family], families: Iterable[Family]) -> None:
    for family in families:
        to.setdefault(family.name, Family(family.name, family.documentation, family.type)).add(family)


__all__ = ["Family", "Tally", "dump", "load"]
