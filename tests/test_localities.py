"""Endpoints come into the priorities and have the weights that Istio gives to their localities."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.localities import NETWORK, arranged, matches
from meshproxy.model import Endpoint
from meshproxy.policies import Localities
from tests.properties import steady

PLACES = ("eu/west/a", "eu/west/b", "eu/east/a", "us/west/a", "asia/x/y")


def at(*places: str) -> list[Endpoint]:
    """Endpoints at these places, with ports from 1 on."""
    return [Endpoint("10.0.0.1", port, locality=place) for port, place in enumerate(places, 1)]


def labelled(**ports: str) -> list[Endpoint]:
    """Endpoints with labels as in ``a=1,b=2``, by the port behind the name's first letter."""
    pairs = {int(name[1:]): tuple(label.split("=") for label in text.split(",")) for name, text in ports.items()}
    return [Endpoint("10.0.0.1", port, labels=labels) for port, labels in pairs.items()]  # type: ignore[arg-type]


def ports(endpoints: list[Endpoint], policy: Localities) -> list[list[int]]:
    """The ports of each priority."""
    return [[it.port for group in groups for it in group.endpoints] for groups in arranged(endpoints, policy)]


class DistanceTests(SynchronousTestCase):
    def test_distances(self) -> None:
        """Same subzone, zone, region, or another region: each is a priority, and none is left empty."""
        policy = Localities("eu/west/a", by_distance=True)
        self.assertEqual(ports(at(*PLACES), policy), [[1], [2], [3], [4, 5]])
        self.assertEqual(ports(at("us/a/b", "eu/east/x"), policy), [[2], [1]])
        self.assertEqual(ports(at(*PLACES), Localities("africa", by_distance=True)), [[1, 2, 3, 4, 5]])

    def test_failover(self) -> None:
        """Of other regions, those that are not named for the proxy's region come last."""
        policy = Localities("eu/west/a", by_distance=True, failover=(("us", "asia"), ("eu", "us")))
        self.assertEqual(ports(at(*PLACES), policy), [[1], [2], [3], [4], [5]])
        other = Localities("eu/west/a", by_distance=True, failover=(("us", "asia"),))
        self.assertEqual(ports(at(*PLACES), other), [[1], [2], [3], [4, 5]])

    def test_no_endpoints(self) -> None:
        """Without endpoints there is one priority."""
        self.assertEqual(ports([], Localities("eu", by_distance=True)), [[]])


class LabelTests(SynchronousTestCase):
    def policy(self, *labels: str, origin: str = "", own: str = "a=1,b=2", **more: object) -> Localities:
        pairs = frozenset(tuple(label.split("=")) for label in own.split(",")) if own else frozenset()
        return Localities(origin, labels=labels, origin_labels=pairs, **more)  # type: ignore[arg-type]

    def test_order(self) -> None:
        """The earlier the first label that differs, the later the priority."""
        endpoints = labelled(p1="a=9,b=2", p2="a=1,b=2", p3="a=1,b=9", p4="b=2")
        self.assertEqual(ports(endpoints, self.policy("a", "b")), [[2], [3], [1, 4]])

    def test_given_value(self) -> None:
        """A value behind the label is compared instead of the proxy's."""
        self.assertEqual(ports(labelled(p1="a=1", p2="a=5"), self.policy("a=5")), [[2], [1]])

    def test_absent_on_both(self) -> None:
        """A label that neither side has is equal."""
        self.assertEqual(ports(labelled(p1="a=1", p2="a=2"), self.policy("z", "a")), [[1], [2]])

    def test_network(self) -> None:
        """Another network comes after all else, and the rest is compared all the same."""
        own = f"{NETWORK}=n,a=1,b=1"
        endpoints = labelled(
            p1=f"{NETWORK}=m,a=1,b=1", p2=f"{NETWORK}=m,a=2,b=1", p3=f"{NETWORK}=n,a=2,b=1", p4=f"{NETWORK}=n,a=1,b=1"
        )
        self.assertEqual(ports(endpoints, self.policy(NETWORK, "a", "b", own=own)), [[4], [3], [1], [2]])

    def test_place(self) -> None:
        """The locality stands for the labels of region, zone and subzone, on both sides."""
        labels = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")
        policy = self.policy(*labels, origin="eu/west/a")
        self.assertEqual(ports(at(*PLACES), policy), [[1], [2], [3], [4, 5]])

    def test_proxy_without_labels(self) -> None:
        """Labels do not count then."""
        self.assertEqual(ports(labelled(p1="a=1", p2="a=2"), self.policy("a", own="")), [[1, 2]])

    def test_with_distance(self) -> None:
        """Where both count, labels come first, then the distance."""
        endpoints = [
            Endpoint("10.0.0.1", port, labels=(("a", value),), locality=place)
            for port, (value, place) in enumerate([("1", "us"), ("9", "eu"), ("1", "eu"), ("9", "us")], 1)
        ]
        policy = self.policy("a", origin="eu", by_distance=True, failover=(("eu", "us"),))
        self.assertEqual(ports(endpoints, policy), [[3], [1], [2], [4]])

    def test_groups(self) -> None:
        """A locality is split into groups, each with the weight of its endpoints."""
        endpoints = [
            Endpoint("10.0.0.1", port, weight, (("a", value),), "eu")
            for port, weight, value in ((1, 2, "1"), (2, 3, "9"), (3, 4, "1"))
        ]
        found = [
            [(group.weight, len(group.endpoints)) for group in groups]
            for groups in arranged(endpoints, self.policy("a"))
        ]
        self.assertEqual(found, [[(6, 2)], [(3, 1)]])


