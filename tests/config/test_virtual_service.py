"""Tests for the kind ``VirtualService``: what is read, and what is refused."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.model import PathKind, PathMatch
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, istio, routes, warnings


def virtual_service(spec: str, name: str = "vs") -> str:
    return istio("VirtualService", name, spec)


def with_http(http: str) -> str:
    return virtual_service(f"hosts: ['*']\ngateways: [gw]\nhttp:\n{http}")


TO_APP = "route: [{destination: {host: app.test}}]"


class ReadingTests(SynchronousTestCase):
    def test_paths(self) -> None:
        """The three kinds of path conditions, and none, become those of the model."""
        text = with_http(
            f"- match: [{{uri: {{exact: /a}}}}, {{uri: {{prefix: ''}}}}, {{uri: {{regex: /b+}}}}]\n  {TO_APP}"
        )
        self.assertEqual(
            [route.match for route in routes(compiled(GATEWAY, SERVICE, text), "*")],
            [PathMatch(PathKind.EXACT, "/a"), PathMatch(PathKind.PREFIX, ""), PathMatch(PathKind.REGEX, "/b+")],
        )

    def test_names(self) -> None:
        """A route is named after the entry and the match, joined by a dot when the match has a name."""
        http = f"- name: r\n  match: [{{uri: {{exact: /a}}, name: m}}, {{uri: {{exact: /b}}}}]\n  {TO_APP}\n"
        http += f"- match: [{{uri: {{exact: /c}}, name: second}}]\n  {TO_APP}\n- {{{TO_APP}}}\n"
        found = routes(compiled(GATEWAY, SERVICE, with_http(http)), "*")
        self.assertEqual([route.name for route in found], ["r.m", "r", ".second", ""])

    def test_place_of_a_route(self) -> None:
        """A route knows where it is written: its match, else its entry."""
        http = f"- match: [{{uri: {{exact: /a}}}}]\n  {TO_APP}\n- {{{TO_APP}}}\n"
        text = with_http(http)
        found = routes(compiled(text, GATEWAY, SERVICE), "*")
        self.assertEqual([str(route.location) for route in found], ["mesh.yaml:8:13", "mesh.yaml:10:5"])

    def test_equal_versions(self) -> None:
        """All versions of the group mean the same; others do not exist."""
        for version in ("v1", "v1beta1", "v1alpha3"):
            text = ROUTE.replace("io/v1", f"io/{version}")
            self.assertEqual(len(routes(compiled(GATEWAY, SERVICE, text), "*")), 1)
        self.assertIn("VirtualService has no version v2", errors(GATEWAY, ROUTE.replace("io/v1", "io/v2"))[0])


class RefusalTests(SynchronousTestCase):
    def test_every_other_field_is_an_error(self) -> None:
        """No field of a route or match that is known and not implemented is ignored."""
        for field in (
            "timeout: 5s",
            "retries: {attempts: 1}",
            "rewrite: {uri: /}",
            "headers: {request: {set: {a: b}}}",
            "fault: {abort: {httpStatus: 500}}",
            "corsPolicy: {}",
            "mirror: {host: b}",
            "mirror_percent: 3",
        ):
            (found,) = errors(GATEWAY, SERVICE, with_http(f"- {{{field}, {TO_APP}}}"))
            self.assertIn(f": spec.http[0].{field.partition(':')[0]} is not served yet", found)
        for field in ("headers: {a: {exact: b}}", "method: {exact: GET}", "ignoreUriCase: true", "queryParams: {}"):
            (found,) = errors(GATEWAY, SERVICE, with_http(f"- {{match: [{{{field}}}], {TO_APP}}}"))
            self.assertIn(f"spec.http[0].match[0].{field.partition(':')[0]} is not served yet", found)
        for action in ("redirect: {uri: /}", "directResponse: {status: 200}", "delegate: {name: x}"):
            (found,) = errors(GATEWAY, with_http(f"- {{{action}}}"))
            self.assertIn("is not served yet", found)

    def test_unknown_fields(self) -> None:
        """An unknown field is an error with the name that was probably meant."""
        (found,) = errors(GATEWAY, SERVICE, with_http("- {routes: [], route: [{destination: {host: app.test}}]}"))
        self.assertIn("spec.http[0] has no field 'routes' (did you mean 'route'?)", found)

    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error at its place."""
        to_two = "route: [{destination: {host: a.b}}, {destination: {host: a.b}}]"
        for http, part in (
            ("- {route: []}", "needs route, redirect or directResponse"),
            ("- {name: x}", "needs route, redirect or directResponse"),
            (f"- {{{to_two}}}", "all weights are 0"),
            ("- {route: [{destination: {host: '*'}}]}", "may not be '*'"),
            ("- {route: [{destination: {host: 10.0.0.1}}]}", "must be a host name"),
            ("- {route: [{destination: {host: 'http://a.b'}}]}", "a host has no scheme"),
            ("- {route: [{destination: {host: 'a.b:80'}}]}", "a host has no port"),
            ("- {route: [{destination: {}}]}", "destination.host is required"),
            ("- {route: [{weight: 1}]}", "route[0].destination is required"),
            ("- {route: [{destination: {host: a.b, subset: v1.0}}]}", "must be a DNS label"),
            ("- {route: [{destination: {host: a.b, port: 80}}]}", "must be a mapping"),
            ("- {route: [{destination: {host: a.b, port: {number: 0}}}]}", "between 1 and 65535"),
            (f"- {{match: [{{uri: {{exact: /a, prefix: /b}}}}], {TO_APP}}}", "may have only one of exact, prefix"),
            (f"- {{match: [{{uri: {{regex: '(?=a)'}}}}], {TO_APP}}}", "not a regular expression of RE2"),
            (f"- {{match: [{{uri: {{exact: 1}}}}], {TO_APP}}}", "must be a string"),
            (f"- {{match: [{{port: 70000}}], {TO_APP}}}", "between 0 and 65535"),
            (f"- {{match: [{{sourceLabels: {{a: '-'}}}}], {TO_APP}}}", "value of a label"),
            (f"- {{match: [{{gateways: ['*']}}], {TO_APP}}}", "must be the name of a gateway"),
            ("- null", "may not be null"),
        ):
            found = errors(GATEWAY, SERVICE, with_http(http))
            self.assertEqual(len(found), 1, (http, found))
            self.assertIn(part, found[0])

    def test_hosts(self) -> None:
        """Hosts may not overlap, and ``*`` may not be for sidecars."""
        for spec, part in (
            ("hosts: [a.com, a.com]", "is a duplicate of 'a.com'"),
            ("hosts: ['*.a.com', b.a.com]", "is a duplicate of '*.a.com'"),
            ("hosts: ['*']\ngateways: [gw, mesh]", "not allowed where a VirtualService is for the mesh"),
            ("hosts: ['a.com:80']", "a host has no port"),
            ("gateways: [gw]", "without hosts is a delegate"),
            ("hosts: [a.com]\nexportTo: ['*', b]", "'*' in exportTo has to stand alone"),
            ("hosts: [a.com]\nexportTo: ['~']", "may not be '~'"),
            ("hosts: [a.com]\nexportTo: [., default]", "repeats 'default'"),
            ("hosts: [a.com]\ngateways: [a/b/c]", "must be NAME or NAMESPACE/NAME"),
        ):
            found = errors(GATEWAY, SERVICE, virtual_service(f"{spec}\nhttp: [{{{TO_APP}}}]"))
            self.assertEqual(len(found), 1, (spec, found))
            self.assertIn(part, found[0])

    def test_without_rules(self) -> None:
        """A virtual service needs rules, and a spec."""
        self.assertIn("spec needs http, tcp or tls", errors(GATEWAY, virtual_service("hosts: [a.com]"))[0])
        self.assertIn("spec is required", errors(GATEWAY, ROUTE.split("spec:")[0])[0])


class UnreachableTests(SynchronousTestCase):
    def test_behind_a_catch_all(self) -> None:
        """A route behind one without a match is never reached."""
        found = warnings(GATEWAY, SERVICE, with_http(f"- {{{TO_APP}}}\n- {{{TO_APP}}}\n"))
        self.assertEqual(len([it for it in found if "never reached" in it and "IST0130" in it]), 1, found)

    def test_equal_match(self) -> None:
        """A match that is equal to an earlier one has no effect, whatever its name."""
        first = f"- {{match: [{{uri: {{prefix: /a}}}}], {TO_APP}}}\n"
        http = first + first.replace("uri:", "name: second, uri:")
        found = warnings(GATEWAY, SERVICE, with_http(http))
        self.assertEqual(len([it for it in found if "an earlier one is equal" in it]), 1, found)
