"""The route table."""

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import Forward, PathKind, PathMatch, Route, VirtualHost, WeightedDestination
from meshproxy.routing import RouteTable, host_of


def route(name: str, kind: PathKind = PathKind.ANY, value: str = "") -> Route:
    return Route(PathMatch(kind, value), Forward((WeightedDestination(name),)), name)


def table(*hosts: str) -> RouteTable:
    return RouteTable(VirtualHost(host, (route(host),)) for host in hosts)


def chosen(table: RouteTable, authority: bytes, path: bytes = b"/") -> str | None:
    found = table.find(authority, path)
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
                VirtualHost("a.test", (route("only", PathKind.EXACT, "/only"),)),
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


class PathTests(SynchronousTestCase):
    def test_conditions(self) -> None:
        """Exact is equality, prefix is a plain string prefix, a regular expression has to match the whole path."""
        routes = RouteTable(
            [
                VirtualHost(
                    "*",
                    (
                        route("exact", PathKind.EXACT, "/exact"),
                        route("prefix", PathKind.PREFIX, "/foo"),
                        route("regex", PathKind.REGEX, "/r[0-9]+"),
                        route("long", PathKind.PREFIX, "/foo/bar"),
                    ),
                )
            ]
        )
        cases = {
            b"/exact": "exact",
            b"/exact/": None,
            b"/foo": "prefix",
            b"/foobar": "prefix",
            b"/foo/bar": "prefix",
            b"/r12": "regex",
            b"/r12/": None,
            b"/xr12": None,
        }
        self.assertEqual({path: chosen(routes, b"a", path) for path in cases}, cases)

    def test_hostile_pattern(self) -> None:
        """A pattern that makes a backtracking matcher explode is linear here."""
        routes = RouteTable([VirtualHost("*", (route("bad", PathKind.REGEX, "/(a+)+$"),))])
        self.assertIsNone(chosen(routes, b"a", b"/" + b"a" * 65536 + b"b"))
