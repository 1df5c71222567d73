"""Conditions of a match block. The expected values were observed on Envoy 1.40, or are those of Istio's own tests."""

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.conditions import conditions, explain_routes
from meshproxy.routes import HeaderMatch, RouteMatch
from tests.routed import PRESENT, Request, exact, header, path, prefix, query, regex, virtual_host


def holds(match: RouteMatch, request: Request) -> bool:
    return all(condition.test(request) for condition in conditions(match))


class HeaderTests(SynchronousTestCase):
    def by_values(self, match: RouteMatch, *lists: tuple[bytes, ...]) -> dict[tuple[bytes, ...], bool]:
        return {values: holds(match, Request(fields=[(b"x", value) for value in values])) for values in lists}

    def test_value_by_value(self) -> None:
        """One matching value is enough, and a comma separates nothing."""
        cases = {
            (): False,
            (b"",): False,
            (b"a",): True,
            (b"A",): False,
            (b"b", b"a"): True,
            (b"a,b",): False,
            (b"ab",): False,
        }
        self.assertEqual(self.by_values(header(b"x", exact("a")), *cases), cases)

    def test_kinds(self) -> None:
        """A prefix, a regular expression that takes the whole value, and mere presence, for which empty is there."""
        values = ((), (b"",), (b"ab",), (b"ba",), (b"\xffa",))
        cases = {prefix("a"): [(b"ab",)], regex("a."): [(b"ab",)], regex(".a"): [(b"ba",), (b"\xffa",)]}
        for text, wanted in cases.items():
            found = self.by_values(header(b"x", text), *values)
            self.assertEqual([value for value, held in found.items() if held], wanted, text)
        found = self.by_values(header(b"x", PRESENT), *values)
        self.assertEqual([value for value, held in found.items() if not held], [()])

    def test_inverted(self) -> None:
        """No value may match. A missing header is one empty value, but when presence is asked for, just missing."""
        values = ((), (b"",), (b"a",), (b"b",), (b"b", b"a"))
        cases = {
            exact("a"): [(), (b"",), (b"b",)],
            exact(""): [(b"a",), (b"b",), (b"b", b"a")],
            prefix("a"): [(), (b"",), (b"b",)],
            regex(".*"): [],
            regex(".+"): [(), (b"",)],
            PRESENT: [()],
        }
        for text, wanted in cases.items():
            found = self.by_values(header(b"x", text, inverted=True), *values)
            self.assertEqual([value for value, held in found.items() if held], wanted, text)

    def test_pseudo_headers(self) -> None:
        """Method, scheme, authority and path go by their names too; the path has its query there."""
        request = Request(b"/p?q=1", b"A.test:80", b"PUT", b"https")
        for name, value in {":path": "/p?q=1", ":authority": "A.test:80", ":method": "PUT", ":scheme": "https"}.items():
            self.assertTrue(holds(header(name.encode(), exact(value)), request), name)
            self.assertFalse(holds(header(name.encode(), exact(value), inverted=True), request), name)


class AttributeTests(SynchronousTestCase):
    def test_letter_case(self) -> None:
        """Method, scheme and authority are compared as they were sent, the authority with its port."""
        request = Request(authority=b"A.test:80")
        cases = {
            RouteMatch(method=exact("GET")): True,
            RouteMatch(method=exact("get")): False,
            RouteMatch(method=regex("GET|PUT")): True,
            RouteMatch(method=PRESENT): True,
            RouteMatch(scheme=prefix("http")): True,
            RouteMatch(scheme=exact("https")): False,
            RouteMatch(authority=exact("A.test:80")): True,
            RouteMatch(authority=exact("A.test")): False,
            RouteMatch(authority=exact("a.test:80")): False,
            RouteMatch(authority=prefix("A.")): True,
        }
        self.assertEqual({match: holds(match, request) for match in cases}, cases)

    def test_path(self) -> None:
        """Letter case does not count for exact and prefix where it is to be ignored; it always does for a regex."""
        cases = {
            (exact("/aB"), False): [b"/aB"],
            (exact("/aB"), True): [b"/aB", b"/Ab"],
            (prefix("/aB"), False): [b"/aB", b"/aBc"],
            (prefix("/aB"), True): [b"/aB", b"/Ab", b"/aBc", b"/ABC"],
            (regex("/aB."), True): [b"/aBc"],
        }
        paths = (b"/aB", b"/Ab", b"/aBc", b"/ABC", b"/x/aB")
        for (text, ignore_case), wanted in cases.items():
            match = path(text, ignore_case)
            self.assertEqual([path for path in paths if holds(match, Request(path + b"?aB"))], wanted, match)

    def test_impossible(self) -> None:
        """What no request can meet is met by none, whatever else there is."""
        self.assertFalse(holds(path(prefix("/"), impossible=True), Request()))


class QueryTests(SynchronousTestCase):
    def test_raw_text(self) -> None:
        """The first occurrence counts, nothing is decoded, only "&" and the first "=" separate."""
        cases = {
            (b"p", exact("")): ["p", "p=", "p=&p=1", "&p&", "x&p"],
            (b"p", exact("1")): ["p=1", "p=1&p=2"],
            (b"p", prefix("1=")): ["p=1=2"],
            (b"p", regex("x+")): ["p=xx"],
            (b"a%20b", PRESENT): ["a%20b"],
            (b"a b", PRESENT): [],
            (b"P", PRESENT): ["P=1"],
        }
        queries = ["", "p", "p=", "p=1", "p=&p=1", "p=1&p=2", "p=1=2", "p=xx", "&p&", "x&p", "x;p=", "x?p=", "xp=1"]
        queries += ["a%20b", "a+b", "P=1", "p=%31"]
        for (name, text), wanted in cases.items():
            match = query(name, text)
            found = [text for text in queries if holds(match, Request(b"/q?" + text.encode()))]
            self.assertEqual(found, wanted, match)

    def test_no_query(self) -> None:
        """A path that looks like a parameter is none."""
        self.assertFalse(holds(query(b"p", PRESENT), Request(b"/p")))
        self.assertFalse(holds(query(b"/p", PRESENT), Request(b"/p")))


class ExplainTests(SynchronousTestCase):
    def test_reasons(self) -> None:
        """Each route up to the one that matches comes with its conditions in words, sorted by whether they hold."""
        host = virtual_host(
            path(prefix("/A"), ignore_case=True, method=exact("PUT")),
            RouteMatch(headers=(HeaderMatch(b"x-user", regex("1.*")), HeaderMatch(b"y", PRESENT, inverted=True))),
            query(b"p", exact("1")),
            RouteMatch(impossible=True),
            RouteMatch(),
        )
        found = list(explain_routes(host, Request(b"/a?p=1", fields=[(b"y", b"")])))
        self.assertEqual([it.route for it in found], list(host.routes[:3]))
        self.assertEqual([it.held for it in found[2:]], [('query parameter p is "1"',)])
        explanations = list(explain_routes(host, Request(b"/a?p=2", fields=[(b"y", b"")])))
        self.assertEqual([explanation.route for explanation in explanations], list(host.routes))
        self.assertEqual([explanation.matches for explanation in explanations], [False, False, False, False, True])
        self.assertEqual(
            [(explanation.held, explanation.failed) for explanation in explanations],
            [
                (('path starts with "/A" in any letter case',), ('method is "PUT"',)),
                ((), ('header x-user matches "1.*"', "not: header y is present")),
                ((), ('query parameter p is "1"',)),
                ((), ("a claim that nobody verifies",)),
                ((), ()),
            ],
        )
