"""A thousand endpoints of which one changes its health now and then, under load: what requests notice of it.

    python -m tests.soak.flapping [SECONDS [STRATEGY]]

``STRATEGY`` is ``ringHash`` (the default) or ``maglev``. After a change the ring or table is built anew; requests of
the second after each change, as if there were one in each second, are compared with all others. Both come from the same
minute (SECONDS, 60), so what else the machine does counts for both. Printed are the times of requests, and the longest
time for which the gateway did nothing else: how long a request took that it answers itself, of which there is one each
five milliseconds. Exit status: 0, or 2 if the gateway does not serve or no endpoint changed.
"""

from __future__ import annotations

import random
import sys
from bisect import bisect
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
from tests.soak.program import ending

ENDPOINTS, USERS = 1000, 20
STRATEGIES = {"ringHash": "ringHash: {}", "maglev": "maglev: {tableSize: 65537}"}
# As many checks in a second as a tenth of the endpoints: they are made by the same process.
_INTERVAL = 10
_CHANGE_SECONDS = 2.5
_MOST_DOWN = 6
_PAUSE, _LOOK_PAUSE = 0.02, 0.005

_ROUTES = """\
  - match: [{headers: {cookie: {prefix: 'ISTIOID=look'}}}]
    directResponse: {status: 200, body: {string: ok}}
  - route: [{destination: {host: soak.example}}]
"""
_CHECKS = f"interval: {_INTERVAL}s, unhealthyThreshold: 1, healthyThreshold: 1"


class Fleet:
    """All endpoints at one port of as many loopback addresses. ``down`` are those that close connections."""

    def __init__(self, reactor: Any) -> None:
        self.addresses = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(ENDPOINTS)]
        self.down: deque[str] = deque()
        self._rng = random.Random(1)
        factory = Factory.forProtocol(lambda: _Member(self))
        factory.noisy = False
        self.port: int = reactor.listenTCP(0, factory, backlog=512).getHost().port

    def change(self) -> None:
        """One goes down or comes back; the next check of it tells the gateway."""
        if len(self.down) > _MOST_DOWN:
            self.down.popleft()
        else:
            self.down.append(self._rng.choice(self.addresses))


class _Member(Serving):
    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    def connectionMade(self) -> None:
        super().connectionMade()
        self.name = self.transport.getHost().host
        if self.name in self._fleet.down:
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.name in self._fleet.down:
            self.transport.abortConnection()
        else:
            super().dataReceived(data)


async def flap(reactor: Any, seconds: float, strategy: str) -> int:
    """The exit status."""
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
        answers.clear()
        looks.clear()
        for _ in range(int(seconds / _CHANGE_SECONDS)):
            fleet.change()
            await deferLater(reactor, _CHANGE_SECONDS)
        for user in users:
            user.ended = True
        await gateway.end()
    times = [at for at, _ in gateway.changes]
    failed = sum(bool(it.failure) for it in answers)
    print(f"{len(times)} changes, {len(answers)} requests, {failed} failed")
    if not times:
        return 2
    p99 = []
    for name, wanted in (("quiet", False), ("after a change", True)):
        print(f"{name}:")
        for what, found in (("requests", answers), ("answered by the gateway itself", looks)):
            chosen = sorted(1000 * (it.ended - it.begun) for it in found if _follows(it, times) is wanted)
            p50, p99_of_these = (chosen[len(chosen) * part // 100] for part in (50, 99))
            print(f"  {what}: p50 {p50:.1f} ms, p99 {p99_of_these:.1f} ms, longest {chosen[-1]:.1f} ms")
            p99.append(p99_of_these)
    print(f"p99 of requests after a change: {p99[2] / p99[0]:.2f} times that of the others")
    return 0


def _follows(answer: Answered, changes: list[float]) -> bool:
    """Whether a request came in the second after a change, or was under way at one."""
    at = bisect(changes, answer.ended)
    return at > 0 and answer.begun < changes[at - 1] + 1.0


def main(reactor: Any, seconds: str = "60", strategy: str = "ringHash") -> Deferred[None]:
    """Measure, and end with the exit status."""
    return ending(flap(reactor, float(seconds), strategy))


if __name__ == "__main__":
    react(main, sys.argv[1:])