class WeightTests(SynchronousTestCase):
    def weights(self, shares: tuple[tuple[str, int], ...] | None, *endpoints: tuple[str, int]) -> list[tuple[int, str]]:
        made = [Endpoint(f"10.0.0.{n}", 80, weight, (), place) for n, (place, weight) in enumerate(endpoints)]
        (groups,) = arranged(made, Localities(weighted=True, shares=shares))
        return [(weight, found[0].locality) for weight, found in groups]

    def test_rounding(self) -> None:
        """A share is divided among the localities it matches by their size, rounded up."""
        shares = (("eu/*", 50), ("us", 50))
        found = self.weights(shares, ("eu/a", 1), ("eu/b", 2), ("us", 9))
        self.assertEqual(found, [(17, "eu/a"), (34, "eu/b"), (50, "us")])

    def test_first_match(self) -> None:
        """A locality belongs to the first share that matches it; one that none matches gets nothing."""
        found = self.weights((("eu/a", 90), ("eu/*", 10)), ("eu/a", 1), ("eu/b", 1), ("x", 1))
        self.assertEqual(found, [(90, "eu/a"), (10, "eu/b")])

    def test_own_size(self) -> None:
        """Without shares each locality weighs what its endpoints weigh."""
        self.assertEqual(self.weights(None, ("a", 1), ("a", 2), ("b", 4)), [(3, "a"), (4, "b")])


class PatternTests(SynchronousTestCase):
    def test_matching(self) -> None:
        """Each part is equal, ``*``, or missing in the pattern; the region may not be missing."""
        for pattern in ("*", "eu", "eu/*", "eu/west", "eu/west/*", "eu/west/a", "*/west", "*/*/a"):
            self.assertTrue(matches("eu/west/a", pattern), pattern)
        for pattern in ("us", "eu/east", "eu/west/b", ""):
            self.assertFalse(matches("eu/west/a", pattern), pattern)
        self.assertFalse(matches("", "eu"))
        self.assertTrue(matches("", "*"))

    @steady
    @given(st.text("ab*/", max_size=7))
    def test_itself(self, text: str) -> None:
        """Every locality matches itself as a pattern."""
        self.assertTrue(matches(text, text))


class PropertyTests(SynchronousTestCase):
    @steady
    @given(
        st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from("123")), max_size=12),
        st.sampled_from((*PLACES, "", "eu")),
        st.booleans(),
        st.booleans(),
    )
    def test_all_are_there(self, kinds: list[tuple[str, str]], origin: str, labels: bool, distance: bool) -> None:
        """Every endpoint is in exactly one priority, and no priority but a single one is empty."""
        endpoints = [
            Endpoint("10.0.0.1", port, labels=(("a", value),), locality=place)
            for port, (place, value) in enumerate(kinds, 1)
        ]
        policy = Localities(origin, labels=("a",) if labels else (), origin_labels=frozenset({("a", "1")}))
        found = ports(endpoints, policy if not distance else Localities(origin, by_distance=True))
        self.assertEqual(sorted(port for numbers in found for port in numbers), list(range(1, len(endpoints) + 1)))
        self.assertTrue(all(found) or not endpoints)
