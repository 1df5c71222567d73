"""Rings have the entries of Envoy's."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from meshproxy.errors import ConfigError
from meshproxy.interfaces import IDescribes, IHasTable, ILoadBalancer, ILoadBalancerBuilder
from meshproxy.strategies import ring_hash, shares
from meshproxy.strategies.ring_hash import RingHash, RingHashBuilder, build_ring, from_config, ring_steps
from meshproxy.testing import setting
from tests.properties import steady
from tests.strategies.scenarios import Host
from tests.vectors import load

_HASHES = st.integers(0, 2**64 - 1)
_HOST_COUNTS = st.integers(1, 12)


def _hosts(case: dict) -> list[tuple[Host, float]]:
    if "localities" in case:
        return shares.by_locality(
            [(weight, [(Host(key), own) for key, own in members]) for weight, members in case["localities"]]
        )
    return shares.flat([(Host(key, weight), weight) for key, weight in case["hosts"]])


def _settings(case: dict) -> RingHashBuilder:
    return RingHashBuilder(case.get("min", 1024), case.get("max", 8388608), case.get("function", "xxhash64"))


def _equal_hosts(count: int) -> list[Host]:
    return [Host(f"10.0.0.{number}:80") for number in range(count)]


class StatedRingTests(SynchronousTestCase):
    def test_every_stated_fact(self) -> None:
        """Size, entries, fewest and most entries, picks and sweeps are as stated for each of the 15 rings."""
        checked = Counter()
        for case in load("unit-ring")["cases"]:
            hosts, settings = _hosts(case), _settings(case)
            ring = build_ring(
                [(host.key, share) for host, share in hosts],
                settings.minimum_size,
                settings.maximum_size,
                settings.function,
            )
            balancer = RingHash(hosts, settings)
            if "size" in case:
                checked["size"] += 1
                self.assertEqual(len(ring.hashes), case["size"], case["name"])
            if "ring" in case:
                checked["ring"] += 1
                entries = [
                    [str(entry), hosts[owner][0].key] for entry, owner in zip(ring.hashes, ring.owners, strict=True)
                ]
                self.assertEqual(entries, case["ring"], case["name"])
            if "per_host" in case:
                checked["per_host"] += 1
                facts = balancer.describe()
                fewest_and_most = [facts["min_hashes_per_host"], facts["max_hashes_per_host"]]
                self.assertEqual(fewest_and_most, case["per_host"], case["name"])
            for number, attempt, key in case.get("picks", ()):
                checked["pick"] += 1
                picked = balancer.pick(int(number), attempt)
                self.assertEqual(picked and picked.key, key, (case["name"], number, attempt))
            if "sweep" in case:
                checked["sweep"] += 1
                points = case["sweep"]["points"]
                step = (2**64 - 1) // points
                counts = Counter(balancer.pick(number * step, 0).key for number in range(points))
                self.assertEqual(counts, case["sweep"]["counts"], case["name"])
        self.assertEqual(
            checked, {"size": 14, "ring": 5, "per_host": 14, "pick": 49, "sweep": 4}, "some facts were not looked at"
        )


class RingHashTests(SynchronousTestCase):
    def test_interfaces(self) -> None:
        """Builder and balancer provide what they say."""
        builder = RingHashBuilder()
        verifyObject(ILoadBalancerBuilder, builder)
        balancer = builder.build(_equal_hosts(2))
        verifyObject(ILoadBalancer, balancer)
        verifyObject(IDescribes, balancer)
        verifyObject(IHasTable, balancer)

    def test_no_endpoints(self) -> None:
        """A ring without endpoints picks none and has no candidates."""
        balancer = RingHashBuilder().build([])
        self.assertIsNone(balancer.pick(1, 0))
        self.assertIsNone(balancer.pick(1, 3))
        self.assertEqual(list(balancer.candidates(1)), [])

    def test_rounding_makes_one_more(self) -> None:
        """With at most 3 entries for five equal hosts rounding yields 4, while the gauge says 3."""
        keys = [(host.key, share) for host, share in shares.of_endpoints(_equal_hosts(5))]
        ring = build_ring(keys, 3, 3)
        self.assertEqual((ring.size, len(ring.hashes)), (3, 4))

    def test_fractional_scale(self) -> None:
        """Entries are counted out by the exact scale, here 10.5, and not by the whole size."""
        ring = build_ring(shares.flat([("a", 2), ("b", 5)]), 10)
        self.assertEqual((ring.size, ring.counts), (11, [3, 8]))

    def test_attempts_wrap(self) -> None:
        """Attempts go on from entry to entry, past the end to the first."""
        balancer = RingHashBuilder(4).build(_equal_hosts(4))
        beyond = [balancer.pick(2**64 - 1, attempt) for attempt in range(4)]
        self.assertEqual(beyond, [balancer.pick(0, attempt) for attempt in range(4)])
        self.assertEqual(len(set(beyond)), 4)
        self.assertEqual(balancer.pick(0, 4), balancer.pick(0, 0))

    def test_equal_settings_are_equal(self) -> None:
        """Builders compare by their settings."""
        self.assertEqual(from_config(setting("{}")), RingHashBuilder())
        self.assertNotEqual(from_config(setting("{minimumRingSize: 2048}")), RingHashBuilder())

    def test_default_size(self) -> None:
        """No settings, no size and size 0 all mean 1024."""
        for config in (None, setting("{}"), setting("{minimumRingSize: 0}")):
            self.assertEqual(from_config(config).minimum_size, 1024)

    def test_too_large(self) -> None:
        """A ring larger than Envoy's limit is refused at the number's place."""
        error = self.assertRaises(ConfigError, from_config, setting("\n  minimumRingSize: 8388609"))
        self.assertEqual((error.diagnostics[0].location.line, error.diagnostics[0].location.column), (2, 20))

    def test_unknown_field(self) -> None:
        """A field that ringHash has not is refused."""
        error = self.assertRaises(ConfigError, from_config, setting("{minimumRingsize: 10}"))
        self.assertIn("minimumRingSize", error.diagnostics[0].hint)


class LargeRingTests(SynchronousTestCase):
    """Rings whose entries are in arrays, and when rings are built."""

    def test_same_ring(self) -> None:
        """A large ring has the entries of a small one, those with equal hashes in the order of their hosts."""
        digest = ring_hash._FUNCTIONS["xxhash64"]
        # Some hashes at the ends of parts, and some that are equal.
        special = {b"10.0.0.0:80_1": 0, b"10.0.0.1:80_2": 2**64 - 1, b"10.0.0.2:80_3": 2**56, b"10.0.0.0:80_4": 2**56}
        self.patch(
            ring_hash, "_FUNCTIONS", {"xxhash64": lambda text: special[text] if text in special else digest(text)}
        )
        for shares_of_hosts in ([0.5, 0.3, 0.2], [1 / 40] * 40):  # many entries of each, and few
            hosts = [(f"10.0.0.{number}:80", share) for number, share in enumerate(shares_of_hosts)]
            expected = build_ring(hosts, 5_000)
            large = self.patch(ring_hash, "_LARGE", 1_000)
            found = build_ring(hosts, 5_000)
            large.restore()
            self.assertEqual((found.size, found.counts), (expected.size, expected.counts))
            self.assertEqual((list(found.hashes), list(found.owners)), (expected.hashes, expected.owners))

    def test_steps(self) -> None:
        """However large a ring is, a step makes or sorts no more than a few entries."""
        for count, large in ((1, 10**6), (1, 1_000), (60, 10**6), (60, 1_000)):
            hosts = [(f"10.0.0.{number}:80", 1 / count) for number in range(count)]
            self.patch(ring_hash, "_LARGE", large)
            self.assertGreater(len(list(ring_steps(hosts, 60_000, 60_000, "xxhash64"))), 2 * 60_000 / 2_500)

    def test_same_picks(self) -> None:
        """So it makes the same choices."""
        small, large = RingHashBuilder(5_000).build(_equal_hosts(7)), RingHashBuilder(5_000).build(_equal_hosts(7))
        small.build_table()
        self.patch(ring_hash, "_LARGE", 1_000)
        for number in range(200):
            key = ring_hash.xxh64(b"%d" % number)
            self.assertEqual(large.pick(key, number % 3), small.pick(key, number % 3))
            self.assertEqual(large.locate(key), small.locate(key))
        self.assertEqual(list(large.candidates(1)), list(small.candidates(1)))

    def test_built_when_needed(self) -> None:
        """Building takes nothing but a note; the table is built once, by the first pick or before it."""
        built: list[int] = []
        original = ring_hash.ring_steps
        self.patch(ring_hash, "ring_steps", lambda *args: built.append(1) or original(*args))
        for use in (lambda it: it.pick(5, 0), lambda it: it.build_table(), lambda it: it.describe()):
            balancer = RingHashBuilder(64).build(_equal_hosts(3))
            self.assertGreater(balancer.table_bytes, 64 * 50)
            self.assertEqual(built, [])
            use(balancer)
            balancer.pick(7, 1)
            self.assertEqual(built, [1])
            built.clear()


class RingPropertyTests(SynchronousTestCase):
    @steady
    @given(_HOST_COUNTS, _HASHES)
    def test_candidates(self, count: int, hash: int) -> None:
        """Candidates are all endpoints, each once, beginning with the pick, in the order of the attempts."""
        balancer = RingHashBuilder(64).build(_equal_hosts(count))
        candidates = list(balancer.candidates(hash))
        self.assertCountEqual(candidates, _equal_hosts(count))
        attempts = dict.fromkeys(balancer.pick(hash, attempt) for attempt in range(64 + count))
        self.assertEqual(candidates, list(attempts))

    @steady
    @given(st.integers(5, 12), _HASHES)
    def test_candidates_without_entries(self, count: int, hash: int) -> None:
        """Endpoints for which a small ring has no room are candidates too."""
        candidates = list(RingHashBuilder(3, 3).build(_equal_hosts(count)).candidates(hash))
        self.assertCountEqual(candidates, _equal_hosts(count))

    @steady
    @given(st.integers(2, 12), st.data())
    def test_minimal_movement(self, count: int, data: st.DataObject) -> None:
        """When an endpoint leaves a ring with a fixed number of entries each, only its own sessions move."""
        hosts = _equal_hosts(count)
        gone = data.draw(st.sampled_from(hosts))
        rest = [host for host in hosts if host != gone]
        entries = 40
        before = RingHashBuilder(entries * count).build(hosts)
        after = RingHashBuilder(entries * (count - 1)).build(rest)
        for number in data.draw(st.lists(_HASHES, min_size=20, max_size=40)):
            owner = before.pick(number, 0)
            if owner == gone:
                owner = next(host for host in before.candidates(number) if host != gone)
            self.assertEqual(after.pick(number, 0), owner)

    @steady
    @given(st.lists(st.integers(1, 20), min_size=1, max_size=10))
    def test_balance(self, weights: list[int]) -> None:
        """Entries are in proportion to weights, to within the one entry that rounding may shift."""
        hosts = [Host(f"10.0.0.{number}:80", weight) for number, weight in enumerate(weights)]
        ring = build_ring([(host.key, share) for host, share in shares.of_endpoints(hosts)])
        for count, weight in zip(ring.counts, weights, strict=True):
            self.assertLessEqual(abs(count - len(ring.hashes) * weight / sum(weights)), 1.001)

    @steady
    @given(_HOST_COUNTS, _HASHES)
    def test_determinism(self, count: int, hash: int) -> None:
        """Two gateways with the same endpoints choose the same one."""
        first, second = (RingHashBuilder(100).build(_equal_hosts(count)) for _ in range(2))
        self.assertEqual(first.pick(hash, 0), second.pick(hash, 0))
