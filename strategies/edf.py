"""Earliest deadline first: the rotation of hosts whose weights differ.

A host's deadline lies ``1 / weight`` after its last turn; the host whose deadline is earliest is next, the one that has
waited longer if two are equal. Source: ``edf_scheduler.h`` of Envoy. The start is the state after many picks, found by
a jump, so that gateways that start together do not all begin with the same host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heapreplace
from math import floor

from meshproxy.model import Endpoint

# Beyond this many picks the doubles of the jump would lose too much.
_MOST_PICKS = 429_496_729
_WEIGHT_MARGIN = 1e-13


class Rotation:
    """A queue of hosts, by index. Weights are above 0, ``seed`` is any whole number that is not negative."""

    __slots__ = ("_inserted", "_queue", "_steps")

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        self._steps = [1.0 / weight for weight in weights]
        picks = seed % _MOST_PICKS
        self._queue: list[tuple[float, int, int]] = []
        made = 0
        padded = [weight + _WEIGHT_MARGIN for weight in weights]
        total = sum(padded)
        for index, weight in enumerate(padded):
            had = floor(weight * picks / total)
            if had > 0 and had / weight >= picks / total:
                had -= 1
            made += had
            self._queue.append(((had + 1) / weight, index, index))
        heapify(self._queue)
        self._inserted = len(self._queue)
        for _ in range(picks - made if weights else 0):
            self.pick()

    def pick(self) -> int:
        """The next host's index; it goes back into the queue with the weight that it has from the start."""
        queue = self._queue
        now, _, index = queue[0]
        inserted = self._inserted
        self._inserted = inserted + 1
        heapreplace(queue, (now + self._steps[index], inserted, index))
        return index

    def pick_by(self, weight: Callable[[int], float]) -> int:
        """As ``pick``, but the weight with which the host goes back is asked for."""
        queue = self._queue
        now, _, index = queue[0]
        inserted = self._inserted
        self._inserted = inserted + 1
        heapreplace(queue, (now + 1.0 / weight(index), inserted, index))
        return index

    def upcoming(self) -> Iterator[int]:
        """All hosts in the order of their next turns. Changes nothing."""
        for _, _, index in sorted(self._queue):
            yield index


def rotation(
    endpoints: Sequence[Endpoint], seed: int, factor: Callable[[Endpoint], float] | None = None
) -> Rotation | None:
    """The rotation of endpoints by their weights times ``factor``; None where all have the same and none is lowered."""
    weights = [endpoint.weight for endpoint in endpoints]
    factors = [1.0] if factor is None else [factor(endpoint) for endpoint in endpoints]
    if len(endpoints) < 2 or (weights.count(weights[0]) == len(weights) and min(factors) == 1.0):
        return None
    if factor is None:
        return Rotation([weight * 1.0 for weight in weights], seed)
    return Rotation([weight * share for weight, share in zip(weights, factors, strict=True)], seed)
