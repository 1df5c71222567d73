"""What the supervisor asks workers on behalf of somebody else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import DeferredList
from twisted.internet.error import ConnectionDone, ConnectionLost

from meshproxy.admin.recent import Value
from meshproxy.admin.served import NotServing
from meshproxy.explain import Asked, Explanation
from meshproxy.workers import commands
from meshproxy.workers.crew import WorkerLink

INQUIRY_SECONDS = 5.0
"""How long whoever asks waits for a worker; then it is told without that worker."""


async def clusters(clock: Any, links: Sequence[WorkerLink], part: str) -> list[list[Value]]:
    """The clusters with ``part`` in their names, of each worker that answers."""
    asked = [link.call(commands.Describe, part=part).addTimeout(INQUIRY_SECONDS, clock) for link in links]
    answers: list[tuple[bool, Any]] = await DeferredList(asked, consumeErrors=True)
    return [json.loads(answer["clusters"]) for good, answer in answers if good]


async def explanation(clock: Any, links: Sequence[WorkerLink], asked: Asked) -> Explanation:
    """Of the first worker that answers. Raises ``ValueError`` where it refuses, ``NotServing`` where none answers."""
    for link in links:
        call = link.call(commands.Explain, asked=asked.dump())
        try:
            answer = await call.addTimeout(INQUIRY_SECONDS, clock)
        except commands.Refused as refusal:
            raise ValueError(str(refusal)) from refusal
        except (ConnectionDone, ConnectionLost, defer.TimeoutError):
            continue  # it has ended, or hangs; what becomes of that is the crew's and the census's business
        return Explanation.from_json(json.loads(answer["explanation"]))
    raise NotServing


__all__ = ["INQUIRY_SECONDS", "clusters", "explanation"]
