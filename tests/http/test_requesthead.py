"""What a head may say: hosts, trusted addresses; and the tables of header names."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.http.requesthead import is_host, trusted_address


class Hosts(SynchronousTestCase):
    """``uri-host [":" port]`` of RFC 9110, 7.2."""

    def test_accepted(self) -> None:
        """Names, addresses and ports; an empty value and an empty port are within the grammar."""
        for text in (
            b"",
            b"a",
            b"shop.example",
            b"Shop.Example:8080",
            b"a_b.example",
            b"192.0.2.1:80",
            b"[2001:db8::1]",
            b"[2001:DB8::1]:443",
            b"[::ffff:192.0.2.1]",
            b"a%20b",
            b"a:",
        ):
            self.assertTrue(is_host(text), text)

    def test_refused(self) -> None:
        """Anything else."""
        for text in (
            b"user@a",
            b"a/b",
            b"a#b",
            b"a?b",
            b"a b",
            b"a\tb",
            b"a\\b",
            b"<a>",
            b'"a"',
            b"a:80:80",
            b"a:8a",
            b"a:-1",
            b"[]",
            b"[::1",
            b"::1",
            b"[::1]x",
            b"[::1]:x",
            b"[g::1]",
            b"a[::1]",
            b"\xc3\xa9",
        ):
            self.assertFalse(is_host(text), text)


class TrustedAddresses(SynchronousTestCase):
    """The client's address behind trusted proxies."""

    def test_entries(self) -> None:
        """The n-th from the right as text of an IP; the peer where that is missing or none."""
        for received, trusted, found in (
            (b"56.5.6.7, 72.9.5.6,98.1.2.3", 2, b"72.9.5.6"),
            (b"1.1.1.1", 1, b"1.1.1.1"),
            (b"2001:DB8:0::0:1", 1, b"2001:db8::1"),
            (b"1.1.1.1", 0, b"peer"),
            (b"1.1.1.1", 2, b"peer"),
            (b"", 1, b"peer"),
            (b"1.1.1.1,", 1, b"peer"),
            (b"1.1.1.1:80", 1, b"peer"),
            (b"01.1.1.1", 1, b"peer"),
            (b'fe80::1%"x y', 1, b"peer"),
            (b"\xff", 1, b"peer"),
        ):
            self.assertEqual(trusted_address(received, trusted, b"peer"), found, received)
