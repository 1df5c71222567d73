"""The route table."""

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.routes import VirtualHost
from meshproxy.routing import RouteTable, host_of
from tests.routed import Request, exact, path, prefix, regex, route


def table(*hosts: str) -> RouteTable:
    return RouteTable(VirtualHost(host, (route(host),)) for host in hosts)


def chosen(table: RouteTable, authority: bytes, path: bytes = b"/") -> str | None:
    found = table.find(Request(path, authority))
    return None if found is None else found.name


class HostTests(SynchronousTestCase):
    def test_host_of(self) -> None:
        """Whatever follows the last colon outside brackets is cut; letter case does not count."""
        cases = {
            b"A.Test": b"a.test",
            b"a.test:80": b"a.test",
            b"a.test:": b"a.test",
            b"a.test:x": b"a.test",
            b"[::1]:80": b"[::1]",
            b"[::1]": b"[::1]",
            b"": b"",
        }
        self.assertEqual({authority: host_of(authority) for authority in cases}, cases)

    def test_precedence(self) -> None:
        """An exact name wins over the longest suffix, that over a shorter one, any of them over the star."""
        hosts = table("*", "*.test", "*.b.test", "*-x.b.test", "a.b.test")
        cases = {
            b"a.b.test": "a.b.test",
            b"c.b.test": "*.b.test",
            b"c.d.b.test": "*.b.test",
            b"c-x.b.test": "*-x.b.test",
            b"b.test": "*.test",
            b"a.b.test.": "*",
            b"other": "*",
            b"": "*",
        }
        self.assertEqual({authority: chosen(hosts, authority) for authority in cases}, cases)

    def test_star_stands_for_a_character(self) -> None:
        """``*.test`` matches neither ``test`` nor ``.test``, and without a star host there is no route."""
        hosts = table("*.test")
        self.assertIsNone(chosen(hosts, b"test"))
        self.assertIsNone(chosen(hosts, b".test"))
        self.assertEqual(chosen(hosts, b"x.y.test"), "*.test")

    def test_no_fall_through(self) -> None:
        """A host whose routes do not match gets none, even where a wildcard host has one."""
        hosts = RouteTable(
            [
                VirtualHost("a.test", (route("only", path(exact("/only"))),)),
                VirtualHost("*", (route("star"),)),
            ]
        )
        self.assertIsNone(chosen(hosts, b"a.test", b"/else"))
        self.assertEqual(chosen(hosts, b"b.test", b"/else"), "star")

    def test_remembers_no_more_than_it_may(self) -> None:
        """However many names strangers send, memory stays bounded and the answers stay right."""
        hosts = table("*.test")
        for number in range(5000):
            self.assertEqual(chosen(hosts, b"h%d.test" % number), "*.test")
        self.assertLessEqual(len(hosts._remembered), 4096)


class SharingTests(SynchronousTestCase):
    def test_equal_conditions_are_compiled_once(self) -> None:
        """Hosts that ask the same of a request share one index, and keep their own routes."""
        table = RouteTable(
            VirtualHost(f"{name}.test", (route(f"{name}1", path(exact("/one"))), route(f"{name}2"))) for name in "abc"
        )
        self.assertEqual(chosen(table, b"a.test", b"/one"), "a1")
        self.assertEqual(chosen(table, b"b.test", b"/two"), "b2")
        self.assertEqual(len({index for _, index, _ in table._compiled.values()}), 1)

    def test_comparisons_of_one_text_are_different_conditions(self) -> None:
        """Hosts that ask for the same text in other ways share nothing."""
        matches = {"exact": path(exact("/a")), "prefix": path(prefix("/a")), "regex": path(regex("/a"))}
        table = RouteTable(VirtualHost(f"{name}.test", (route(name, match),)) for name, match in matches.items())
        answers = [chosen(table, f"{name}.test".encode(), b"/ab") for name in matches]
        self.assertEqual(answers, [None, "prefix", None])
