"""How long a large configuration takes to load, what a reload of it takes, and how long the reactor has to wait for it.

Usage: bench_loading.py [HOSTS]

Writes a file of HOSTS (1000) virtual services of 20 different routes each, serves it, and changes it a few times: one
route in place, one more line at the beginning, and everything. Prints the processor time of the first load; for each
kind of change the wall time from the call to the installation, and the longest that a timer of the reactor was late
meanwhile; then the load of as many services with ten endpoints each, and the memory that both take. Of several rounds
the best one counts, since other processes make a machine late as well. Exit status 1 if a limit is exceeded.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter, process_time
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from meshproxy import config, garbage
from meshproxy.config.sources import Source, Sources
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.registry import Registry
from meshproxy.reload import Result, load_to_serve
from meshproxy.service import MeshService, Settings

ROUNDS = 5
LOAD_SECONDS = 3.0
RELOAD_SECONDS = 0.5
PAUSE_SECONDS = 0.05
TICK_SECONDS = 0.001

reactor: Any = installed_reactor

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway}
spec:
  servers:
  - hosts: ['*']
    port: {name: http, number: 80, protocol: HTTP}
---
"""
HEAD = """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: %(name)s
spec:
  hosts:
  - %(name)s.test
  gateways:
  - gateway
  http:
"""
ROUTE = """  - match:
    - uri:
        %(match)s
    route:
    - destination:
        host: app%(number)d.test
        port:
          number: 80
"""
SERVICE = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: app%(number)d
spec:
  hosts:
  - app%(number)d.test
  resolution: STATIC
  ports:
  - number: 80
    name: http
    protocol: HTTP
  endpoints:
"""


def matches(host: int, mark: str) -> list[str]:
    """The 20 conditions of a host: exact paths, prefixes, regular expressions, and some with more than the path."""
    paths = f"/s{host}{mark}"
    return [
        *(f"exact: {paths}/page{number}" for number in range(6)),
        *(f"prefix: {paths}/api/v{number}/" for number in range(6)),
        f"prefix: {paths}/api/\n      method:\n        exact: PUT",
        f"prefix: {paths}/shop\n      headers:\n        x-canary:\n          exact: 'yes'",
        f"prefix: {paths}/shop",
        f"regex: {paths}/item/[0-9]+",
        f"regex: {paths}/(a|b)/.*",
        f"regex: {paths}/static/.*",
        f"prefix: {paths}/Old\n      ignoreUriCase: true",
        "prefix: /",
    ]


def virtual_service(host: int, mark: str = "") -> str:
    """A document of 20 routes; with another mark, all but one of them are others."""
    name = f"host{host}"
    routes = (ROUTE % {"match": match, "number": number % 10} for number, match in enumerate(matches(host, mark)))
    return HEAD % {"name": name} + "".join(routes) + "---\n"


def service(number: int, endpoints: int) -> str:
    """A document of a service with endpoints."""
    lines = (f"  - address: 10.{number // 250}.{number % 250}.{at + 1}\n" for at in range(endpoints))
    return SERVICE % {"number": number} + "".join(lines) + "---\n"


def routes(hosts: int, mark: str = "", changed: int | None = None, before: str = "") -> str:
    """The whole configuration; with ``changed``, the first path of one of the hosts is another one."""
    services = (virtual_service(host, mark) for host in range(hosts))
    text = before + GATEWAY + "".join(service(number, 2) for number in range(10)) + "".join(services)
    return text if changed is None else text.replace(f"/s{changed}/page0\n", f"/s{changed}/another\n")


def endpoints(services: int) -> str:
    """As many services with ten endpoints each, and a virtual service for each of them."""
    made = (service(number, 10) for number in range(services))
    asking = (
        HEAD % {"name": f"host{number}"} + ROUTE % {"match": "prefix: /", "number": number}
        for number in range(services)
    )
    return GATEWAY + "".join(made) + "---\n".join(asking)


def loaded(text: str) -> float:
    """The processor time of a load of its own."""
    sources = Sources((Source("mesh.yaml", text),), "")
    registry = Registry.discover()
    began = process_time()
    with garbage.held():
        config.load(sources, registry, ProxyIdentity())
    return process_time() - began


class Lateness:
    """How late a timer of the reactor is at most."""

    def __init__(self) -> None:
        self.most = 0.0
        self._due = 0.0
        self._tick()

    def _tick(self) -> None:
        now = perf_counter()
        if self._due:
            self.most = max(self.most, now - self._due)
        self._due = now + TICK_SECONDS
        reactor.callLater(TICK_SECONDS, self._tick)

    def taken(self) -> float:
        """The most since this was asked the last time."""
        most, self.most = self.most, 0.0
        return most


class Bench:
    """Serves the configuration and changes it."""

    def __init__(self, folder: str, hosts: int) -> None:
        self.file = Path(folder) / "mesh.yaml"
        self.hosts = hosts
        self.exceeded = False
        loader = config.Loader(Registry.discover(), ProxyIdentity())

        def load(sources: Sources, previous: Snapshot | None) -> Snapshot:
            return load_to_serve(loader, sources, previous)

        def read() -> Sources:
            return config.read([self.file])

        self.file.write_text(routes(hosts))
        began = process_time()
        first = load(read(), None)
        self.report("first load, processor time", process_time() - began, LOAD_SECONDS)
        settings = Settings({80: 0}, "127.0.0.1", "off")
        self.service = MeshService(
            reactor, first, settings, [str(self.file)], read, load, deferToThread, settle=garbage.settle
        )

    def report(self, what: str, seconds: float, limit: float | None) -> None:
        """Print a figure, and note whether it is above its limit."""
        over = limit is not None and seconds > limit
        self.exceeded |= over
        print(f"{what:55}{seconds * 1000:8.1f} ms{'  ABOVE THE LIMIT' if over else ''}")

    async def run(self) -> None:
        """All changes."""
        lateness = Lateness()
        self.service.startService()
        await _later(0.5)
        changes: dict[str, Callable[[int], str]] = {
            "one route": lambda it: routes(self.hosts, changed=it),
            "one line more at the beginning": lambda it: routes(self.hosts, before="# more\n" * (it + 1)),
            "every route": lambda it: routes(self.hosts, mark=f"-{it}"),
        }
        for what, change in changes.items():
            times, pauses = [], []
            for turn in range(ROUNDS):
                text = change(turn)
                self.file.write_text(text)
                await _later(0.2)
                lateness.taken()
                began = perf_counter()
                outcome = await self.service.reload.ask("bench")
                times.append(perf_counter() - began)
                await _later(0.1)
                pauses.append(lateness.taken())
                assert outcome.result is Result.INSTALLED, outcome
            self.report(f"reload, {what}", min(times), None if what == "every route" else RELOAD_SECONDS)
            self.report("  longest pause", min(pauses), PAUSE_SECONDS)
        await self.service.stopService()


def _later(seconds: float) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)
    return done


def main() -> None:
    """Measure and print."""
    hosts = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder, hosts)
        memory = getrusage(RUSAGE_SELF).ru_maxrss
        print(f"most memory so far: {memory // 1024} MiB")
        running = Deferred.fromCoroutine(bench.run())
        running.addErrback(lambda failure: failure.printTraceback())
        running.addBoth(lambda _: reactor.stop())
        reactor.run()
    text = endpoints(hosts)
    gc.collect()
    bench.report(f"{hosts} services with 10 endpoints each", min(loaded(text) for _ in range(3)), LOAD_SECONDS)
    raise SystemExit(bench.exceeded)


if __name__ == "__main__":
    main()
