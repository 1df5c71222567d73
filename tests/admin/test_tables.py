"""Facts about hash tables: fingerprints, shares, what a rebuild moved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.admin import tables
from meshproxy.admin.tables import TableFacts, Tables
from meshproxy.admin.turns import Turns
from meshproxy.interfaces import ILoadBalancer
from meshproxy.model import Cluster, Endpoint
from meshproxy.strategies.maglev import MaglevBuilder
from meshproxy.strategies.ring_hash import RingHashBuilder
from tests.fakes import FixedBalancer

MEMBERS = tuple(Endpoint(f"192.0.2.{number}", 80) for number in range(1, 5))


def maglev(members: Sequence[Endpoint] = MEMBERS, size: int = 251, name: str = "a") -> Cluster:
    builder = MaglevBuilder(size)
    return Cluster(name, tuple(members), builder, builder.build(members))


def facts(clusters: Iterable[Cluster], known: Tables | None = None) -> dict[str, TableFacts]:
    """The facts about clusters that are served by their own balancers."""
    return served([(cluster, cluster.balancer) for cluster in clusters], known or Tables())


def served(pairs: Sequence[tuple[Cluster, ILoadBalancer]], known: Tables) -> dict[str, TableFacts]:
    """The facts about clusters that are served by these balancers, on a clock that stands still."""
    done = Deferred.fromCoroutine(known.find_out(pairs, Turns(Clock())))
    assert done.called
    return known.facts()


class FactsTests(SynchronousTestCase):
    def test_fingerprint(self) -> None:
        """Equal tables of two gateways have equal fingerprints; another table, size or endpoint has another one."""
        one, other = Tables(), Tables()
        first = facts([maglev()], one)["a"].fingerprint
        self.assertEqual(facts([maglev(name="b")], other)["b"].fingerprint, first)
        heavier = [evolve(MEMBERS[0], weight=2), *MEMBERS[1:]]
        ring = RingHashBuilder()
        for different in (
            maglev(size=509),
            maglev(MEMBERS[:3]),
            maglev(heavier),
            Cluster("a", MEMBERS, ring, ring.build(MEMBERS)),
        ):
            self.assertNotEqual(facts([different])["a"].fingerprint, first)

    def test_shares(self) -> None:
        """Shares are told in relation to the even one, by weight."""
        heavier = (evolve(MEMBERS[0], weight=3), *MEMBERS[1:])
        for members in (MEMBERS, heavier):
            shares = facts([maglev(members, 65537)])["a"].shares
            self.assertTrue(0.9 < shares.least_loaded <= 1 <= shares.most_loaded < 1.1)

    def test_moved(self) -> None:
        """A rebuild moves what the endpoint that left had; a table that stays moves nothing."""
        known = Tables()
        self.assertEqual(facts([maglev(size=65537)], known)["a"].moved, 0)
        smaller = maglev(MEMBERS[:3], 65537)
        moved = facts([smaller], known)["a"].moved
        self.assertTrue(0.24 < moved < 0.5, moved)
        self.assertEqual(facts([smaller], known)["a"].moved, moved)
        self.assertEqual(facts([maglev(MEMBERS[:3], 65537)], known)["a"].moved, 0)

    def test_ejected(self) -> None:
        """Facts are those of the balancer that serves, be it for a part of the endpoints."""
        cluster, part = maglev(), MaglevBuilder(251).build(MEMBERS[:3])
        found = served([(cluster, part)], Tables())["a"]
        self.assertEqual(found.shares.least_loaded, 0)
        self.assertNotEqual(found.fingerprint, facts([cluster])["a"].fingerprint)

    def test_other_strategies(self) -> None:
        """A cluster whose strategy uses no hash has no table; nor has one that is gone."""
        known = Tables()
        plain = Cluster("a", MEMBERS, FixedBalancer(MEMBERS), FixedBalancer(MEMBERS))
        self.assertEqual(facts([plain], known), {})
        self.assertEqual(list(facts([maglev(), plain], known)), ["a"])
        self.assertEqual(facts([], known), {})

    def test_no_endpoints(self) -> None:
        """An empty table has facts too."""
        found = facts([maglev(())])["a"]
        self.assertEqual((found.shares.least_loaded, found.shares.most_loaded), (0, 0))

    def test_few_at_once(self) -> None:
        """No call looks at more than so many tables; what is known of the others stays until it is their turn."""
        self.patch(tables, "MOST_AT_ONCE", 2)
        known = Tables()
        clusters = [maglev(name=str(number)) for number in range(5)]
        self.assertEqual([len(facts(clusters, known)) for _ in range(3)], [2, 4, 5])
        rebuilt = [maglev(MEMBERS[:2], name=str(number)) for number in range(5)]
        fingerprints = [len({it.fingerprint for it in facts(rebuilt, known).values()}) for _ in range(3)]
        self.assertEqual(fingerprints, [2, 2, 1])

    def test_in_turns(self) -> None:
        """The reactor may go on several times while a table is looked at; what was known is told until the end."""
        known = Tables()
        told: list[list[str]] = []
        facts([maglev(size=509)], known)

        class Told(Turns):
            async def pause(self) -> None:
                told.append(list(known.facts()))

        looking = known.find_out([(it := maglev(name="b"), it.balancer)], Told(Clock()))
        self.successResultOf(Deferred.fromCoroutine(looking))
        self.assertEqual(set(map(tuple, told)), {("a",)})
        self.assertGreater(len(told), 4)
        self.assertEqual(list(known.facts()), ["b"])

    def test_broken_strategy(self) -> None:
        """A strategy that fails or wants to leave has no facts, is logged once, and does not spoil the others."""

        class Broken(FixedBalancer):
            def pick(self, hash: int, attempt: int) -> Endpoint | None:
                raise ZeroDivisionError

        class Leaving(FixedBalancer):
            def pick(self, hash: int, attempt: int) -> Endpoint | None:
                raise SystemExit

        broken, leaving = Broken(MEMBERS, uses_hash=True), Leaving(MEMBERS, uses_hash=True)
        clusters = [Cluster("b", MEMBERS, broken, broken), Cluster("c", MEMBERS, leaving, leaving), maglev()]
        known = Tables()
        self.assertEqual(list(facts(clusters, known)), ["a"])
        self.assertEqual(list(facts(clusters, known)), ["a"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)
