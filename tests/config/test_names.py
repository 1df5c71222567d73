"""Tests for ``meshproxy.config.names``."""

from __future__ import annotations

from itertools import combinations, product

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.names import HostSet, complete_host, gateway_name, is_within, overlap, overlapping


class CompletionTests(SynchronousTestCase):
    def test_hosts(self) -> None:
        """Only a name without a dot is completed, with the namespace of the object."""
        for host, expected in (
            ("reviews", "reviews.prod.svc.cluster.local"),
            ("reviews.other", "reviews.other"),
            ("*", "*"),
            ("10.0.0.1", "10.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
        ):
            self.assertEqual(complete_host(host, "prod", "cluster.local"), expected)

    def test_gateways(self) -> None:
        """All forms of a gateway's name come to namespace/name; ``mesh`` stays."""
        for reference, expected in (
            ("mesh", "mesh"),
            ("gw", "prod/gw"),
            ("ns/gw", "ns/gw"),
            ("./gw", "prod/gw"),
            ("gw.ns.svc.cluster.local", "ns/gw"),
        ):
            self.assertEqual(gateway_name(reference, "prod"), expected)


class HostSetTests(SynchronousTestCase):
    def test_narrower_one_is_taken(self) -> None:
        """Of a server's and a virtual service's host the narrower one is what they have in common."""
        for ours, theirs, expected in (
            (["*"], ["a.com"], ["a.com"]),
            (["a.com"], ["*"], ["a.com"]),
            (["*.b.com"], ["*.com"], ["*.b.com"]),
            (["*.com"], ["*.b.com"], ["*.b.com"]),
            (["*.b.com"], ["b.com"], []),
            (["Example.org"], ["example.org"], []),
            (["a.com", "*"], ["a.com"], ["a.com"]),
            (["a.com", "*.com"], ["*.com"], ["a.com", "*.com"]),
            (["a.com", "b.com"], ["*"], ["a.com", "b.com"]),
            (["*-a.com"], ["x-a.com", "xa.com"], ["x-a.com"]),
        ):
            self.assertEqual(HostSet(ours).common(theirs), expected, (ours, theirs))

    def test_within(self) -> None:
        """A wildcard covers what ends as it does and is not shorter."""
        self.assertTrue(is_within("x.a.com", "*.a.com"))
        self.assertFalse(is_within("*.com", "*.a.com"))
        self.assertFalse(is_within("*.com", "a.com"))
        self.assertTrue(is_within("*.com", "*"))


class OverlapTests(SynchronousTestCase):
    def test_pairs(self) -> None:
        """Of overlapping hosts the later one leads to an earlier one; a star covers at least its own suffix."""
        for hosts, expected in (
            (["a.com", "b.com", "ba.com"], {}),
            (["a.com", "b.com", "a.com"], {2: 0}),
            (["*.a.com", "a.com", "b.a.com"], {2: 0}),
            (["b.a.com", "*.a.com"], {1: 0}),
            (["*.b.a.com", "*a.com"], {1: 0}),
            (["*.a.com", "*.b.com", "*"], {2: 0}),
            (["A.com", "a.com"], {}),
        ):
            self.assertEqual(overlapping(hosts), expected, hosts)

    def test_agrees_with_comparing_all(self) -> None:
        """Something is found exactly where comparing each host with each other one finds something."""
        words = ["a.com", "b.a.com", "*.a.com", "*a.com", "c.com", "*-b.a.com", "x-b.a.com", "*"]
        for size in (2, 3):
            for hosts in product(words, repeat=size):
                expected = any(overlap(one, other) for one, other in combinations(hosts, 2))
                self.assertEqual(bool(overlapping(hosts)), expected, hosts)
