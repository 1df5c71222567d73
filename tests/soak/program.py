"""What the programs of a soak have in common: they end with the exit status that they come to."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred


def ending(status: Coroutine[Deferred[Any], Any, int]) -> Deferred[None]:
    """For ``react``: run, and end the process with the exit status."""

    def ended(status: int) -> None:
        if status:
            raise SystemExit(status)

    return Deferred.fromCoroutine(status).addCallback(ended)
