"""Tests for the kind ``VirtualService``: its document, and which fields of an entry go together."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.errors import Severity
from meshproxy.routes import DirectResponse, Forward, Redirect
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, routes, warnings
from tests.config.routing import TO_APP, compiled_route, said, virtual_service, with_http


class ReadingTests(SynchronousTestCase):
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

    def test_actions(self) -> None:
        """Each of the three actions makes a route of its kind."""
        for fields, kind in (
            (TO_APP, Forward),
            ("redirect: {uri: /}", Redirect),
            ("directResponse: {status: 200}", DirectResponse),
        ):
            self.assertIsInstance(compiled_route(fields).action, kind)

    def test_shared_forwards(self) -> None:
        """What does not depend on the match is made once for all matches of an entry."""
        matches = "match: [{uri: {exact: /a}}, {uri: {prefix: /b}}]"
        for fields, same in (("timeout: 1s", True), ("rewrite: {authority: h}", True), ("rewrite: {uri: /}", False)):
            found = routes(compiled(GATEWAY, SERVICE, with_http(f"- {{{matches}, {fields}, {TO_APP}}}")), "*")
            self.assertEqual(found[0].action is found[1].action, same, fields)


class RefusalTests(SynchronousTestCase):
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
            ("- {route: [{destination: {host: a.b}, weight: -1}]}", "between 0 and"),
            ("- {route: [{destination: {host: '*'}}]}", "may not be '*'"),
            ("- {route: [{destination: {host: 10.0.0.1}}]}", "must be a host name"),
            ("- {route: [{destination: {host: 'http://a.b'}}]}", "a host has no scheme"),
            ("- {route: [{destination: {host: 'a.b:80'}}]}", "a host has no port"),
            ("- {route: [{destination: {}}]}", "destination.host is required"),
            ("- {route: [{weight: 1}]}", "route[0].destination is required"),
            ("- {route: [{destination: {host: a.b, subset: v1.0}}]}", "must be a DNS label"),
            ("- {route: [{destination: {host: a.b, port: 80}}]}", "must be a mapping"),
            ("- {route: [{destination: {host: a.b, port: {number: 0}}}]}", "between 1 and 65535"),
            ("- null", "may not be null"),
        ):
            found = errors(GATEWAY, SERVICE, with_http(http))
            self.assertEqual(len(found), 1, (http, found))
            self.assertIn(part, found[0])

    def test_what_excludes_each_other(self) -> None:
        """Redirects and direct responses stand alone, and a route that delegates has no action of its own."""
        redirect, response, delegate = "redirect: {uri: /}", "directResponse: {status: 200}", "delegate: {name: x}"
        fault = "fault: {abort: {httpStatus: 500, percentage: {value: 1}}}"
        for first, second in (
            (redirect, TO_APP),
            (redirect, fault),
            (redirect, "rewrite: {uri: /}"),
            (redirect, response),
            (response, TO_APP),
            (response, fault),
            (response, "rewrite: {uri: /}"),
            (delegate, TO_APP),
            (delegate, redirect),
        ):
            found = said(f"{first}, {second}", Severity.ERROR)
            names = [text.partition(":")[0] for text in (first, second)]
            self.assertEqual(len(found), 1, found)
            self.assertIn(f"spec.http[0] may not have both {names[0]} and {names[1]}", found[0])

    def test_without_effect(self) -> None:
        """What only concerns forwarding has no effect on other actions, which is said."""
        for field in (
            "timeout: 1s",
            "retries: {attempts: 1, retryOn: 5xx}",
            "corsPolicy: {allowOrigins: [{exact: a}]}",
        ):
            (found,) = said(f"redirect: {{uri: /}}, {field}")
            self.assertIn(f"spec.http[0].{field.partition(':')[0]} has no effect on a redirect", found)
        (found,) = said("directResponse: {status: 200}, headers: {request: {set: {a: b}}}")
        self.assertIn("spec.http[0].headers.request has no effect on a directResponse", found)

    def test_hosts(self) -> None:
        """Hosts may not overlap, and ``*`` may not be for sidecars."""
        for spec, part in (
            ("hosts: [a.com, a.com]", "is a duplicate of 'a.com'"),
            ("hosts: ['*.a.com', b.a.com]", "is a duplicate of '*.a.com'"),
            ("hosts: [b.a.com, c.com, '*a.com']", "'*a.com' is a duplicate of 'b.a.com'"),
            ("hosts: ['*']\ngateways: [gw, mesh]", "not allowed where a VirtualService is for the mesh"),
            ("hosts: ['a.com:80']", "a host has no port"),
            ("hosts: [outbound_.80_._.a.com]\ngateways: [gw]", "must be a host name or an IP address"),
            ("gateways: [gw]", "without hosts is a delegate, it has no gateways"),
            ("hosts: [a.com]\nexportTo: ['*', b]", "'*' in exportTo has to stand alone"),
            ("hosts: [a.com]\nexportTo: ['~']", "may not be '~'"),
            ("hosts: [a.com]\nexportTo: [., default]", "repeats 'default'"),
            ("hosts: [a.com]\ngateways: [a/b/c]", "must be NAME or NAMESPACE/NAME"),
        ):
            found = errors(GATEWAY, SERVICE, virtual_service(f"{spec}\nhttp: [{{{TO_APP}}}]"))
            self.assertEqual(len(found), 1, (spec, found))
            self.assertIn(part, found[0])

    def test_claims_in_the_mesh(self) -> None:
        """Conditions on claims are for gateways only."""
        match = "match: [{headers: {'@request.auth.claims.a': {}}}]"
        for gateways in ("", "gateways: [gw, mesh]\n"):
            found = errors(
                GATEWAY, SERVICE, virtual_service(f"hosts: [a.com]\n{gateways}http: [{{{match}, {TO_APP}}}]")
            )
            self.assertEqual(len(found), 1, found)
            self.assertIn("claims are only for gateways", found[0])

    def test_without_rules(self) -> None:
        """A virtual service needs rules, and a spec."""
        self.assertIn("spec needs http, tcp or tls", errors(GATEWAY, virtual_service("hosts: [a.com]"))[0])
        self.assertIn("spec is required", errors(GATEWAY, ROUTE.split("spec:")[0])[0])


class StreamTests(SynchronousTestCase):
    def test_not_served_yet(self) -> None:
        """Routes for TLS and TCP are an error of their own."""
        route = "route: [{destination: {host: app.test}}]"
        for section in (f"tls: [{{match: [{{sniHosts: [a.com]}}], {route}}}]", f"tcp: [{{{route}}}]"):
            (found,) = errors(GATEWAY, SERVICE, virtual_service(f"hosts: [a.com]\ngateways: [gw]\n{section}"))
            self.assertIn(f"spec.{section[:3]} is not served yet", found)

    def test_refused(self) -> None:
        """What Istio refuses in them is refused all the same."""
        route = "route: [{destination: {host: app.test}}]"
        for section, part in (
            (f"tls: [{{{route}}}]", "spec.tls[0].match needs at least one block"),
            (f"tls: [{{match: [{{port: 443}}], {route}}}]", "sniHosts needs at least one host"),
            (f"tls: [{{match: [{{sniHosts: [b.com]}}], {route}}}]", "covered by none of spec.hosts"),
            ("tls: [{match: [{sniHosts: [a.com]}]}]", "spec.tls[0].route needs at least one destination"),
            ("tcp: [{match: [{port: 1}]}]", "spec.tcp[0].route needs at least one destination"),
            (f"tcp: [{{match: [{{destinationSubnets: [1.2.3.4/99]}}], {route}}}]", "an address or a range"),
            ("tcp: [{route: [{destination: {host: a.b}}, {destination: {host: a.b}}]}]", "all weights are 0"),
        ):
            found = errors(GATEWAY, SERVICE, virtual_service(f"hosts: [a.com]\ngateways: [gw]\n{section}"))
            self.assertEqual(len([it for it in found if "not served yet" not in it]), 1, (section, found))
            self.assertIn(part, " ".join(found))

    def test_too_late(self) -> None:
        """Routes and blocks that equal an earlier one, and what comes behind a route without any."""
        route, sni = "route: [{destination: {host: app.test}}]", "sniHosts: [a.com]"
        for section, code, place in (
            (f"tcp:\n- {{{route}}}\n- {{{route}}}", "IST0130", "30:5"),
            (f"tcp:\n- {{{route}}}\n- {{match: [{{port: 1}}], {route}}}", "IST0130", "30:5"),
            (f"tcp:\n- {{match: [{{port: 1}}], {route}}}\n- {{match: [{{port: 1}}], {route}}}", "IST0130", "30:5"),
            (f"tcp:\n- {{match: [{{port: 1}}, {{port: 2}}, {{port: 1}}], {route}}}", "IST0131", "29:36"),
            (f"tls:\n- {{match: [{{{sni}}}], {route}}}\n- {{match: [{{{sni}}}], {route}}}", "IST0130", "30:5"),
            (f"tls:\n- {{match: [{{{sni}}}, {{port: 1, {sni}}}, {{{sni}}}], {route}}}", "IST0131", "29:65"),
        ):
            text = virtual_service(f"hosts: [a.com]\ngateways: [gw]\n{section}")
            (found,) = [it for it in warnings(GATEWAY, SERVICE, text) if "IST013" in it]
            self.assertIn(f"mesh.yaml:{place}: warning: this ", found)
            self.assertIn(f"[{code}]", found)
        matches = ("match: [{port: 1}], ", "match: [{port: 1, gateways: [gw]}], ", "")
        apart = "".join(f"\n- {{{match}{route}}}" for match in matches)
        text = virtual_service(f"hosts: [a.com]\ngateways: [gw]\ntcp:{apart}")
        self.assertNotIn("IST013", " ".join(warnings(GATEWAY, SERVICE, text)))

    def test_addresses_as_sni(self) -> None:
        """An address as SNI is only warned about."""
        route = "route: [{destination: {host: app.test}}]"
        text = f"hosts: [a.com]\ngateways: [gw]\ntls: [{{match: [{{sniHosts: [1.2.3.4]}}], {route}}}]"
        self.assertIn("clients send no address as SNI [IST0133]", " ".join(warnings(GATEWAY, virtual_service(text))))
