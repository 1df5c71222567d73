"""Drains that were asked for while serving, beside those of the configuration.

Rules: a drain is for an address in all clusters, whatever snapshot has it; it lasts until it is stopped or the process
ends. From its end on, an endpoint loses the sessions that are left, and still gets no new ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from twisted.logger import Logger

from meshproxy.policies import FOR_EVER, Drain

_log = Logger()


def dump_drains(drains: Sequence[Drain]) -> str:
    """Drains as a text for ``load_drains``."""
    return json.dumps(
        [[drain.address, drain.port, None if drain.until == FOR_EVER else drain.until] for drain in drains]
    )


def load_drains(text: str) -> list[Drain]:
    """What ``dump_drains`` made a text of."""
    return [Drain(address, port, FOR_EVER if until is None else until) for address, port, until in json.loads(text)]


class Drains:
    """Those of all clusters of a process. ``changed`` is called when there is one more or one less."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._by_place: dict[tuple[str, int | None], Drain] = {}

    @property
    def all(self) -> Sequence[Drain]:
        """In the order in which they began."""
        return tuple(self._by_place.values())

    def start(self, drain: Drain) -> None:
        """Begin, or set another end to what has begun."""
        self._by_place[drain.address, drain.port] = drain
        _log.info("{where} drains", where=drain.shown)
        self._changed()

    def replace(self, drains: Sequence[Drain]) -> None:
        """Take over those of another process."""
        self._by_place = {(drain.address, drain.port): drain for drain in drains}
        self._changed()

    def stop(self, address: str, port: int | None) -> bool:
        """End the drain of just this address and port; False if there is none."""
        drain = self._by_place.pop((address, port), None)
        if drain is None:
            return False
        _log.info("{where} takes new sessions again", where=drain.shown)
        self._changed()
        return True
