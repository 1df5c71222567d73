"""What an endpoint and a cluster remember of the last minutes: how long answers took, and where sessions went.

Both keep two halves of ``HALF_SECONDS`` each, the present one and the one before, so all is of the last five to
ten minutes. Whoever writes looks at the time that it has anyway and turns the halves; no timer is needed, and one that
never gets a request costs nothing.

Times are counted in buckets whose width is a quarter to an eighth of what they stand for, as in HdrHistogram.

Sessions are counted by *linear counting* (Whang, Vander-Zanden and Taylor, 1990): each hash of a key has a slot, in
which the endpoint is noted that its last request went to. A session that moves is one of its new endpoint. From the
slots that are still empty follows how many keys there were, right to a few hundredths up to some 100,000; each endpoint
has its part of the slots. Slots of several processes can be laid over each other, so a client with connections to
several of them is one session.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from math import log

from attrs import field, frozen

HALF_SECONDS = 300.0

SHIFT = 4
UNITS = 1000 << SHIFT
"""Parts of a second by which times are counted: sixteenths of a millisecond."""
_LONGEST = (1 << 26) - 1  # units: more than an hour
_AT_HAND = 4096

SLOTS = 16_384
LAST_SLOT = SLOTS - 1
_MOST_NUMBERS = 0xFFFF


def bucket_of(units: int) -> int:
    """The bucket of a time."""
    units = min(units, _LONGEST)
    exponent = max(0, units.bit_length() - 3)
    return 4 * exponent + (units >> exponent)


BUCKET_OF = bytes(map(bucket_of, range(_AT_HAND)))
"""The buckets of most times, at hand."""
BUCKETS = bucket_of(_LONGEST) + 1


def quantile(counts: Sequence[int], part: float) -> float | None:
    """The seconds within which this part of the answers came; None if there were none. Right to an eighth."""
    wanted = part * sum(counts)
    seen = 0
    for bucket, count in enumerate(counts):
        seen += count
        if count and seen >= wanted:
            exponent = max(0, (bucket - 4) // 4)
            lowest = (bucket - 4 * exponent) << exponent
            return (lowest + (1 << exponent) / 2) / UNITS
    return None


class ServiceTimes:
    """How long the heads of an endpoint's answers took. Whoever counts sees to ``until``, a monotonic time, first."""

    __slots__ = ("_before", "counts", "until")

    def __init__(self) -> None:
        self.counts: list[int] = []
        self._before: list[int] = []
        self.until = float("-inf")

    def turn(self, now: float) -> None:
        """Begin a new half."""
        self._before = self.counts if now < self.until + HALF_SECONDS else []
        self.counts = [0] * BUCKETS
        self.until = now + HALF_SECONDS

    def recent(self, now: float) -> Sequence[int]:
        """How many answers fell into each bucket of late; empty for none."""
        if now >= self.until + HALF_SECONDS:
            return ()
        if now >= self.until or not self._before:
            return self.counts
        return [a + b for a, b in zip(self.counts, self._before, strict=True)]


@frozen
class NotedSessions:
    """Endpoints, and slots with 0 for none or a place among these from 1; no slots where there were no sessions."""

    endpoints: Sequence[str] = ()
    slots: array[int] = field(factory=lambda: array("H"))

    def over(self, below: NotedSessions) -> NotedSessions:
        """These, and where they have no session those below."""
        if not (self.slots and below.slots):
            return self if self.slots else below
        places = {endpoint: place for place, endpoint in enumerate(self.endpoints, 1)}
        for endpoint in below.endpoints:
            places.setdefault(endpoint, min(len(places) + 1, _MOST_NUMBERS))
        moved = [0, *map(places.__getitem__, below.endpoints)]
        slots = array("H", [mine or moved[other] for mine, other in zip(self.slots, below.slots, strict=True)])
        return NotedSessions([*places], slots)

    def by_endpoint(self) -> dict[str, int]:
        """About how many sessions each endpoint has; none for those that are missing."""
        counts = Counter(self.slots)
        empty = counts.pop(0, 0)
        total = -SLOTS * log(max(empty, 1) / SLOTS)
        taken = counts.total()
        return {self.endpoints[place - 1]: round(total * count / taken) for place, count in counts.items()}


class _Numbers(dict[bytes, int]):
    """A number from 1 for each endpoint that is asked for. Beyond what slots can hold, several have one."""

    def __missing__(self, endpoint: bytes) -> int:
        number = self[endpoint] = min(len(self) + 1, _MOST_NUMBERS)
        return number


class RecentSessions:
    """Where the sessions of a cluster went. Whoever notes one sees to ``until``, a monotonic time, first.

    A session is noted at its slot, ``hash & LAST_SLOT``, with the number of its endpoint.
    """

    __slots__ = ("_before", "numbers", "slots", "until")

    def __init__(self) -> None:
        self.numbers = _Numbers()
        self.slots = array("H")
        self._before = NotedSessions()
        self.until = float("-inf")

    def turn(self, now: float) -> None:
        """Begin a new half."""
        self._before = self._present() if now < self.until + HALF_SECONDS else NotedSessions()
        self.numbers = _Numbers()
        self.slots = array("H", bytes(2 * SLOTS))
        self.until = now + HALF_SECONDS

    def recent(self, now: float) -> NotedSessions:
        """The sessions of late."""
        if now >= self.until + HALF_SECONDS:
            return NotedSessions()
        return self._present() if now >= self.until else self._present().over(self._before)

    def _present(self) -> NotedSessions:
        return NotedSessions([endpoint.decode() for endpoint in self.numbers], self.slots)
