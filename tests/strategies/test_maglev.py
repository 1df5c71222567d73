"""Maglev tables have the slots of Envoy's."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from meshproxy.errors import ConfigError
from meshproxy.hashing import xxh64
from meshproxy.interfaces import IDescribes, IHasTable, ILoadBalancer, ILoadBalancerBuilder
from meshproxy.strategies import shares
from meshproxy.strategies.maglev import Maglev, MaglevBuilder, build_table, from_config, is_prime, table_steps
from meshproxy.testing import setting
from tests.properties import steady
from tests.strategies.scenarios import Host
from tests.vectors import load

_HASHES = st.integers(0, 2**64 - 1)


def _hosts(case: dict) -> list[tuple[Host, float]]:
    if "localities" in case:
        return shares.by_locality(
            [(weight, [(Host(key), own) for key, own in members]) for weight, members in case["localities"]]
        )
    return shares.flat([(Host(key, weight), weight) for key, weight in case["hosts"]])


def _weighted_hosts(weights: list[int]) -> list[Host]:
    return [Host(f"10.0.0.{number}:80", weight) for number, weight in enumerate(weights)]


class StatedTableTests(SynchronousTestCase):
    def test_every_stated_fact(self) -> None:
        """Slots, fewest and most slots and picks are as stated for each of the 7 tables."""
        checked = Counter()
        for case in load("unit-maglev")["cases"]:
            hosts = _hosts(case)
            balancer = Maglev(hosts, case["table_size"])
            if "table" in case:
                checked["table"] += 1
                table = [balancer.pick(slot, 0).key for slot in range(case["table_size"])]
                self.assertEqual(table, case["table"], case["name"])
            if "per_host" in case:
                checked["per_host"] += 1
                facts = balancer.describe()
                fewest_and_most = [facts["min_entries_per_host"], facts["max_entries_per_host"]]
                self.assertEqual(fewest_and_most, case["per_host"], case["name"])
            for number, attempt, key in case.get("picks", ()):
                checked["pick"] += 1
                picked = balancer.pick(int(number), attempt)
                self.assertEqual(picked and picked.key, key, (case["name"], number, attempt))
        self.assertEqual(checked, {"table": 5, "per_host": 6, "pick": 4}, "some facts were not looked at")


class MaglevTests(SynchronousTestCase):
    def test_interfaces(self) -> None:
        """Builder and balancer provide what they say."""
        builder = MaglevBuilder(7)
        verifyObject(ILoadBalancerBuilder, builder)
        balancer = builder.build(_weighted_hosts([1, 1]))
        verifyObject(ILoadBalancer, balancer)
        verifyObject(IDescribes, balancer)
        verifyObject(IHasTable, balancer)

    def test_built_when_needed(self) -> None:
        """The table is built by the first pick, or before it; of many endpoints each slot takes more room."""
        for count, width in ((1, 1), (256, 1), (257, 2)):
            early, late = (MaglevBuilder(1009).build(_weighted_hosts([1] * count)) for _ in range(2))
            self.assertEqual(early.table_bytes, 1009 * width)
            early.build_table()
            for slot in range(0, 1009, 50):
                self.assertEqual(early.pick(slot, 0), late.pick(slot, 0))

    def test_no_endpoints(self) -> None:
        """A table without endpoints picks none and has no candidates."""
        balancer = MaglevBuilder(7).build([])
        self.assertIsNone(balancer.pick(1, 0))
        self.assertIsNone(balancer.pick(1, 3))
        self.assertEqual(list(balancer.candidates(1)), [])

    def test_smallest_tables(self) -> None:
        """The sizes that Istio lets through as primes without being useful still build."""
        for size in (1, 2, 3):
            self.assertEqual(len(build_table([("a", 0.5), ("b", 0.5)], size)), size)

    def test_steps(self) -> None:
        """However large a table is, a step fills no more than a few slots."""
        for count in (3, 300):
            hosts = [(f"10.0.0.{number}:80", 1 / count) for number in range(count)]
            self.assertGreater(len(list(table_steps(hosts, 10007))), 10007 / 50)

    def test_primes(self) -> None:
        """Exactly primes pass, and 1, as Istio has it."""
        accepted = [number for number in range(30) if is_prime(number)]
        self.assertEqual(accepted, [1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29])
        self.assertTrue(is_prime(65537))
        self.assertFalse(is_prime(65537 * 3))

    def test_setting(self) -> None:
        """The configured size is the builder's, and builders compare by it."""
        self.assertEqual(from_config(setting("{tableSize: 1009}")), MaglevBuilder(1009))
        self.assertNotEqual(MaglevBuilder(1009), MaglevBuilder(1013))

    def test_refused_sizes(self) -> None:
        """What Istio's validation refuses is refused: no size, 0, no prime, from 5000011 on."""
        for text in ("{}", "{tableSize: 0}", "{tableSize: 65536}", "{tableSize: 5000011}", '{tableSize: "7"}'):
            error = self.assertRaises(ConfigError, from_config, setting(f"{text}"))
            self.assertEqual(error.diagnostics[0].location.line, 1, text)
            self.assertIn("tableSize", error.diagnostics[0].message, text)


