"""Counting requests: buckets, sums, and the bound on pairs of status and flags."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.upstream.traffic import BOUNDS, BUCKETS, MOST_PAIRS, PART, Requests, Row, Traffic, add
from tests.properties import steady


def parts(row: Row) -> list[tuple[list[float], float]]:
    """The buckets and the sum of durations, received and sent bytes."""
    return [(row[start : start + BUCKETS], row[start + BUCKETS]) for start in range(0, 3 * PART, PART)]


def bucket(value: float) -> int:
    """Where a value belongs, by definition."""
    return sum(value > bound for bound in BOUNDS)


class CountTests(SynchronousTestCase):
    @steady
    @given(
        st.lists(
            st.tuples(
                st.floats(0, 1e7) | st.sampled_from(BOUNDS),
                st.integers(0, 10**10) | st.sampled_from([0, 1, 5, 3_600_000, 3_600_001]),
                st.integers(0, 10**10) | st.sampled_from([0, 1, 5, 3_600_000, 3_600_001]),
            ),
            min_size=1,
        )
    )
    def test_rows(self, requests: list[tuple[float, int, int]]) -> None:
        """Each request is in one bucket of each part, the one that its value belongs to, and in the sums."""
        traffic = Traffic()
        for request in requests:
            traffic.count(200, b"", *request)
        (row,) = traffic.figures().values()
        for values, (buckets, total) in zip(zip(*requests, strict=True), parts(row), strict=True):
            expected = [0] * BUCKETS
            for value in values:
                expected[bucket(value)] += 1
            self.assertEqual(buckets, expected)
            self.assertAlmostEqual(total, sum(values), delta=1e-6 * max(1, sum(values)))

    def test_pairs(self) -> None:
        """Requests are told apart by status and flags; the figures are a copy that can be sent as JSON."""
        traffic = Traffic()
        traffic.count(200, b"", 1.0, 0, 0)
        traffic.count(503, b"URX,UF", 1.0, 0, 0)
        traffic.count(503, b"UH", 1.0, 0, 0)
        figures = traffic.figures()
        self.assertEqual(list(figures), ["200 -", "503 URX,UF", "503 UH"])
        self.assertEqual(json.loads(json.dumps(figures)), figures)
        traffic.count(200, b"", 1.0, 0, 0)
        self.assertEqual(sum(figures["200 -"][:BUCKETS]), 1)

    def test_bound(self) -> None:
        """Beyond the bound there is one row for each class of status, and what it takes is counted."""
        traffic = Traffic()
        for status in range(200, 200 + MOST_PAIRS):
            traffic.count(status, b"", 1.0, 0, 0)
        for status in range(400, 600):
            traffic.count(status, b"UC", 1.0, 0, 7)
        traffic.count(200, b"", 1.0, 0, 0)
        figures = traffic.figures()
        self.assertEqual(len(figures), MOST_PAIRS + 2)
        self.assertEqual(traffic.folded, 200)
        self.assertEqual(sum(figures["4xx -"][:BUCKETS]), 100)
        self.assertEqual(figures["5xx -"][-1], 700)
        self.assertEqual(sum(figures["200 -"][:BUCKETS]), 2)


class SumTests(SynchronousTestCase):
    def test_add(self) -> None:
        """Figures of several processes add up, number by number, and none of them changes."""
        total: Requests = {}
        one: Requests = {"a": {"200 -": [1, 2, 3]}}
        add(total, one)
        add(total, {"a": {"200 -": [1, 1, 1], "503 UH": [5, 5, 5]}, "b": {"200 -": [9, 9, 9]}})
        self.assertEqual(total, {"a": {"200 -": [2, 3, 4], "503 UH": [5, 5, 5]}, "b": {"200 -": [9, 9, 9]}})
        self.assertEqual(one, {"a": {"200 -": [1, 2, 3]}})
