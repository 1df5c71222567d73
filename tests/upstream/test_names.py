"""Tests for looking names up and for keeping the answers current."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.names import dns
from twisted.names.error import DNSServerError
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.upstream.names import Answer, Names, NoAddress, is_routable, look_up
from tests.upstream.answers import FakeResolver, record


def everywhere(address: str) -> bool:
    return True


class LookUpTests(SynchronousTestCase):
    def look_up(self, resolver: FakeResolver, *before: str, routable: Any = everywhere) -> Answer:
        return self.successResultOf(Deferred.fromCoroutine(look_up(resolver, "a.test", before, routable)))

    def test_both_kinds(self) -> None:
        """Addresses of both kinds in the order of the answers, IPv4 first, each once; the shortest TTL."""
        resolver = FakeResolver(
            a=[record("a.test", "FD00::1", 20), record("a.test", "10.0.0.2"), "10.0.0.1", "10.0.0.2"]
        )
        self.assertEqual(self.look_up(resolver), Answer(("10.0.0.2", "10.0.0.1", "fd00::1"), 20))

    def test_one_kind(self) -> None:
        """One kind is enough, and the TTL is that of the records that are there."""
        self.assertEqual(self.look_up(FakeResolver(a=[record("a.test", "10.0.0.1", 99)])), Answer(("10.0.0.1",), 99))

    def test_aliases(self) -> None:
        """Aliases are followed within an answer, and asked about where it ends with one; their TTL counts too."""
        within = FakeResolver(a=[record("a.test", "B.test", 5), record("b.test", "10.0.0.1"), "10.9.9.9"])
        self.assertEqual(self.look_up(within), Answer(("10.0.0.1",), 5))
        beyond = FakeResolver(a=[record("a.test", "b.test", 7)], b=["10.0.0.1"])
        self.assertEqual(self.look_up(beyond), Answer(("10.0.0.1",), 7))
        self.assertEqual(beyond.asked, ["a.test", "b.test"])

    def test_alias_loop(self) -> None:
        """Aliases that end nowhere are no address."""
        for resolver in (
            FakeResolver(a=["b.test"], b=["a.test"]),
            FakeResolver(a=["a.test"]),
            FakeResolver(a=[record("a.test", "b.test"), record("b.test", "a.test")]),
        ):
            self.failureResultOf(Deferred.fromCoroutine(look_up(resolver, "a.test")), NoAddress)

    def test_reasons(self) -> None:
        """Why there is no address, in words."""
        for resolver, reason in (
            (FakeResolver(), "there is no such name"),
            (FakeResolver(a=[]), "it has no address"),
            (FakeResolver(a=DNSServerError()), "the name server failed"),
            (FakeResolver(a=defer.TimeoutError()), "no name server answers"),
        ):
            failure = self.failureResultOf(Deferred.fromCoroutine(look_up(resolver, "a.test")), NoAddress)
            self.assertEqual(str(failure.value), reason)

    def test_other_kind_fails(self) -> None:
        """Where one kind cannot be asked for, its addresses of before still count; if it says "no name", not."""
        resolver = FakeResolver(a=["10.0.0.2"])
        resolver.errors["a.test", dns.AAAA] = DNSServerError()
        self.assertEqual(self.look_up(resolver, "10.0.0.1", "fd00::1").addresses, ("10.0.0.2", "fd00::1"))
        del resolver.errors["a.test", dns.AAAA]
        self.assertEqual(self.look_up(resolver, "10.0.0.1", "fd00::1").addresses, ("10.0.0.2",))

    def test_no_way(self) -> None:
        """IPv6 addresses without a way to them are left out, unless nothing else is there."""
        both = FakeResolver(a=["10.0.0.1", "fd00::1"])
        self.assertEqual(self.look_up(both, routable=lambda it: False).addresses, ("10.0.0.1",))
        only = FakeResolver(a=["fd00::1"])
        self.assertEqual(self.look_up(only, routable=lambda it: False).addresses, ("fd00::1",))

    def test_is_routable(self) -> None:
        """An address that is no address of this machine's families has no way to it."""
        self.assertFalse(is_routable("10.0.0.1"))


class NamesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.resolver = FakeResolver(a=[record("a.test", "10.0.0.1", 10)])
        self.changed: list[str] = []
        self.names = Names(self.clock, self.resolver, self.changed.append, everywhere)
        self.said: list[str] = []

        def observe(event: Any) -> None:
            if event["log_level"] >= LogLevel.info and "name" in event:
                self.said.append(f"{event['log_level'].name}: {event['log_format'].format(**event)}")

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def test_by_ttl(self) -> None:
        """A name is looked up again when its TTL is over, and a change is told, once; no change is none."""
        self.names.watch(["a.test"])
        self.assertEqual((self.names.addresses("a.test"), self.changed), (("10.0.0.1",), ["a.test"]))
        self.clock.advance(9.9)
        self.assertEqual(len(self.resolver.asked), 1)
        self.clock.advance(0.1)
        self.assertEqual((len(self.resolver.asked), len(self.changed)), (2, 1))
        self.resolver.answers["a.test"] = ["10.0.0.2"]
        self.clock.advance(10)
        self.assertEqual((self.names.addresses("a.test"), len(self.changed)), (("10.0.0.2",), 2))

    def test_shortest_ttl(self) -> None:
        """A TTL of zero is one second."""
        self.resolver.answers["a.test"] = [record("a.test", "10.0.0.1", 0)]
        self.names.watch(["a.test"])
        self.clock.advance(0.99)
        self.assertEqual(len(self.resolver.asked), 1)
        self.clock.advance(0.01)
        self.assertEqual(len(self.resolver.asked), 2)

    def test_last_good_answer(self) -> None:
        """A failure keeps the last answer and is followed by a try a minute later; both changes are logged once."""
        self.names.watch(["a.test"])
        del self.resolver.answers["a.test"]
        self.clock.advance(10)
        self.clock.pump([60, 60])
        self.assertEqual((self.names.addresses("a.test"), len(self.changed)), (("10.0.0.1",), 1))
        self.assertEqual(len(self.resolver.asked), 4)
        self.assertEqual(self.said, ["warn: a.test is not found and keeps its last answer: there is no such name"])
        self.resolver.answers["a.test"] = ["10.0.0.1"]
        self.clock.advance(60)
        self.assertEqual(self.said[1:], ["info: a.test is found again"])

    def test_first_failure(self) -> None:
        """A name that never had an answer has had an outcome all the same, which is told and logged once."""
        self.names.watch(["b.test"])
        self.assertTrue(self.names.is_tried("b.test"))
        self.assertEqual((self.names.addresses("b.test"), self.changed), ((), ["b.test"]))
        self.clock.pump([60, 60])
        self.assertEqual((len(self.changed), len(self.said)), (1, 1))
        self.assertIn("b.test is not found and has no endpoint", self.said[0])

    def test_no_answer(self) -> None:
        """A resolver that never answers is given up on, which is a failure."""
        self.resolver.held = True
        self.names.watch(["a.test"])
        self.assertFalse(self.names.is_tried("a.test"))
        self.clock.advance(45)
        self.assertTrue(self.names.is_tried("a.test"))
        self.assertIn("no name server answers", self.said[0])

    def test_watched_no_more(self) -> None:
        """What is watched no more is neither asked about nor told, and late answers do nothing."""
        self.names.watch(["a.test", "b.test"])
        self.resolver.held = True
        self.clock.advance(10)
        self.names.watch([])
        self.resolver.answers["a.test"] = ["10.0.0.9"]
        asked = len(self.resolver.asked)
        self.resolver.release()
        self.clock.pump([60, 60])
        self.assertEqual((len(self.changed), len(self.resolver.asked)), (2, asked))
        self.assertEqual(self.names.addresses("a.test"), ())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_watched_on(self) -> None:
        """A name that stays watched is not asked about anew."""
        self.names.watch(["a.test"])
        self.names.watch(["b.test", "a.test"])
        self.assertEqual(self.resolver.asked, ["a.test", "b.test"])