class MaglevPropertyTests(SynchronousTestCase):
    @steady
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.randoms(use_true_random=False))
    def test_order_does_not_matter(self, weights: list[int], random: object) -> None:
        """However the endpoints are ordered in the configuration, the table is the same."""
        hosts = _weighted_hosts(weights)
        shuffled = list(hosts)
        random.shuffle(shuffled)
        first, second = (MaglevBuilder(251).build(order) for order in (hosts, shuffled))
        for slot in range(251):
            self.assertEqual(first.pick(slot, 0), second.pick(slot, 0))

    @steady
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    def test_balance(self, weights: list[int]) -> None:
        """Slots are in proportion to weights, to within two: no host is more than a turn ahead or behind."""
        table = build_table([(host.key, share) for host, share in shares.of_endpoints(_weighted_hosts(weights))], 1009)
        for index, weight in enumerate(weights):
            self.assertLessEqual(abs(table.count(index) - 1009 * weight / sum(weights)), 2)

    @steady
    @given(st.lists(st.integers(1, 300), min_size=1, max_size=12), st.sampled_from([7, 31, 251]))
    def test_turns(self, weights: list[int], size: int) -> None:
        """The table is what turns through all hosts yield, each asked in each turn whether it is its turn."""
        hosts = [(host.key, share) for host, share in shares.of_endpoints(_weighted_hosts(weights))]
        self.assertEqual(list(build_table(hosts, size)), _turn_by_turn(hosts, size))

    @steady
    @given(st.integers(1, 12), _HASHES)
    def test_candidates(self, count: int, hash: int) -> None:
        """Candidates are all endpoints, each once, beginning with the pick; more hosts than slots too."""
        hosts = _weighted_hosts([1] * count)
        balancer = MaglevBuilder(7).build(hosts)
        candidates = list(balancer.candidates(hash))
        self.assertCountEqual(candidates, hosts)
        self.assertEqual(candidates[0], balancer.pick(hash, 0))


def _turn_by_turn(hosts: list[tuple[str, float]], size: int) -> list[int]:
    """The rule as it is stated, without any shortcut."""
    order = sorted(range(len(hosts)), key=lambda index: hosts[index][0])
    most = max(share for _, share in hosts)
    table: list[int | None] = [None] * size
    target = dict.fromkeys(order, 0.0)
    step = dict.fromkeys(order, 0)
    turn = 0
    while None in table:
        turn += 1
        for index in order:
            key, share = hosts[index]
            if None not in table or turn * share < target[index]:
                continue
            target[index] += most
            offset, skip = xxh64(key.encode()) % size, xxh64(key.encode(), 1) % (size - 1) + 1
            while table[(offset + skip * step[index]) % size] is not None:
                step[index] += 1
            table[(offset + skip * step[index]) % size] = index
            step[index] += 1
    return table
