"""The order of endpoints for balancers that draw them at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshproxy.hashing import vary
from meshproxy.model import Endpoint


def drawn(endpoints: Sequence[Endpoint], hash: int) -> Iterator[Endpoint]:
    """All endpoints, each once, in the order in which independent attempts with a random number draw them."""
    rest = dict.fromkeys(endpoints)
    # Drawing until all have come up takes about n ln n attempts; far beyond that, what is left follows as it stands.
    for attempt in range(64 * len(endpoints)):
        if not rest:
            return
        endpoint = endpoints[vary(hash, attempt) % len(endpoints)]
        if endpoint in rest:
            del rest[endpoint]
            yield endpoint
    yield from rest
