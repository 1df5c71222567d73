"""Let everything break that can break under load, for a bounded time, and see that nothing is lost beyond it.

    python -m tests.chaos [SECONDS [SEED]]

Workers of a gateway are killed, told to drain and paused; its configuration is changed, spoilt and half-written, it is
restarted hot; endpoints of one of two services go down, hang, talk nonsense and cut their answers. Clients with a
session each check every byte that they get, and by which generation of the configuration; ``wrk`` makes load where it
is installed. ``verdict`` has the rules. The seed repeats what is done, not its timing.

Exit status: 0 if no rule was broken, 1 if one was, 2 if the gateway does not serve.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater, react
from twisted.internet.utils import getProcessOutputAndValue

from tests.chaos.clients import ANSWER_SECONDS, Ending, Session
from tests.chaos.configuration import Configuration
from tests.chaos.disturbing import BrokenRuleError, Reloading, disturb_endpoints, disturb_workers
from tests.chaos.endpoints import ChaosEndpoint
from tests.chaos.verdict import SHAKY, STEADY, Disturbances, Verdict, judge
from tests.soak.gateway import Gateway
from tests.soak.peers import State
from tests.soak.program import ending

WORKERS, SESSIONS, STEADY_ENDPOINTS, SHAKY_ENDPOINTS = 2, 12, 4, 6
WRK_CONNECTIONS = 4
_TRACEBACK_LINES = 30


async def chaos(reactor: Any, seconds: float, seed: int) -> int:
    """The exit status."""
    steady = [ChaosEndpoint(reactor) for _ in range(STEADY_ENDPOINTS)]
    shaky = [ChaosEndpoint(reactor) for _ in range(SHAKY_ENDPOINTS)]
    first = Configuration({STEADY: [it.port for it in steady], SHAKY: [it.port for it in shaky]})
    told = Disturbances()
    endings: list[Ending] = []
    broken: list[str] = []
    with TemporaryDirectory() as folder:
        config, access_log = Path(folder, "mesh.yaml"), Path(folder, "access.log")
        config.write_text(first.text())
        gateway = Gateway(reactor, config, access_log, WORKERS)
        try:
            port = await gateway.port
        except RuntimeError as error:
            print(error)
            return 2
        if not await gateway.says(f"{WORKERS} workers serve"):
            print(gateway.log)
            return 2
        reloading = Reloading(reactor, gateway, config, first, Random(f"{seed} configuration"), told)
        sessions = [
            Session(reactor, port, service, f"{service}-{n}", lambda: reloading.in_force, endings.append)
            for service in (STEADY, SHAKY)
            for n in range(SESSIONS)
        ]
        for session in sessions:
            session.connect()
        until = reactor.seconds() + seconds
        of_workers, of_endpoints = Random(f"{seed} workers"), Random(f"{seed} endpoints")

        async def endpoints() -> None:
            disturb_endpoints(shaky, of_endpoints, told)

        load = wrk(reactor, port, seconds)
        acts = (
            (of_workers, (1.0, 6.0), lambda: disturb_workers(reactor, gateway, port, of_workers, told)),
            (Random(f"{seed} pauses"), (0.1, 1.5), reloading.disturb),
            (of_endpoints, (0.5, 2.5), endpoints),
        )
        ends = [Deferred.fromCoroutine(again(reactor, until, gateway, *act)) for act in acts]
        for succeeded, result in await DeferredList(ends, consumeErrors=True):
            if not succeeded:
                broken.append(result.getErrorMessage())
        for endpoint in shaky:
            endpoint.become(State.UP)
        for session in sessions:
            session.ended = True
        broken += wrk_breaks(await load, told)
        deadline = reactor.seconds() + ANSWER_SECONDS + 1
        while reactor.seconds() < deadline and any(session.asks for session in sessions):
            await deferLater(reactor, 0.1)
        await gateway.end()
        broken += tracebacks(gateway.log)
        lines = map(json.loads, access_log.read_text().splitlines())
        flags = {it["id"]: it["flags"] for it in lines if it["flags"] not in (None, "-")}
    verdict = judge(endings, told, [*steady, *shaky], flags, gateway.named)
    report(verdict, told, endings, broken)
    return 0 if verdict.is_good and not broken else 1


async def again(
    reactor: Any,
    until: float,
    gateway: Gateway,
    rng: Random,
    pause: tuple[float, float],
    act: Callable[[], Awaitable[None]],
) -> None:
    """Do something again and again with pauses."""
    while reactor.seconds() < until:
        await deferLater(reactor, min(rng.uniform(*pause), max(0.0, until - reactor.seconds())))
        if gateway.ended.called:
            raise BrokenRuleError(f"the gateway has ended:\n{gateway.log[-2000:]}")
        await act()


def wrk(reactor: Any, port: int, seconds: float) -> Deferred[str]:
    """What ``wrk`` prints, empty where there is none."""
    program = shutil.which("wrk")
    if program is None:
        print("wrk is not installed: only the clients that check make load")
        nothing: Deferred[str] = Deferred()
        nothing.callback("")
        return nothing
    options = ["-t1", f"-c{WRK_CONNECTIONS}", f"-d{max(1, int(seconds))}s", f"--timeout={ANSWER_SECONDS:.0f}s"]
    running: Deferred[str] = getProcessOutputAndValue(
        program, [*options, f"http://127.0.0.1:{port}/steady"], reactor=reactor
    ).addCallback(lambda result: result[0].decode())
    return running


def wrk_breaks(output: str, told: Disturbances) -> list[str]:
    """The rules that were broken for ``wrk``: nothing but connections of killed workers may fail."""
    for line in output.splitlines():
        if re.search("requests in|errors|responses", line):
            print(f"wrk: {line.strip()}")
    errors = {name: int(number) for name, number in re.findall(r"(connect|read|write|timeout) (\d+)", output)}
    bad = {name: number for name, number in errors.items() if number and name in ("connect", "timeout")}
    cut = errors.get("read", 0) + errors.get("write", 0)
    if cut > WRK_CONNECTIONS * told.counts()["worker killed"]:
        bad["connections cut"] = cut
    if refused := re.search(r"Non-2xx or 3xx responses: (\d+)", output):
        bad["other statuses"] = int(refused[1])
    return [f"wrk: {number} {name}" for name, number in bad.items()]


def tracebacks(log: str) -> list[str]:
    """Where a log has tracebacks, with what comes behind them."""
    lines = log.splitlines()
    return [
        "\n".join(["in the log:", *lines[at : at + _TRACEBACK_LINES]])
        for at, line in enumerate(lines)
        if "Traceback (most recent" in line
    ]


def report(verdict: Verdict, told: Disturbances, endings: list[Ending], broken: list[str]) -> None:
    """Print what was done and what came of it."""
    print("; ".join(f"{number} times {what}" for what, number in sorted(told.counts().items())))
    times = sorted(it.ended - it.begun for it in endings if it.status == 200)
    if times:
        p50, p99 = (1000 * times[len(times) * part // 100] for part in (50, 99))
        print(f"{verdict.requests} requests checked, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    for cause, number in verdict.failures.most_common():
        print(f"{number} failed: {cause}")
    print(
        f"{len(verdict.lost)} requests lost, {len(verdict.moved)} sessions moved without a cause, "
        f"{verdict.corrupted} bytes corrupted, {len(verdict.stale)} answers by an old configuration"
    )
    for each in [*verdict.lost[:10], *verdict.moved[:10], *verdict.stale[:10]]:
        print(f"  {each}\n    {told.before(each.ended)}")
    for rule in broken[:10]:
        print(f"  {rule}")


def main(reactor: Any, seconds: str = "60", seed: str = "1") -> Deferred[None]:
    """Run, and end with the exit status."""
    return ending(chaos(reactor, float(seconds), int(seed)))


if __name__ == "__main__":
    react(main, sys.argv[1:])
