"""The figures of all workers in one, also of those that are gone.

A counter never goes backwards: what a worker had counted when it was last heard of stays in the sum after its end. What
it counted after that is lost, for it was in its memory. A gauge ends with its worker.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable

from attrs import define, field
from prometheus_client.core import Metric

from meshproxy.upstream.traffic import Requests, add

_COUNTER = "counter"
_NO_SUMS: tuple[tuple[str, Callable[[float, float], float]], ...] = (
    ("least_loaded_ratio", min),
    ("_ratio", max),
    ("_info", max),
    ("ejections_active", max),  # all workers have the same endpoints ejected
)
SampleKey = tuple[str, tuple[tuple[str, str], ...]]


@define
class Family:
    """A metric of Prometheus. ``samples`` are values by name and labels."""

    name: str
    documentation: str
    type: str
    samples: dict[SampleKey, float] = field(factory=dict)

    def add(self, other: Family) -> None:
        """Add the samples of another one, each to the same one here. What is no sum is the extreme."""
        combine = next((found for suffix, found in _NO_SUMS if self.name.endswith(suffix)), operator.add)
        for key, value in other.samples.items():
            before = self.samples.get(key)
            self.samples[key] = value if before is None else combine(before, value)

    def metric(self) -> Metric:
        """For Prometheus."""
        metric = Metric(self.name, self.documentation, self.type)
        for (name, labels), value in self.samples.items():
            metric.add_sample(name, dict(labels), value)
        return metric


def dump(metrics: Iterable[Metric], requests: Requests | None = None) -> str:
    """The figures of a worker as a text for ``load``."""
    families = [(it.name, it.documentation, it.type, _samples(it)) for it in metrics]
    return json.dumps({"metrics": families, "requests": requests or {}})


def _samples(metric: Metric) -> list[tuple[str, list[tuple[str, str]], float]]:
    return [(it.name, list(it.labels.items()), it.value) for it in metric.samples]


def load(text: str) -> tuple[list[Family], Requests]:
    """What ``dump`` was given."""
    found = json.loads(text)
    families = [Family(name, text, kind, _by_key(its)) for name, text, kind, its in found["metrics"]]
    return families, found["requests"]


def _by_key(samples: Iterable[tuple[str, list[list[str]], float]]) -> dict[SampleKey, float]:
    return {(name, tuple((label, text) for label, text in labels)): value for name, labels, value in samples}


class Tally:
    """The sum over all workers."""

    def __init__(self) -> None:
        self._of_gone: dict[str, Family] = {}
        self._requests_of_gone: Requests = {}
        # As they came: answers are frequent, and hardly ever read.
        self._heard: dict[object, str] = {}

    def heard(self, worker: object, text: str) -> None:
        """The present figures of a worker, as ``dump`` has them."""
        self._heard[worker] = text

    def gone(self, worker: object) -> None:
        """A worker has ended."""
        text = self._heard.pop(worker, None)
        if text is not None:
            families, requests = load(text)
            _add(self._of_gone, [family for family in families if family.type == _COUNTER])
            add(self._requests_of_gone, requests)

    def total(self) -> list[Metric]:
        """The sums over all that were and are."""
        total: dict[str, Family] = {}
        _add(total, self._of_gone.values())
        for text in self._heard.values():
            _add(total, load(text)[0])
        return [family.metric() for family in total.values()]

    def requests(self) -> Requests:
        """The requests of all that were and are."""
        total: Requests = {}
        add(total, self._requests_of_gone)
        for text in self._heard.values():
            add(total, load(text)[1])
        return total


def _add(to: dict[str, Family], families: Iterable[Family]) -> None:
    for family in families:
        to.setdefault(family.name, Family(family.name, family.documentation, family.type)).add(family)


__all__ = ["Family", "Tally", "dump", "load"]
