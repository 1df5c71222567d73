"""What is done to a gateway under load: to its workers, its configuration and its endpoints."""

from __future__ import annotations

import math
import os
import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from attrs import evolve
from twisted.internet.task import deferLater

from meshproxy.config import read
from tests.chaos.configuration import Configuration
from tests.chaos.endpoints import ChaosEndpoint
from tests.chaos.verdict import Disturbances
from tests.integration.workers import children
from tests.processes import free_port
from tests.soak.gateway import Gateway
from tests.soak.peers import State

_STOP_SECONDS = 2.0
_PAUSED_SECONDS = 0.5
_STORM = 30
_LISTENS = "0A"  # as /proc/net/tcp has it


class BrokenRuleError(Exception):
    """The gateway did not do what it had to do."""


async def disturb_workers(reactor: Any, gateway: Gateway, port: int, rng: Random, told: Disturbances) -> None:
    """Do something to one worker, if another one has begun to accept: a busy machine may take long to start one."""
    (how,) = rng.choices(("killed", "told to drain", "paused"), (5, 2, 1))
    workers = [pid for pid in children(gateway.pid) if b"meshproxy.workers.program" in _command(pid)]
    worker = rng.choice(workers or [0])
    if not any(sockets_of(it, port, _LISTENS) for it in workers if it != worker):
        return
    told.acts.append((reactor.seconds(), f"worker {how}"))
    if how == "told to drain":
        told.drains.append((reactor.seconds(), reactor.seconds()))
        _signal(worker, signal.SIGTERM)
    else:
        # A worker that is stopped accepts nothing more, so what it has is known exactly.
        _signal(worker, signal.SIGSTOP)
        deadline = reactor.seconds() + _STOP_SECONDS
        while not _is_stopped(worker) and reactor.seconds() < deadline:
            await deferLater(reactor, 0.001)
        if how == "killed":
            told.killed |= sockets_of(worker, port)
            told.kills.append(reactor.seconds())
            _signal(worker, signal.SIGKILL)
        else:
            await deferLater(reactor, _PAUSED_SECONDS)
            _signal(worker, signal.SIGCONT)


def sockets_of(worker: int, port: int, state: str = "") -> set[int]:
    """The ports at the other ends of a process's sockets on a port, in one state or in any; 0 where there is none."""
    inodes = set()
    try:
        for number in os.listdir(f"/proc/{worker}/fd"):
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{worker}/fd/{number}"))
            if match is not None:
                inodes.add(match[1])
    except OSError:
        return set()
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, its_state, *_, inode = line.split()[:10]
        if int(local.rpartition(":")[2], 16) == port and inode in inodes and state in ("", its_state):
            found.add(int(remote.rpartition(":")[2], 16))
    return found


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "Z")
    except OSError:
        return True


class Reloading:
    """Changes the configuration, well and badly. ``in_force`` is the oldest generation that may answer."""

    def __init__(
        self, reactor: Any, gateway: Gateway, path: Path, first: Configuration, rng: Random, told: Disturbances
    ) -> None:
        self._reactor, self._gateway, self._path = reactor, gateway, path
        self._present = first
        self._rng, self._told = rng, told
        self.in_force = first.generation

    async def disturb(self) -> None:
        """Do something to the configuration. Raises ``BrokenRuleError`` where that has not the effect that it must."""
        actions: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = {
            "reload": (10, self._change),
            "reload of a half-written file": (2, self._change_slowly),
            "bad reload": (3, self._spoil),
            "storm of SIGHUP": (1, self._storm),
            "hot restart": (1, self._restart),
        }
        (what,) = self._rng.choices(list(actions), [weight for weight, _ in actions.values()])
        self._told.acts.append((self._reactor.seconds(), what))
        await actions[what][1]()

    async def _change(self) -> None:
        text = self._next()
        self._replace(text)
        await self._is_served(self._rng.random() < 0.8)

    async def _change_slowly(self) -> None:
        text = self._next()
        self._path.write_text(text[: self._rng.randrange(len(text))])
        if self._rng.random() < 0.5:
            self._hang_up()
        await deferLater(self._reactor, 0.1)
        self._path.write_text(text)
        await self._is_served(self._rng.random() < 0.5)

    async def _spoil(self) -> None:
        since = len(self._gateway.log)
        self._replace(self._present.text().replace("gateways:", "gateway:", 1))
        self._hang_up()
        if not await self._gateway.says("The configuration does not load", since):
            raise BrokenRuleError("a bad configuration was not refused")
        self._replace(self._present.text())

    async def _storm(self) -> None:
        for _ in range(_STORM):
            self._hang_up()

    async def _restart(self) -> None:
        since = len(self._gateway.log)
        begun = self._reactor.seconds()
        self._told.drains.append((begun, math.inf))
        os.kill(self._gateway.pid, signal.SIGUSR2)
        if not await self._gateway.says("Hot restart: process", since):
            raise BrokenRuleError("a new process did not take over")
        self._told.drains[-1] = (begun, self._reactor.seconds())

    def _next(self) -> str:
        rng = self._rng
        port = free_port() if rng.random() < 0.5 else self._present.port if rng.random() < 0.5 else 0
        has_route = rng.random() < 0.5
        self._present = evolve(self._present, generation=self._present.generation + 1, port=port, has_route=has_route)
        return self._present.text()

    def _replace(self, text: str) -> None:
        new = self._path.with_name("new")
        new.write_text(text)
        new.rename(self._path)

    def _hang_up(self) -> None:
        os.kill(self._gateway.pid, signal.SIGHUP)

    async def _is_served(self, asked: bool) -> None:
        """Ask for a reload, or let the gateway notice by itself, and wait until it serves what there is."""
        digest = read([str(self._path)]).digest
        since = len(self._gateway.log)
        if asked:
            self._hang_up()
        if not await self._gateway.says(rf"Configuration \d+ is served: .*, digest {digest[:12]}", since):
            raise BrokenRuleError(f"generation {self._present.generation} did not come into force")
        self.in_force = self._present.generation


def disturb_endpoints(endpoints: list[ChaosEndpoint], rng: Random, told: Disturbances) -> None:
    """One endpoint fails or comes back; at least half of them serve."""
    failing = [it for it in endpoints if it.state is not State.UP]
    if failing and (len(failing) >= len(endpoints) // 2 or rng.random() < 0.5):
        rng.choice(failing).become(State.UP)
        return
    state = rng.choice([it for it in State if it is not State.UP])
    endpoint = rng.choice([it for it in endpoints if it.state is State.UP])
    told.acts.append((endpoint.reactor.seconds(), f"endpoint {state.value}"))
    endpoint.become(state)
