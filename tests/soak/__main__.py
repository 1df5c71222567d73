"""Kill, hang and revive endpoints under load, for a bounded time, and see that nothing is lost and nobody moves for
nothing.

    python -m tests.soak [SECONDS [SEED]]

A gateway of its own process serves sticky sessions with health checks, outlier detection and retries that leave an
endpoint which has failed. Counted are requests, failures by cause, and two things that must not be:

- *lost*: a request that failed although its tries were not used up; at least half of the endpoints always serve
- *moved*: a session that was served elsewhere than before, though neither the access log names a retry nor the log a
  change of one of both endpoints shortly before

Exit status: 0 if there is none of either, 1 if there is, 2 if the gateway does not serve.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from tests.soak.gateway import Gateway
from tests.soak.mesh import mesh
from tests.soak.peers import Answered, SoakEndpoint, State, User
from tests.soak.program import ending

ENDPOINTS, USERS = 6, 40
TRIES = 3
_PAUSE = 0.02
_FAULT_SECONDS = 2.0

_ROUTES = f"""\
  - route: [{{destination: {{host: soak.example}}}}]
    retries:
      attempts: {TRIES - 1}
      perTryTimeout: 1s
      retryOn: connect-failure,reset,5xx
      retryIgnorePreviousHosts: true
"""
_POLICY = """\
    outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 2s, maxEjectionPercent: 80}
"""
_CHECKS = "interval: 500ms, timeout: 500ms, unhealthyThreshold: 2, healthyThreshold: 1"
_LOG = """\
---
apiVersion: meshproxy.dev/v1alpha1
kind: Mesh
metadata: {name: main}
spec:
  accessLogEncoding: JSON
  accessLogFormat: |
    {"id": "%REQ(X-SOAK)%", "flags": "%RESPONSE_FLAGS%", "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
     "host": "%UPSTREAM_HOST%"}
"""


async def soak(reactor: Any, seconds: float, seed: int) -> int:
    """The exit status."""
    rng = random.Random(seed)
    endpoints = [SoakEndpoint(reactor) for _ in range(ENDPOINTS)]
    answers: list[Answered] = []
    with TemporaryDirectory() as folder:
        config, access_log = Path(folder, "mesh.yaml"), Path(folder, "access.log")
        listed = [("127.0.0.1", int(it.name.split(":")[1])) for it in endpoints]
        config.write_text(mesh(listed, _ROUTES, "minimumRingSize: 1", _CHECKS, _POLICY) + _LOG)
        gateway = Gateway(reactor, config, access_log)
        try:
            port = await gateway.port
        except RuntimeError as error:
            print(error)
            return 2
        users = [User(reactor, port, f"u{number}", _PAUSE, answers.append) for number in range(USERS)]
        for user in users:
            user.connect()
        until = reactor.seconds() + seconds
        while reactor.seconds() < until:
            await deferLater(reactor, _FAULT_SECONDS * rng.uniform(0.5, 1.5))
            _change(endpoints, rng)
        for user in users:
            user.ended = True
        await deferLater(reactor, 3.0)
        await gateway.end()
        logged = {it["id"]: it for it in map(json.loads, access_log.read_text().splitlines())}
    return report(answers, logged, gateway)


def _change(endpoints: list[SoakEndpoint], rng: random.Random) -> None:
    """One endpoint fails or comes back; at least half of them serve."""
    failing = [it for it in endpoints if it.state is not State.UP]
    if failing and (len(failing) >= len(endpoints) // 2 or rng.random() < 0.5):
        rng.choice(failing).become(State.UP)
    else:
        serving = [it for it in endpoints if it.state is State.UP]
        rng.choice(serving).become(rng.choice((State.DOWN, State.HANGING)))


def report(answers: list[Answered], logged: dict[str, Any], gateway: Gateway) -> int:
    """Print what was counted; the exit status."""
    failures: Counter[str] = Counter()
    lost, moved = [], []
    places: dict[str, str] = {}
    for it in answers:
        entry = logged.get(f"{it.session}-{it.number}", {"flags": None, "tries": 0})
        flags = (entry["flags"] or "-").split(",")
        if it.failure:
            failures[f"{it.failure} {entry['flags'] or '-'}"] += 1
            if "URX" not in flags and int(entry["tries"] or 0) < TRIES:
                lost.append((it, entry))
        elif int(entry["tries"] or 0) <= 1:
            before = places.get(it.session, it.endpoint)
            if before != it.endpoint and not gateway.named({before, it.endpoint}, it.ended):
                moved.append((it, before))
            places[it.session] = it.endpoint
    times = sorted(it.ended - it.begun for it in answers)
    print(f"{len(answers)} requests, {len(gateway.changes)} changes of endpoints in the log")
    print(f"p50 {1000 * times[len(times) // 2]:.1f} ms, p99 {1000 * times[len(times) * 99 // 100]:.1f} ms")
    for cause, number in failures.most_common():
        print(f"{number} failed: {cause}")
    print(f"{len(lost)} requests lost, {len(moved)} sessions moved without a reason")
    for each in [*lost[:10], *moved[:10]]:
        print(f"  {each}")
    return 1 if lost or moved or not answers else 0


def main(reactor: Any, seconds: str = "60", seed: str = "1") -> Deferred[None]:
    """Soak, and end with the exit status."""
    return ending(soak(reactor, float(seconds), int(seed)))


if __name__ == "__main__":
    react(main, sys.argv[1:])
