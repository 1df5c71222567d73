"""What Istio counts of requests: how many, how long they took, how large they were, by status and response flags.

Rules: figures are plain numbers, so that those of several processes can be added. A cluster has one *row* of them for
each pair of status and flags. Both come from endpoints to some extent, so there is a bound: further pairs are counted
by the class of the status alone.

A row is a list of three parts alike, for the duration in milliseconds, the bytes of the request's body and those of the
response's: how many fell into each bucket, and the sum. Bucket ``i`` takes what is above ``BOUNDS[i - 1]`` and at most
``BOUNDS[i]``; the last one takes the rest.
"""

from __future__ import annotations

from bisect import bisect_left

from meshproxy.upstream.recent import RecentSessions

# Source: the buckets of Envoy's histograms, which are those of Istio's metrics.
BOUNDS = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000),
    *(10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000),
)
MOST_PAIRS = 64
"""Pairs of status and flags that a cluster tells apart."""

# Comparing numbers of one type is twice as fast. A whole number is at most 0.5 when it is at most 0.
_OF_MILLISECONDS = [float(bound) for bound in BOUNDS]
_OF_BYTES = [int(bound) for bound in BOUNDS]

BUCKETS = len(BOUNDS) + 1
PART = BUCKETS + 1

_SUM_OF_DURATIONS = BUCKETS
_RECEIVED, _SUM_OF_RECEIVED = PART, PART + BUCKETS
_SENT, _SUM_OF_SENT = 2 * PART, 2 * PART + BUCKETS

Row = list[float]
Requests = dict[str, dict[str, Row]]
"""Rows by ``STATUS FLAGS``, by cluster."""


class Traffic:
    """The requests of one cluster, or of none.

    ``without_key``: how many had none of the keys that the hash policy asks for. ``with_new_session``: how many had
    none, and were given one in a cookie. ``folded``: how many were counted by the class of their status. ``sessions``:
    where those with a key went of late.
    """

    __slots__ = ("_rows", "folded", "sessions", "with_new_session", "without_key")

    def __init__(self) -> None:
        self._rows: dict[tuple[int | str, bytes], Row] = {}
        self.sessions = RecentSessions()
        self.without_key = self.with_new_session = self.folded = 0

    def count(self, status: int, flags: bytes, milliseconds: float, received: int, sent: int) -> None:
        """Count a request that is over."""
        row = self._rows.get((status, flags)) or self._row(status, flags)
        row[bisect_left(_OF_MILLISECONDS, milliseconds)] += 1
        row[_SUM_OF_DURATIONS] += milliseconds
        if received:
            row[bisect_left(_OF_BYTES, received) + _RECEIVED] += 1
            row[_SUM_OF_RECEIVED] += received
        else:
            row[_RECEIVED] += 1
        row[bisect_left(_OF_BYTES, sent) + _SENT] += 1
        row[_SUM_OF_SENT] += sent

    def _row(self, status: int, flags: bytes) -> Row:
        rows = self._rows
        if len(rows) < MOST_PAIRS:
            return rows.setdefault((status, flags), [0] * (3 * PART))
        self.folded += 1
        return rows.setdefault((f"{status // 100}xx", b""), [0] * (3 * PART))

    def figures(self) -> dict[str, Row]:
        """A copy of the rows by ``STATUS FLAGS``, such as ``503 URX,UF`` and ``200 -``; ``5xx -`` is a class."""
        return {f"{status} {(flags or b'-').decode('ascii')}": list(row) for (status, flags), row in self._rows.items()}


def add(total: Requests, more: Requests) -> None:
    """Add the figures of another process."""
    for cluster, rows in more.items():
        sums = total.setdefault(cluster, {})
        for key, row in rows.items():
            before = sums.get(key)
            sums[key] = list(row) if before is None else [a + b for a, b in zip(before, row, strict=True)]
