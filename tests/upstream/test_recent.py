"""How long answers took of late, and where sessions went: how exact that is, and that it is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.hashing import xxh64
from meshproxy.upstream.recent import (
    BUCKET_OF,
    BUCKETS,
    HALF_SECONDS,
    LAST_SLOT,
    UNITS,
    NotedSessions,
    RecentSessions,
    ServiceTimes,
    bucket_of,
    quantile,
)
from tests.properties import steady


class TimeTests(SynchronousTestCase):
    @steady
    @given(st.floats(0.0005, 3600))
    def test_exact_to_an_eighth(self, seconds: float) -> None:
        """From half a millisecond to an hour, what is told is within an eighth of what was counted."""
        counts = [0] * BUCKETS
        counts[bucket_of(int(seconds * UNITS))] = 1
        told = quantile(counts, 0.5)
        assert told is not None
        self.assertLess(abs(told / seconds - 1), 0.126)

    def test_buckets(self) -> None:
        """Longer times have the same bucket or a later one, the one at hand is the same, and none is too long."""
        found = [bucket_of(units) for units in range(len(BUCKET_OF))]
        self.assertEqual(found, sorted(found))
        self.assertEqual(found, list(BUCKET_OF))
        self.assertEqual(bucket_of(10**12), BUCKETS - 1)

    def test_quantiles(self) -> None:
        """Half of the answers came within the median, and 99 of 100 within the other; without answers there is none."""
        counts = [0] * BUCKETS
        for milliseconds in (*[2] * 60, *[30] * 38, *[900] * 2):
            counts[bucket_of(milliseconds * UNITS // 1000)] += 1
        self.assertLess(abs((quantile(counts, 0.5) or 0) - 0.002), 0.0003)
        self.assertLess(abs((quantile(counts, 0.98) or 0) - 0.030), 0.004)
        self.assertLess(abs((quantile(counts, 0.99) or 0) - 0.900), 0.12)
        self.assertIsNone(quantile([], 0.5))

    def test_forgotten(self) -> None:
        """An answer counts for one half and the next one, and for no more."""
        times = ServiceTimes()
        self.assertEqual(sum(times.recent(0)), 0)
        times.turn(0)
        times.counts[3] += 1
        times.turn(HALF_SECONDS)
        times.counts[3] += 1
        self.assertEqual(times.recent(HALF_SECONDS)[3], 2)
        self.assertEqual(times.recent(2 * HALF_SECONDS)[3], 1)
        self.assertEqual(sum(times.recent(3 * HALF_SECONDS)), 0)
        times.turn(5 * HALF_SECONDS)
        self.assertEqual(sum(times.recent(5 * HALF_SECONDS)), 0)


def noted(sessions: range, *endpoints: bytes, before: RecentSessions | None = None) -> RecentSessions:
    """Sessions whose last requests went to these endpoints in turn."""
    recent = before or RecentSessions()
    if before is None:
        recent.turn(0)
    for number in sessions:
        key_hash = xxh64(b"%d" % number)
        recent.slots[key_hash & LAST_SLOT] = recent.numbers[endpoints[number % len(endpoints)]]
    return recent


class SessionTests(SynchronousTestCase):
    def test_estimate(self) -> None:
        """From one session to tens of thousands, the number that is told is right to a few hundredths."""
        for number in (1, 30, 1_000, 20_000, 60_000):
            found = noted(range(number), b"a", b"b", b"b").recent(0).by_endpoint()
            self.assertLess(abs(sum(found.values()) / number - 1), 0.05)
        self.assertLess(abs(found["b"] / found["a"] - 2), 0.1)

    def test_once(self) -> None:
        """A session with many requests counts once, and where its last request went."""
        recent = noted(range(100), b"a")
        noted(range(40), b"b", before=recent)
        found = recent.recent(0).by_endpoint()
        self.assertLess(abs(found["b"] - 40), 2)
        self.assertLess(abs(found["a"] - 60), 2)

    def test_processes(self) -> None:
        """A session that two processes have seen is one, and each process may number endpoints as it likes."""
        first, second = noted(range(100), b"a", b"b"), noted(range(50, 150), b"b", b"a")
        noted(range(50, 150), b"a", b"b", before=second)
        both = first.recent(0).over(second.recent(0))
        self.assertLess(abs(both.by_endpoint()["a"] - 75), 3)
        self.assertLess(abs(both.by_endpoint()["b"] - 75), 3)
        self.assertEqual(first.recent(0).over(NotedSessions()), first.recent(0))
        self.assertEqual(NotedSessions().over(second.recent(0)), second.recent(0))

    def test_forgotten(self) -> None:
        """A session counts for one half and the next one, and for no more."""
        recent = noted(range(10), b"a")
        recent.turn(HALF_SECONDS)
        noted(range(10, 15), b"b", before=recent)
        self.assertEqual(recent.recent(HALF_SECONDS).by_endpoint(), {"a": 10, "b": 5})
        self.assertEqual(recent.recent(2 * HALF_SECONDS).by_endpoint(), {"b": 5})
        self.assertEqual(recent.recent(3 * HALF_SECONDS).by_endpoint(), {})
        recent.turn(5 * HALF_SECONDS)
        self.assertEqual(recent.recent(5 * HALF_SECONDS).by_endpoint(), {})

    def test_more_than_can_be_counted(self) -> None:
        """When no slot is empty there is still a number."""
        recent = noted(range(400_000), b"a")
        self.assertNotIn(0, recent.slots)
        self.assertGreater(recent.recent(0).by_endpoint()["a"], 100_000)
