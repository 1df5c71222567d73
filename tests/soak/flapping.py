"""A thousand endpoints of which one changes its health each second, under load, beside the same load in quiet.

    python -m tests.soak.flapping [SECONDS [STRATEGY]]

``STRATEGY`` is ``ringHash`` (the default) or ``maglev``. Both halves take SECONDS (10). Printed are the times of
requests in both, and the longest time for which the gateway did nothing else: how long a request took that it answers
itself, of which there is one each five milliseconds. Exit status: 0, or 2 if the gateway does not serve.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater, react

from tests.soak.gateway import Gateway
from tests.soak.mesh import mesh
from tests.soak.peers import Answered, Serving, User

ENDPOINTS, USERS = 1000, 20
STRATEGIES = {"ringHash": "ringHash: {}", "maglev": "maglev: {tableSize: 65537}"}
# As many checks in a second as a tenth of the endpoints: they are made by the same process.
_INTERVAL = 10
_PAUSE, _LOOK_PAUSE = 0.02, 0.005

_ROUTES = """\
  - match: [{headers: {cookie: {prefix: 'ISTIOID=look'}}}]
    directResponse: {status: 200, body: {string: ok}}
  - route: [{destination: {host: soak.example}}]
"""
_CHECKS = f"interval: {_INTERVAL}s, unhealthyThreshold: 1, healthyThreshold: 1"


class Fleet:
    """All endpoints at one port of as many loopback addresses. ``down`` are those that close what comes."""

    def __init__(self, reactor: Any) -> None:
        self.addresses = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(ENDPOINTS)]
        self.down: set[str] = set()
        factory = Factory.forProtocol(lambda: _Member(self))
        factory.noisy = False
        self.port: int = reactor.listenTCP(0, factory, backlog=512).getHost().port


class _Member(Serving):
    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    def connectionMade(self) -> None:
        super().connectionMade()
        self.name = self.transport.getHost().host
        if self.name in self._fleet.down:
            self.transport.abortConnection()


async def flap(reactor: Any, seconds: float, strategy: str) -> int:
    """The exit status."""
    rng = random.Random(1)
    fleet = Fleet(reactor)
    answers: list[Answered] = []
    looks: list[Answered] = []
    with TemporaryDirectory() as folder:
        config = Path(folder, "mesh.yaml")
        listed = [(address, fleet.port) for address in fleet.addresses]
        config.write_text(mesh(listed, _ROUTES, STRATEGIES[strategy], _CHECKS))
        gateway = Gateway(reactor, config)
        try:
            port = await gateway.port
        except RuntimeError as error:
            print(error)
            return 2
        users = [User(reactor, port, f"u{number}", _PAUSE, answers.append) for number in range(USERS)]
        users.append(User(reactor, port, "look", _LOOK_PAUSE, looks.append))
        for user in users:
            user.connect()
        await deferLater(reactor, 8.0)  # until the first checks are over
        down: deque[str] = deque()
        for phase in ("quiet", "settling", "flapping"):
            answers.clear()
            looks.clear()
            changes = len(gateway.changes)
            for _ in range(_INTERVAL if phase == "settling" else int(seconds)):
                if phase != "quiet":
                    # Each is down until it has been checked once, so one a second goes and one comes back.
                    down.append(rng.choice(fleet.addresses))
                    if len(down) > _INTERVAL * 1.2:
                        down.popleft()
                    fleet.down = set(down)
                await deferLater(reactor, 1.0)
            if phase == "settling":
                continue
            failed = sum(bool(it.failure) for it in answers)
            print(f"{phase}: {len(answers)} requests, {failed} failed, {len(gateway.changes) - changes} changes")
            print(f"  requests: {_times(answers)}\n  answered by the gateway itself: {_times(looks)}")
        for user in users:
            user.ended = True
        await gateway.end()
    return 0


def _times(answers: list[Answered]) -> str:
    times = sorted(1000 * (it.ended - it.begun) for it in answers)
    p50, p99 = (times[len(times) * part // 100] for part in (50, 99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {times[-1]:.1f} ms"


def main(reactor: Any, seconds: str = "10", strategy: str = "ringHash") -> Deferred[None]:
    """Measure, and end with the exit status."""

    def ended(status: int) -> None:
        if status:
            raise SystemExit(status)

    return Deferred.fromCoroutine(flap(reactor, float(seconds), strategy)).addCallback(ended)


if __name__ == "__main__":
    react(main, sys.argv[1:])
