"""Tests for header operations: their levels, their order, and what may stand in them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.errors import Severity
from meshproxy.routes import Forward, HeaderOperations, Rewrite, WeightedDestination
from tests.config.routing import TO_APP, compiled_route, forward, said

HOST = "destination: {host: app.test}"


def destinations(route: str, *levels: str) -> tuple[WeightedDestination, ...]:
    """The destinations of a route with headers, each of which has headers of its own."""
    entries = ", ".join(f"{{{HOST}, weight: 1, headers: {{{level}}}}}" for level in levels)
    action = compiled_route(f"headers: {{{route}}}, route: [{entries}]").action
    assert isinstance(action, Forward)
    return action.destinations


class LevelTests(SynchronousTestCase):
    def test_one_level(self) -> None:
        """Names are in lower case and in order; both directions are apart."""
        request = "request: {set: {X-B: b, x-a: a}, add: {c: c}, remove: [Z, y]}"
        (found,) = destinations(f"{request}, response: {{add: {{r: r}}}}", "")
        self.assertEqual(
            found.request_headers, (HeaderOperations((b"z", b"y"), ((b"x-b", "b"), (b"x-a", "a")), ((b"c", "c"),)),)
        )
        self.assertEqual(found.response_headers, (HeaderOperations(add=((b"r", "r"),)),))

    def test_one_destination(self) -> None:
        """Both levels are one, in which the destination's operations come behind those of the route."""
        (found,) = destinations(
            "request: {set: {a: route}, add: {b: route}, remove: [c]}",
            "request: {set: {a: own}, add: {b: own}, remove: [d]}",
        )
        self.assertEqual(
            found.request_headers,
            (HeaderOperations((b"c", b"d"), ((b"a", "route"), (b"a", "own")), ((b"b", "route"), (b"b", "own"))),),
        )

    def test_several_destinations(self) -> None:
        """The route's level comes behind that of each destination."""
        found = destinations("response: {set: {a: route}}", "response: {set: {a: own}}", "")
        route, own = (HeaderOperations(set=((b"a", text),)) for text in ("route", "own"))
        self.assertEqual([it.response_headers for it in found], [(own, route), (route,)])

    def test_none(self) -> None:
        """Without operations there are no levels."""
        (found,) = forward("headers: {request: {}, response: {set: {}}}").destinations
        self.assertEqual((found.request_headers, found.response_headers, found.rewrite), ((), (), None))


class AuthorityTests(SynchronousTestCase):
    def test_by_headers(self) -> None:
        """Setting or adding the authority rewrites the host and is no header operation."""
        for operation in ("set: {':authority': h}", "add: {Host: h}", "set: {host: h}", "set: {':AUTHORITY': h}"):
            (found,) = destinations(f"request: {{{operation}}}", "")
            self.assertEqual((found.rewrite, found.request_headers), (Rewrite(authority="h"), ()), operation)

    def test_precedence(self) -> None:
        """The rewrite wins over the route's level, that over a destination's, which of several comes before it."""
        own = "request: {set: {host: own}}"
        self.assertEqual(destinations("", own)[0].rewrite, Rewrite(authority="own"))
        for found in destinations("request: {set: {host: route}}", own, own):
            self.assertEqual(found.rewrite, Rewrite(authority="route"))
        action = forward("rewrite: {uri: /x, authority: first}, name: n").destinations[0]
        self.assertEqual(action.rewrite, Rewrite("/x", prefix_length=1, authority="first"))
        several = f"route: [{{{HOST}, weight: 1, headers: {{{own}}}}}, {{{HOST}, weight: 1}}]"
        found_action = compiled_route(f"rewrite: {{uri: /x}}, {several}").action
        assert isinstance(found_action, Forward)
        self.assertEqual([it.rewrite for it in found_action.destinations], [Rewrite("/x", prefix_length=1)] * 2)
        levels = [it.request_headers for it in found_action.destinations]
        self.assertEqual(levels, [(HeaderOperations(authority="own"),), ()])

    def test_twice(self) -> None:
        """Within an entry, or within a destination, the authority may be set once only."""
        for fields in (
            f"rewrite: {{authority: a}}, headers: {{request: {{set: {{host: b}}}}}}, {TO_APP}",
            f"headers: {{request: {{set: {{host: b}}, add: {{':authority': c}}}}}}, {TO_APP}",
            f"route: [{{{HOST}, headers: {{request: {{set: {{host: b, ':authority': c}}}}}}}}]",
        ):
            found = said(fields, Severity.ERROR)
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn("the authority", found[0])

    def test_percent_sign(self) -> None:
        """An authority is no template, which is said where it looks like one."""
        found = said(f"headers: {{request: {{set: {{host: '%REQ(x)%'}}}}}}, {TO_APP}")
        self.assertIn("an authority is taken as it is", " ".join(found))


class ValueTests(SynchronousTestCase):
    def test_said(self) -> None:
        """An unknown command, and a name that can be none, are warned about; the latter is left out."""
        for operation, part in (
            ("set: {a: '%REQUEST(x)%'}", "%REQUEST% is no operator that is known here"),
            ("set: {a: '%REQ(x):5%'}", "Istio refuses a length"),
            ("set: {X-Envoy-Max-Retries: '5'}", "Envoy's router would obey it"),
            ("set: {'a b': c}", "'a b' can be no name of a header"),
            ("remove: ['a b']", "'a b' can be no name of a header"),
        ):
            found = said(f"headers: {{request: {{{operation}}}}}, {TO_APP}")
            self.assertEqual(len(found), 1, (operation, found))
            self.assertIn(part, found[0])
        self.assertEqual(forward("headers: {request: {set: {'a b': c}}}").destinations[0].request_headers, ())

    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error."""
        for fields, part in (
            ("request: {set: {'': x}}", "the name of a header may not be empty"),
            ("request: {set: {':path': x}}", "':path' cannot be changed here"),
            ("request: {remove: [Host]}", "'Host' cannot be removed"),
            ("request: {remove: ['']}", "'' cannot be removed"),
            ("request: {remove: [':authority']}", "':authority' cannot be removed"),
            ("response: {set: {host: x}}", "'host' cannot be changed here"),
            ("response: {add: {':authority': x}}", "':authority' cannot be changed here"),
            ("request: {set: {a: '100%'}}", "begins no %OPERATOR%"),
            ("request: {set: {a: '%REQ(x'}}", "does not end as %NAME(arguments)%"),
            ('request: {set: {a: "b\\nc"}}', "may not have control characters"),
            ("request: {set: {a: 1}}", "must be a string"),
            ("request: {set: {a: null}}", "may not be null"),
        ):
            found = said(f"headers: {{{fields}}}, {TO_APP}", Severity.ERROR)
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn(part, found[0])
