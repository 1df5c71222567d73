"""Clusters whose endpoints are found by name, with a name server as others run it: dnsmasq."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs
from twisted.trial.unittest import SkipTest, TestCase

from meshproxy.explain.keyspace import least_movement, movement, sample_hashes
from meshproxy.interfaces import ILoadBalancer, ILoadBalancerBuilder
from meshproxy.model import Cluster, Endpoint
from meshproxy.strategies.maglev import MaglevBuilder
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.upstream.building import Builds
from meshproxy.upstream.discovery import Discovery
from meshproxy.upstream.hosts import ClusterState, Upstreams
from meshproxy.upstream.resolver import SystemResolver, _Servers
from tests.processes import PATIENCE, Process, free_port

DNSMASQ = shutil.which("dnsmasq", path="/usr/sbin:/usr/local/sbin:/usr/bin")
NAME = "outbound|80||app.test"
HASHES = sample_hashes(5000)


class NameServer:
    """A dnsmasq on loopback that knows some names, each for a second; it can be told others."""

    def __init__(self, folder: Path, log_queries: bool) -> None:
        assert DNSMASQ is not None
        folder.mkdir(parents=True)
        self.port = free_port()
        self._names = folder / "names"
        self._names.write_text("")
        self._reads = 1
        self.process = Process(
            [
                *(DNSMASQ, "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--user="),
                *("--no-resolv", "--no-hosts", "--local=/test/", "--local-ttl=1", "--pid-file"),
                *(f"--port={self.port}", "--listen-address=127.0.0.1", "--bind-interfaces"),
                *(["--log-queries"] if log_queries else []),
                f"--addn-hosts={self._names.resolve()}",
            ]
        )
        self._wait_for_read()

    def know(self, **names: Sequence[str]) -> None:
        """Know these names below ``.test``, with their addresses in this order, and no others."""
        self._names.write_text("".join(f"{it} {name}.test\n" for name, its in names.items() for it in its))
        self._reads += 1
        self.process.signal(signal.SIGHUP)
        self._wait_for_read()

    def _wait_for_read(self) -> None:
        self.process.wait_for(rf"(?s)(?:read {self._names.resolve()}.*?){{{self._reads}}}")

    def end(self) -> None:
        self.process.end()


class NameServerTestCase(TestCase):
    log_queries = False  # whoever has them logged has to read the log

    def setUp(self) -> None:
        if DNSMASQ is None:
            raise SkipTest("there is no dnsmasq; on Debian, as root: tools/debian_packages dnsmasq-base")
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.server = NameServer(Path(self.mktemp()), self.log_queries)
        self.addCleanup(self.server.end)
        resolver = SystemResolver(reactor, "/dev/null", "/dev/null")
        resolver._servers = _Servers(servers=[("127.0.0.1", self.server.port)], reactor=reactor)
        self.upstreams = Upstreams(reactor, lambda pool: None)
        builds = Builds(deferToThread)
        self.discovery = Discovery(reactor, resolver, builds, self.upstreams.replace)
        self.upstreams.follow = self.discovery.follow
        self.upstreams.builds = builds
        self.addCleanup(self.discovery.stop)

    async def serve(self, builder: ILoadBalancerBuilder | None = None, logical: bool = False) -> None:
        """Serve a cluster of whatever is at ``app.test``; returns when that was looked up."""
        used = builder or RingHashBuilder()
        targets = (Endpoint("app.test", 80),)
        self.upstreams.update({NAME: Cluster(NAME, (), used, used.build(()), targets=targets, logical=logical)})
        await self.discovery.answered()

    @property
    def state(self) -> ClusterState:
        return self.upstreams.clusters[NAME]

    @property
    def addresses(self) -> list[str]:
        return [endpoint.address for endpoint in self.state.cluster.endpoints]

    async def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"still {self.addresses}\n{self.server.process.output}")
            await deferLater(self.reactor, 0.02)

    async def become(self, *addresses: str) -> None:
        """The name gets these addresses; returns when they are served."""
        self.server.know(app=addresses)
        await self.until(lambda: self.addresses == sorted(addresses))


class DnsTests(NameServerTestCase):
    async def test_changes(self) -> None:
        """Answers are followed when their time is over; what stays keeps its state, what is gone is retired."""
        self.server.know(app=["10.0.0.2", "10.0.0.1"])
        await self.serve()
        self.assertEqual(self.addresses, ["10.0.0.1", "10.0.0.2"])
        first, second = self.state.hosts.values()
        await self.become("10.0.0.2", "10.0.0.3")
        self.assertIs(self.state.hosts[Endpoint("10.0.0.2", 80)], second)
        self.assertTrue(first.pool.retired)
        self.assertFalse(second.pool.retired)

    async def test_lost(self) -> None:
        """The last good answer holds when the name is gone, and when the server is; each is logged once."""
        self.server.know(app=["10.0.0.1", "10.0.0.2"])
        await self.serve()
        with capturedLogs() as logs:
            self.server.know(other=["10.0.0.9"])
            await self.until(lambda: any(event.get("why") == "there is no such name" for event in logs))
        self.assertEqual(self.addresses, ["10.0.0.1", "10.0.0.2"])
        self.assertEqual(len([event for event in logs if "name" in event]), 1)

    async def test_server_gone(self) -> None:
        """Without a name server the last good answer holds, and the log says so."""
        self.server.know(app=["10.0.0.1"])
        await self.serve()
        with capturedLogs() as logs:
            self.server.end()
            await self.until(lambda: any(event.get("why") == "no name server answers" for event in logs))
        self.assertEqual(self.addresses, ["10.0.0.1"])

    async def test_unknown_from_the_start(self) -> None:
        """A name that is not there has no endpoint, and keeps nothing else from being served."""
        await self.serve()
        self.assertEqual(self.addresses, [])
        self.assertIsNone(self.state.balancer.pick(1, 0))

    async def test_hundreds(self) -> None:
        """An answer that fits into no datagram is asked for over TCP: all addresses are endpoints."""
        addresses = [f"10.0.{number // 200}.{number % 200 + 1}" for number in range(600)]
        self.server.know(app=addresses)
        await self.serve()
        self.assertEqual(self.addresses, sorted(addresses))

    async def test_one_host(self) -> None:
        """With DNS_ROUND_ROBIN there is one endpoint, whose address changes and whose state stays."""
        self.server.know(app=["10.0.0.7"])
        await self.serve(logical=True)
        (host,) = self.state.hosts.values()
        host.requests = 5
        self.server.know(app=["10.0.0.8"])
        await self.until(lambda: self.addresses == ["10.0.0.8"])
        self.assertEqual(list(self.state.hosts.values()), [host])
        self.assertEqual((host.address, host.requests), ("10.0.0.8", 5))


class PaceTests(NameServerTestCase):
    log_queries = True

    async def test_time_to_live(self) -> None:
        """A name is asked for again when its answer is out of date, and no more often."""
        self.server.know(app=["10.0.0.1"])
        await self.serve()
        began = time.monotonic()
        asked = len(self.queries())
        await self.until(lambda: len(self.queries()) >= asked + 3)
        self.assertGreaterEqual(time.monotonic() - began, 2.0)

    def queries(self) -> list[str]:
        """The lines about queries for IPv4 that the server has written so far."""
        self.server.process.read_now()
        return [line for line in self.server.process.output.splitlines() if "query[A] app.test" in line]


class SessionTests(NameServerTestCase):
    async def changed(self, builder: ILoadBalancerBuilder, before: int, after: int) -> float:
        """The part of the sessions that move as a name goes from so many addresses to so many."""
        self.server.know(app=[f"10.0.0.{number}" for number in range(1, before + 1)])
        await self.serve(builder)
        old, endpoints = self.state.balancer, self.state.cluster.endpoints
        await self.become(*(f"10.0.0.{number}" for number in range(1, after + 1)))
        new, members = self.state.balancer, self.state.cluster.endpoints
        self.assertEqual(self.picks(new), self.picks(builder.build(members)))
        moved = movement(old, endpoints, new, members, HASHES)
        strangers = [pair for pair in moved.pairs if pair[1] in {it.key for it in endpoints}]
        if after > before and not isinstance(builder, MaglevBuilder):
            self.assertEqual(strangers, [], "sessions moved between endpoints that were there before")
        return moved.moved - least_movement(endpoints, members)

    def picks(self, balancer: ILoadBalancer) -> list[Any]:
        return [balancer.pick(it, 0) for it in HASHES]

    async def test_ring(self) -> None:
        """An endpoint more takes its share of the sessions, and no session moves between the others."""
        self.assertLess(await self.changed(RingHashBuilder(minimum_size=1), 200, 201), 0.02)

    async def test_maglev(self) -> None:
        """One endpoint fewer: its sessions go to others, and hardly any else, as Maglev has it."""
        self.assertLess(await self.changed(MaglevBuilder(), 10, 9), 0.05)
