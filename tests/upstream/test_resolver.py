"""Tests for asking the DNS, with a real name server on loopback."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.names import dns
from twisted.names.authority import FileAuthority
from twisted.names.server import DNSServerFactory
from twisted.trial.unittest import TestCase

from meshproxy.model import Cluster, Endpoint
from meshproxy.strategies.ring_hash import RingHashBuilder
from meshproxy.upstream.building import Builds
from meshproxy.upstream.discovery import Discovery
from meshproxy.upstream.names import Answer, NoAddress, look_up
from meshproxy.upstream.resolver import SystemResolver, _Servers

ZONE = {
    b"a.test": [dns.Record_A("10.0.0.2", 7), dns.Record_A("10.0.0.1", 9), dns.Record_AAAA("fd00::1", 8)],
    b"alias.test": [dns.Record_CNAME("a.test", 5)],
    b"many.test": [dns.Record_A(f"10.0.{number // 250}.{number % 250 + 1}", 60) for number in range(400)],
}


class Zone(FileAuthority):
    """Has its records from this file."""

    soa = (b"test", dns.Record_SOA(b"ns.test", b"me.test"))
    records = ZONE

    def loadFile(self, filename: object) -> None:
        pass


class Truncating(DNSServerFactory):
    """A server whose datagrams have no room for many records."""

    noisy = False

    def sendReply(self, protocol: Any, message: dns.Message, address: Any) -> None:
        if address is not None and len(message.answers) > 20:
            message.trunc, message.answers = 1, []
        super().sendReply(protocol, message, address)  # type: ignore[no-untyped-call]


class HangsUp(Protocol):
    """Closes when something is said."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class ServerTestCase(TestCase):
    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        factory = Truncating(authorities=[Zone("")], verbose=0)
        # TCP and UDP on one port: a truncated answer is asked for again over TCP.
        tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port = tcp.getHost().port
        udp = reactor.listenUDP(self.port, dns.DNSDatagramProtocol(factory), interface="127.0.0.1")
        self.addCleanup(udp.stopListening)
        self.addCleanup(tcp.stopListening)
        self.hosts = Path(self.mktemp())
        self.hosts.write_text("127.0.0.9 localhost listed.test\n")

    def resolver(self, *servers: tuple[str, int]) -> SystemResolver:
        resolver = SystemResolver(self.reactor, str(self.hosts), "/dev/null")
        resolver._servers = _Servers(servers=list(servers) or [("127.0.0.1", self.port)], reactor=self.reactor)
        return resolver

    def look_up(self, name: str, resolver: SystemResolver | None = None) -> Deferred[Answer]:
        return Deferred.fromCoroutine(look_up(resolver or self.resolver(), name, (), lambda address: True))


class ResolverTests(ServerTestCase):
    @inlineCallbacks
    def test_answers(self) -> Generator[Deferred[Any], Any, None]:
        """Both kinds of addresses and their TTL, through an alias or not; the case of a name does not count."""
        addresses = ("10.0.0.2", "10.0.0.1", "fd00::1")
        self.assertEqual((yield self.look_up("a.test")), Answer(addresses, 7))
        self.assertEqual((yield self.look_up("A.Test.")), Answer(addresses, 7))
        self.assertEqual((yield self.look_up("alias.test")), Answer(addresses, 5))

    @inlineCallbacks
    def test_no_name(self) -> Generator[Deferred[Any], Any, None]:
        """A name that the server does not know is none."""
        failure = yield self.assertFailure(self.look_up("x.test"), NoAddress)
        self.assertEqual(str(failure), "there is no such name")

    @inlineCallbacks
    def test_hosts_file(self) -> Generator[Deferred[Any], Any, None]:
        """A name in the hosts file is not asked for elsewhere."""
        found = yield self.look_up("listed.test", self.resolver(("127.0.0.1", 1)))
        self.assertEqual(found.addresses, ("127.0.0.9",))

    @inlineCallbacks
    def test_next_server(self) -> Generator[Deferred[Any], Any, None]:
        """A server that is not there is passed over at once."""
        found = yield self.look_up("a.test", self.resolver(("127.0.0.1", 1), ("127.0.0.1", self.port)))
        self.assertEqual(len(found.addresses), 3)

    @inlineCallbacks
    def test_no_server(self) -> Generator[Deferred[Any], Any, None]:
        """Where no server is there, that is the reason."""
        failure = yield self.assertFailure(self.look_up("a.test", self.resolver(("127.0.0.1", 1))), NoAddress)
        self.assertEqual(str(failure), "no name server answers")

    @inlineCallbacks
    def test_long_answer(self) -> Generator[Deferred[Any], Any, None]:
        """An answer that is too long for a datagram comes whole."""
        found = yield self.look_up("many.test")
        self.assertEqual(len(found.addresses), 400)

    @inlineCallbacks
    def test_long_answer_that_breaks_off(self) -> Generator[Deferred[Any], Any, None]:
        """A server that refuses TCP, or hangs up there, gives no answer, and that is known at once."""
        factory = Truncating(authorities=[Zone("")], verbose=0)
        tcp = self.reactor.listenTCP(0, Factory.forProtocol(HangsUp), interface="127.0.0.1")
        port = tcp.getHost().port
        udp = self.reactor.listenUDP(port, dns.DNSDatagramProtocol(factory), interface="127.0.0.1")
        self.addCleanup(udp.stopListening)
        for _ in range(2):
            try:
                yield self.look_up("many.test", self.resolver(("127.0.0.1", port)))
            except NoAddress as error:
                self.assertEqual(str(error), "no name server answers")
            else:
                self.fail("there is an answer")
            yield tcp.stopListening()

    @inlineCallbacks
    def test_cluster(self) -> Generator[Deferred[Any], Any, None]:
        """A cluster with a name has the addresses that a real server gives for it, built in a real thread."""
        from twisted.internet.threads import deferToThread

        replaced: list[Cluster] = []
        discovery = Discovery(
            self.reactor, self.resolver(), Builds(deferToThread), replaced.append, lambda address: True
        )
        self.addCleanup(discovery.stop)
        builder = RingHashBuilder()
        discovery.follow({"c": Cluster("c", (), builder, builder.build(()), targets=(Endpoint("a.test", 80),))})
        yield discovery.answered()
        (cluster,) = replaced
        self.assertEqual([it.key for it in cluster.endpoints], ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"])


class ConfigurationTests(ServerTestCase):
    @inlineCallbacks
    def test_of_the_system(self) -> Generator[Deferred[Any], Any, None]:
        """The servers are those of resolv.conf, which is read at the first question."""
        resolv_conf = Path(self.mktemp())
        resolver = SystemResolver(self.reactor, str(self.hosts), str(resolv_conf))
        resolv_conf.write_text("nameserver 127.0.0.1\noptions ndots:5\n")
        self.addCleanup(resolver.close)
        self.patch(dns, "PORT", self.port)
        found = yield self.look_up("a.test", resolver)
        self.assertEqual(len(found.addresses), 3)
