"""Tests for ``meshproxy.config.syntax``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config.syntax import (
    canonical_ip,
    is_fqdn,
    is_ip_or_cidr,
    is_label_key,
    is_label_value,
    is_partial_wildcard,
    is_wildcard_domain,
    regex_problem,
)


class HostTests(SynchronousTestCase):
    def test_fully_qualified(self) -> None:
        """Labels joined by dots, the last not all digits; upper case and a dot at the end pass."""
        good = ["a", "a.b", "A.b", "1a.b", "a-b.c", "a.b.", "1.2.3.x", "a" * 63 + ".b"]
        bad = ["", ".", "a..b", "-a.b", "a-.b", "a_b.c", "1.2.3.4", "*.b", "a" * 64 + ".b", "a.b/c", "a.b:80", "a b"]
        bad.append(".".join(["a" * 49] * 6))
        self.assertEqual([text for text in good if not is_fqdn(text)], [])
        self.assertEqual([text for text in bad if is_fqdn(text)], [])

    def test_wildcards(self) -> None:
        """A star may be the first label or begin it, alone or with a dash. A single label may be all digits."""
        good = ["*", "*.a.b", "*a.b", "*-a.b", "a.b", "12"]
        bad = ["a.*", "a*.b", "**.b", "-a.b", "*-.b", "*_a.b", "a.12", "1.2.3.4"]
        self.assertEqual([text for text in good if not is_wildcard_domain(text)], [])
        self.assertEqual([text for text in bad if is_wildcard_domain(text)], [])
        self.assertEqual([text for text in good if is_partial_wildcard(text)], ["*a.b", "*-a.b"])


class AddressTests(SynchronousTestCase):
    def test_canonical(self) -> None:
        """An address has one text; what is none, or has a zone, has none."""
        self.assertEqual(canonical_ip("2001:DB8:0::1"), "2001:db8::1")
        self.assertEqual(canonical_ip("10.0.0.1"), "10.0.0.1")
        for text in ("10.0.0.01", "10.0.0", "a", "", "fe80::1%eth0", "[::1]", "10.0.0.1/32", " 10.0.0.1"):
            self.assertIsNone(canonical_ip(text), text)

    def test_ranges(self) -> None:
        """A range may have host bits, but its length must be one."""
        for text in ("10.0.0.1/8", "::1/128", "10.0.0.1"):
            self.assertTrue(is_ip_or_cidr(text), text)
        for text in ("10.0.0.1/33", "10.0.0.0/255.0.0.0", "a/8", "10.0.0.1/"):
            self.assertFalse(is_ip_or_cidr(text), text)


class LabelTests(SynchronousTestCase):
    def test_keys_and_values(self) -> None:
        """Keys may have a prefix, values may be empty; both have at most 63 characters."""
        for text in ("app", "a.b/c", "topology.istio.io/network", "a_b"):
            self.assertTrue(is_label_key(text), text)
        for text in ("", "a/", "-a", "a b", "a/b/c", "x" * 64):
            self.assertFalse(is_label_key(text), text)
        self.assertTrue(is_label_value(""))
        self.assertTrue(is_label_value("v1.0_a-b"))
        for text in ("-", "a b", "ü", "x" * 64):
            self.assertFalse(is_label_value(text), text)


class RegexTests(SynchronousTestCase):
    def test_re2(self) -> None:
        """What RE2 cannot compile is a problem, as are an empty and an overlong pattern."""
        self.assertEqual(regex_problem("/a.*[0-9]+"), "")
        for pattern in ("", "*", "(?=a)", r"(a)\1", "a" * 1025, "("):
            self.assertNotEqual(regex_problem(pattern), "", pattern)
