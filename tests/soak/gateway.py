"""The gateway of a soak: a process of its own, whose log is read as it comes."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater

from tests.processes import TWISTD

SAYS_SECONDS = 120.0
"""How long to wait for something in the log: as long as a hot restart may take."""
REASON_SECONDS = 6.0
"""How long after a change of an endpoint sessions may move because of it."""

_SUCCESSOR = re.compile(r"Hot restart: process (\d+) serves")
_CHANGE = re.compile(r"Endpoint (\S+) of cluster \S+ (is ejected|is back|fails its health|passes its health)")


class Gateway(ProcessProtocol):
    """The gateway's process, and those that follow it by hot restarts; ``pid`` is that of the present one.

    ``changes`` has when the log told of a change of which endpoint.
    """

    def __init__(self, reactor: Any, config: Path, access_log: Path | None = None, workers: int = 1) -> None:
        self.changes: list[tuple[float, str]] = []
        self.log = ""
        self.port: Deferred[int] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._reactor = reactor
        command = [
            *(
                *TWISTD,
                "-n",
                "--pidfile=",
                "meshproxy",
                "-c",
                str(config),
                "--map-port",
                "80=0",
                "--workers",
                str(workers),
            ),
            *("--listen-address", "127.0.0.1", "--admin", "off", "--access-log", str(access_log or "off")),
        ]
        self.pid = 0
        reactor.spawnProcess(self, command[0], command, env=None, childFDs={0: "w", 1: "r", 2: "r"})

    def connectionMade(self) -> None:
        """It runs."""
        assert self.transport is not None
        self.pid = self.transport.pid

    def outReceived(self, data: bytes) -> None:
        """Something was logged."""
        seen, self.log = len(self.log), self.log + data.decode("utf-8", "replace")
        start = self.log.rfind("\n", 0, seen) + 1
        end = self.log.rfind("\n") + 1
        for match in _CHANGE.finditer(self.log, start, end):
            self.changes.append((self._reactor.seconds(), match[1]))
        for match in _SUCCESSOR.finditer(self.log, start, end):
            self.pid = int(match[1])
        found = re.search(r"Listening on 127\.0\.0\.1:(\d+)\D", self.log)
        if found and not self.port.called:
            self.port.callback(int(found[1]))

    errReceived = outReceived

    def processEnded(self, reason: object) -> None:
        """It is gone."""
        if not self.port.called:
            self.port.errback(RuntimeError(self.log))
        self.ended.callback(None)

    async def end(self) -> None:
        """Let it drain and end."""
        if not self.ended.called:
            os.kill(self.pid, signal.SIGTERM)
            await self.ended

    async def says(self, pattern: str, since: int = 0) -> bool:
        """Wait until something is in the log, behind its first ``since`` characters; False if it does not come."""
        deadline = self._reactor.seconds() + SAYS_SECONDS
        while not re.search(pattern, self.log[since:]):
            if self.ended.called or self._reactor.seconds() > deadline:
                return False
            await deferLater(self._reactor, 0.02)
        return True

    def named(self, endpoints: set[str], when: float) -> bool:
        """Whether the log told of a change of one of these endpoints shortly before."""
        return any(when - REASON_SECONDS <= at <= when and key in endpoints for at, key in self.changes)
