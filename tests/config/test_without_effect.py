"""Tests for what is taken without a word by Istio and has no effect, or another one than it seems to have."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.errors import Severity
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, findings, istio, warnings
from tests.config.routing import TO_APP, entry, said, with_http

MIRROR = f"{TO_APP}, mirror: {{host: app.test}}"


def authority(route: str) -> str:
    """An entry that sets the authority for its destination, too."""
    return f"{route}, route: [{{destination: {{host: app.test}}, headers: {{request: {{set: {{host: inner}}}}}}}}]"


class RouteTests(SynchronousTestCase):
    def test_warned_about(self) -> None:
        """One warning for each, which stands where the field does."""
        for fields, part, at in (
            (f"rewrite: {{uri: new}}, {TO_APP}", "rewrite.uri 'new' is no path: '/' is put", "new}"),
            ("redirect: {uri: 'https://a.test/x'}", "scheme and authority have fields of their own", "'https"),
            ("redirect: {prefixRewrite: new}", "redirect.prefixRewrite 'new' is no path", "new}"),
            ("directResponse: {status: 204, body: {string: x}}", "204 is a status without body", "body:"),
            (f"{MIRROR}, mirrorPercentage: {{value: 0.00001}}", "value is less than 0.0001", "0.00001"),
            (f"retries: {{attempts: 3}}, {TO_APP}", "has no retryOn: failed connections are tried", "{attempts"),
            (f"retries: {{attempts: 3, retryOn: ''}}, {TO_APP}", "has no retryOn", "{attempts"),
            (
                f"timeout: 2s, retries: {{attempts: 3, retryOn: 5xx, perTryTimeout: 2s}}, {TO_APP}",
                "perTryTimeout has no effect: it is not shorter than the timeout",
                "perTryTimeout",
            ),
            (authority("rewrite: {authority: outer}"), "no effect beside that of spec.http[0].rewrite", "host: inner"),
            (
                authority("headers: {request: {set: {':authority': outer}}}"),
                "no effect beside that of spec.http[0].headers",
                "host: inner",
            ),
        ):
            text = entry(fields)
            found = [it for it in findings(GATEWAY, SERVICE, text) if it.severity is Severity.WARNING]
            self.assertEqual(len(found), 1, (fields, found))
            (warning,) = found
            self.assertIn(part, f"{warning.message} {warning.hint}")
            assert warning.location is not None
            line = (GATEWAY + SERVICE + text).splitlines()[warning.location.line - 1]
            self.assertTrue(line[warning.location.column - 1 :].startswith(at), (fields, line))

    def test_with_effect(self) -> None:
        """Nothing is said of what does what it says."""
        for fields in (
            f"rewrite: {{uri: /}}, {TO_APP}",
            "directResponse: {status: 204}",
            "directResponse: {status: 204, body: {string: ''}}",
            f"{MIRROR}, mirrorPercentage: {{value: 0.0001}}",
            f"{MIRROR}, mirrorPercentage: {{value: 0}}",
            f"timeout: 2s, retries: {{attempts: 3, retryOn: 5xx, perTryTimeout: 1s}}, {TO_APP}",
            authority("headers: {request: {set: {x-a: a}}}"),
        ):
            self.assertEqual(said(fields), [], fields)

    def test_header_operations(self) -> None:
        """Values that come to nothing, names that are there twice, and what the gateway writes itself."""
        for operations, part in (
            ("request: {set: {a: ''}}", "headers.request.set.a has no effect: an empty value"),
            ("response: {add: {a: ''}}", "headers.response.add.a has no effect: an empty value"),
            ("request: {set: {A: b, a: c}}", "request.set.a takes the place of 'A'"),
            ("response: {set: {Server: x}}", "the gateway writes 'Server' after these operations"),
            ("response: {add: {server: x}}", "the gateway writes 'server' after these operations"),
            ("response: {remove: [Date]}", "the gateway writes 'Date' after these operations"),
        ):
            found = said(f"headers: {{{operations}}}, {TO_APP}")
            self.assertEqual(len(found), 1, (operations, found))
            self.assertIn(part, found[0])
        for operations in (
            "request: {set: {server: x}, remove: [date]}",
            "request: {add: {A: b, a: c}}",
            "response: {set: {date: x}}",
        ):
            self.assertEqual(said(f"headers: {{{operations}}}, {TO_APP}"), [], operations)


class PolicyTests(SynchronousTestCase):
    def test_warned_about(self) -> None:
        """One warning for each rule."""
        balancer = "trafficPolicy: {{loadBalancer: {{consistentHash: {{{}}}}}}}"
        for spec, part in (
            ("", "DestinationRule default/dr has no effect: it has neither trafficPolicy nor subsets"),
            ("subsets: []", "has neither trafficPolicy nor subsets"),
            (balancer.format("useSourceIp: false"), "has no hash key: requests go to random endpoints"),
            ("trafficPolicy: {outlierDetection: {consecutive5xxErrors: 0}}", "ejects nobody: its counts are 0"),
        ):
            found = warnings(GATEWAY, SERVICE, ROUTE, istio("DestinationRule", "dr", f"host: app.test\n{spec}"))
            self.assertEqual(len(found), 1, (spec, found))
            self.assertIn(part, found[0])


class EmptyTests(SynchronousTestCase):
    def test_as_if_absent(self) -> None:
        """An empty string stands for no value, as it does in protobuf."""
        compiled(GATEWAY.replace("- hosts", "- bind: ''\n    hosts"), SERVICE, ROUTE)
        for fields in (
            "route: [{destination: {host: app.test, subset: ''}}]",
            f"match: [{{sourceNamespace: ''}}], {TO_APP}",
            f"{TO_APP}, mirrors: [{{destination: {{host: app.test, subset: ''}}}}]",
        ):
            self.assertEqual(said(fields), [], fields)
        elsewhere = SERVICE.replace("- {address: 10.0.0.1,", "- {address: '', network: other,")
        (found,) = warnings(GATEWAY, elsewhere, ROUTE)
        self.assertIn("spec.endpoints[0] has no address: a gateway of another network", found)

    def test_where_a_value_is_needed(self) -> None:
        """What is required may not be empty."""
        for fields in ("route: [{destination: {host: ''}}]", f"rewrite: {{uri: ''}}, {TO_APP}"):
            self.assertEqual(len(said(fields, Severity.ERROR)), 1, fields)
        self.assertEqual(len(errors(GATEWAY, SERVICE.replace("10.0.0.1", "''"), ROUTE)), 1)


class SlipTests(SynchronousTestCase):
    def test_misspelt_requirement(self) -> None:
        """A required field with a slip in its name is one error; one that is missing beside an unknown field is two."""
        for fields, expected in (
            ("route: [{destnation: {host: app.test}}]", ["has no field 'destnation'"]),
            ("route: [{weight: 1, colour: red}]", ["destination is required", "has no field 'colour'"]),
        ):
            found = said(fields, Severity.ERROR)
            self.assertEqual(len(found), len(expected), found)
            for message, part in zip(found, expected, strict=True):
                self.assertIn(part, message)

    def test_place_of_a_label(self) -> None:
        """The name of a label that is none is reported at this name."""
        (found,) = errors(GATEWAY, SERVICE.replace("version: v1", "'not a label': v1"), ROUTE)
        column = SERVICE.splitlines()[9].replace("version", "'not").index("'not") + 1
        self.assertTrue(found.startswith(f"mesh.yaml:{GATEWAY.count(chr(10)) + 10}:{column}:"), found)


class GatewayTests(SynchronousTestCase):
    def test_udp(self) -> None:
        """A server of UDP is said to be none; nothing is said of the virtual services that fit its hosts."""
        udp = GATEWAY.replace("protocol: HTTP", "protocol: UDP")
        _, found = warnings(udp, SERVICE, ROUTE)  # behind the one that nothing is served
        self.assertIn("is not opened: a gateway does nothing with UDP", found)

    def test_clusters_as_hosts(self) -> None:
        """The name of a cluster is taken for a host; the virtual service is no delegate."""
        route = ROUTE.replace("'*'", "'outbound_.80_._.app.test'")
        self.assertEqual(warnings(GATEWAY, SERVICE, route), [])

    def test_match_for_all_of_its_gateways(self) -> None:
        """A block that names all gateways of its virtual service takes what comes after it."""
        routes = "".join(f"- {{match: [{match}], {TO_APP}}}\n" for match in ("{gateways: [gw]}", "{uri: {prefix: /a}}"))
        (found,) = warnings(GATEWAY, SERVICE, with_http(routes))
        self.assertIn("this route is never reached", found)
