"""What processes tell each other of the last minutes, and what follows from all of them together.

Sessions and times to answer cannot be added up once they are figures, so a process tells what they are made from:
``_times`` of an endpoint, the numbers of answers by bucket, and ``_sessions`` of a cluster, its endpoints and their
slots, None where no hash decides. ``finish`` makes of them what the status has.
"""

from __future__ import annotations

import zlib
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Any

from meshproxy.admin.turns import Turns
from meshproxy.upstream.recent import BUCKETS, NotedSessions, quantile

Value = dict[str, Any]


def told_times(counts: Iterable[int]) -> dict[str, int]:
    """The numbers of answers by those buckets that have some."""
    return {str(bucket): count for bucket, count in enumerate(counts) if count}


def told_sessions(noted: NotedSessions) -> list[Any]:
    """Sessions as JSON has them, in a list of none or one. Slots are packed, for there are many."""
    if not noted.slots:
        return []
    return [[list(noted.endpoints), b64encode(zlib.compress(noted.slots.tobytes(), 1)).decode("ascii")]]


def _heard_sessions(told: Sequence[Any]) -> NotedSessions:
    endpoints, slots = told
    return NotedSessions(endpoints, array("H", zlib.decompress(b64decode(slots))))


def add_times(total: dict[str, int], more: dict[str, int]) -> None:
    """Add the answers of another process."""
    for bucket, count in more.items():
        total[bucket] = total.get(bucket, 0) + count


async def finish(clusters: Iterable[Value], turns: Turns) -> None:
    """Put ``p50`` and ``p99`` (seconds or None) and ``sessions`` (a number or None) in the place of what makes them."""
    for cluster in clusters:
        told, sessions = cluster.pop("_sessions"), {}
        if told is not None:
            noted = NotedSessions()
            for one in told:
                noted = noted.over(_heard_sessions(one))
                await turns.pause()
            sessions = noted.by_endpoint()
        cluster["sessions"] = None if told is None else sum(sessions.values())
        for number, endpoint in enumerate(cluster["endpoints"]):
            counts = [0] * BUCKETS
            for bucket, count in endpoint.pop("_times").items():
                counts[int(bucket)] = count
            endpoint["p50"], endpoint["p99"] = quantile(counts, 0.5), quantile(counts, 0.99)
            endpoint["sessions"] = None if told is None else sessions.get(endpoint["address"], 0)
            if not number % 50:
                await turns.pause()


__all__ = ["add_times", "finish", "told_sessions", "told_times"]
