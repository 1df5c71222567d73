"""What a worker logs: lines with their priority before them, as in sd-daemon(3), for the supervisor to log."""

from __future__ import annotations

import os

from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText
from zope.interface import implementer

PRIORITIES = {LogLevel.debug: 7, LogLevel.info: 6, LogLevel.warn: 4, LogLevel.error: 3, LogLevel.critical: 2}


@implementer(ILogObserver)
class PriorityLog:
    """Writes events to a descriptor, each of their lines behind its priority.

    What is not taken at once is dropped, and counted later: a supervisor that does not read must not hold up requests.
    What others than meshproxy have to say counts from warnings on.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._dropped = 0
        os.set_blocking(descriptor, False)

    def __call__(self, event: LogEvent) -> None:
        """An event."""
        level = event.get("log_level", LogLevel.info)
        if level < LogLevel.warn and not event.get("log_namespace", "").startswith("meshproxy"):
            return
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        lines = [f"<{PRIORITIES[level]}>{line}\n" for line in text.splitlines()]
        notice = f"<{PRIORITIES[LogLevel.warn]}>{self._dropped} lines could not be logged\n" if self._dropped else ""
        try:
            os.write(self._descriptor, (notice + "".join(lines)).encode("utf-8", "backslashreplace"))
            self._dropped = 0
        except OSError:
            self._dropped += len(lines)


__all__ = ["PRIORITIES", "PriorityLog"]
