"""Each endpoint once, in the order in which attempts would come to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from meshproxy.model import Endpoint


def distinct(picks: Iterable[Endpoint | None], endpoints: Sequence[Endpoint]) -> Iterator[Endpoint]:
    """The endpoints in the order of their first pick; those that are never picked come last, in their own order.

    No more picks are taken than it needs to see all endpoints.
    """
    if not endpoints:
        return
    seen: dict[Endpoint, None] = {}
    for endpoint in picks:
        if endpoint is not None and endpoint not in seen:
            seen[endpoint] = None
            yield endpoint
            if len(seen) == len(endpoints):
                return
    for endpoint in endpoints:
        if endpoint not in seen:
            yield endpoint
