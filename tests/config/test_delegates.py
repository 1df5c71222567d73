"""Tests for delegation: what becomes of a route that hands over to another virtual service."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.routes import Comparison, DirectResponse, Redirect, Route, TextMatch
from tests.config.loading import GATEWAY, SERVICE, compiled, errors, routes, warnings
from tests.config.routing import TO_APP, virtual_service, with_http

EVERYTHING = f"- {{{TO_APP}}}"


def delegate(http: str, more: str = "", name: str = "inner", namespace: str = "default") -> str:
    return virtual_service(f"{more}\nhttp:\n{http}", name, namespace)


def root(fields: str, reference: str = "{name: inner}") -> str:
    return with_http(f"- {{delegate: {reference}{', ' if fields else ''}{fields}}}")


def found(*texts: str) -> list[Route]:
    return routes(compiled(GATEWAY, SERVICE, *texts), "*")


def paths(root_match: str, inner_match: str) -> list[str]:
    """The path conditions of what comes of a root and an inner route with these matches."""
    inner = f"- {{match: {inner_match}, {TO_APP}}}" if inner_match else EVERYTHING
    text = root(f"match: {root_match}" if root_match else "")
    return [route.match.path.value for route in found(text, delegate(inner))]


class MatchTests(SynchronousTestCase):
    def test_one_side_only(self) -> None:
        """Without a match on one side the other side's counts."""
        self.assertEqual(paths("", ""), [""])
        self.assertEqual(paths("", "[{uri: {exact: /a}}]"), ["/a"])
        self.assertEqual(paths("[{uri: {exact: /a}}, {uri: {regex: b}}]", ""), ["/a", "b"])

    def test_narrower(self) -> None:
        """A condition on both sides has to be narrower in the delegate; regular expressions never are."""
        for outer, inner, together in (
            ("exact: /a", "exact: /a", True),
            ("exact: /a", "exact: /ab", False),
            ("exact: /a", "prefix: /a", False),
            ("prefix: /a", "prefix: /ab", True),
            ("prefix: /a", "exact: /abc", True),
            ("prefix: /ab", "prefix: /a", False),
            ("prefix: /a", "regex: /a", False),
            ("regex: /a", "regex: /a", False),
            ("regex: /a", "exact: /a", False),
            ("prefix: ''", "exact: /a", False),
        ):
            got = paths(f"[{{uri: {{{outer}}}}}]", f"[{{uri: {{{inner}}}}}]")
            self.assertEqual(got, [inner.partition(": ")[2]] if together else [], (outer, inner))

    def test_every_block_needs_one_of_the_root(self) -> None:
        """One block of the delegate that fits none of the root's takes the whole route away."""
        outer = "[{uri: {prefix: /a}}, {uri: {prefix: /ab}}]"
        self.assertEqual(paths(outer, "[{uri: {exact: /abc}}, {uri: {exact: /ac}}]"), ["/abc", "/abc", "/ac"])
        self.assertEqual(paths(outer, "[{uri: {exact: /abc}}, {uri: {exact: /x}}]"), [])

    def test_other_conditions(self) -> None:
        """Conditions of different kinds and names are united; those of the same have to fit."""
        for outer, inner, together in (
            ("method: {exact: GET}", "scheme: {exact: http}", True),
            ("method: {exact: GET}", "method: {exact: POST}", False),
            ("headers: {a: {exact: b}}", "headers: {c: {exact: d}}", True),
            ("headers: {a: {exact: b}}", "headers: {a: {exact: c}}", False),
            ("withoutHeaders: {a: {exact: b}}", "withoutHeaders: {a: {}}", False),
            ("queryParams: {a: {prefix: b}}", "queryParams: {a: {prefix: bc}}", True),
            ("ignoreUriCase: true", "name: x", False),
            ("port: 80", "port: 81", False),
            ("port: 80", "name: x", True),
            ("sourceNamespace: istio-system", "name: x", False),
            ("sourceLabels: {istio: ingressgateway}", "sourceLabels: {app: istio-ingressgateway}", True),
            ("sourceLabels: {istio: ingressgateway}", "sourceLabels: {istio: x}", False),
            ("gateways: [gw]", "gateways: [gw, other]", False),
        ):
            got = paths(f"[{{{outer}}}]", f"[{{{inner}}}]")
            self.assertEqual(bool(got), together, (outer, inner))
        (route,) = found(
            root("match: [{headers: {a: {exact: b}}, method: {exact: GET}}]"),
            delegate(f"- {{match: [{{headers: {{c: {{exact: d}}}}, uri: {{exact: /x}}}}], {TO_APP}}}"),
        )
        self.assertEqual([it.name for it in route.match.headers], [b"a", b"c"])
        self.assertEqual(route.match.method, TextMatch(Comparison.EXACT, "GET"))


class FieldTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Names of both sides are joined, those of routes and those of matches."""
        inner = delegate(f"- {{name: v2, match: [{{uri: {{exact: /a}}, name: m}}], {TO_APP}}}\n{EVERYTHING}")
        names = [route.name for route in found(root("name: root, match: [{port: 80, name: outer}]"), inner)]
        self.assertEqual(names, ["root-v2.outer-m", "root.outer"])

    def test_taken_from_the_root(self) -> None:
        """What the delegate does not say comes from the root; a share from there counts for a mirror from here."""
        fields = "timeout: 5s, retries: {attempts: 7}, rewrite: {uri: /r}, corsPolicy: {allowOrigins: [{exact: a}]}"
        fields += ", headers: {request: {set: {a: root}}}, mirrorPercentage: {value: 1}"
        fields += ", fault: {abort: {httpStatus: 500, percentage: {value: 1}}}"
        own = "timeout: 1s, headers: {response: {set: {a: own}}}, mirror: {host: app.test}"
        (route,) = found(root(fields), delegate(f"- {{{own}, {TO_APP}}}"))
        action = route.action
        self.assertEqual((action.timeout, action.retries.attempts, action.mirrors[0].share), (1.0, 7, 10_000))
        self.assertEqual(action.destinations[0].rewrite.path, "/r")
        self.assertEqual(action.destinations[0].request_headers, ())
        self.assertIsNotNone(action.cors)
        self.assertEqual(route.fault.abort_status, 500)

    def test_actions(self) -> None:
        """A direct response of the root takes the place of a route, but not that of a redirect."""
        response = "directResponse: {status: 204}"
        self.assertEqual(found(root(response), delegate(EVERYTHING))[0].action, DirectResponse(204))
        redirect = delegate("- {redirect: {uri: /x}}")
        self.assertEqual(found(root(response), redirect)[0].action, Redirect(path="/x"))

    def test_list_ends_at_a_catch_all(self) -> None:
        """A delegate that takes everything ends the root's list; one that was left out does not."""
        rest = f"\n- {{name: rest, {TO_APP}}}"
        text = with_http("- {delegate: {name: inner}}" + rest)
        self.assertEqual([it.name for it in found(text, delegate(f"- {{name: all, {TO_APP}}}"))], ["all"])
        self.assertEqual([it.name for it in found(text)], ["rest"])

    def test_hosts_are_completed_where_they_are_written(self) -> None:
        """A short destination host belongs to the namespace of the delegate."""
        text = root("", "{name: inner, namespace: team}")
        (route,) = found(text, delegate("- {route: [{destination: {host: db}}]}", namespace="team"))
        self.assertEqual(route.action.destinations[0].cluster, "outbound|80||db.team.svc.cluster.local")


class ReferenceTests(SynchronousTestCase):
    def test_left_out(self) -> None:
        """A delegate that is missing, hidden or none at all takes away that route only, which is said."""
        rest = f"\n- {{name: rest, {TO_APP}}}"
        for reference, texts, part in (
            ("{name: innner}", (delegate(EVERYTHING),), "no VirtualService default/innner (did you mean"),
            ("{name: inner, namespace: team}", (), "there is no VirtualService team/inner"),
            ("{}", (), "there is no VirtualService default/"),
            (
                "{name: inner}",
                (delegate(EVERYTHING, "hosts: [a.com]\ngateways: [gw]"),),
                "has hosts, so it is no delegate",
            ),
            (
                "{name: inner, namespace: team}",
                (delegate(EVERYTHING, "exportTo: [.]", namespace="team"),),
                "the exportTo of VirtualService team/inner hides it from default",
            ),
        ):
            text = with_http(f"- {{delegate: {reference}}}{rest}")
            self.assertEqual([it.name for it in found(text, *texts)], ["rest"], reference)
            self.assertIn(part, " ".join(warnings(GATEWAY, SERVICE, text, *texts)))

    def test_visible(self) -> None:
        """A delegate that is exported to the root's namespace is used, be it hidden from the gateway's."""
        text = root("", "{name: inner, namespace: team}")
        self.assertEqual(len(found(text, delegate(EVERYTHING, "exportTo: [default]", namespace="team"))), 1)

    def test_conflict_is_said(self) -> None:
        """A route of the delegate that is left out is warned about at its place."""
        inner = delegate(f"- {{match: [{{uri: {{exact: /x}}}}], {TO_APP}}}")
        said = warnings(GATEWAY, SERVICE, root("match: [{uri: {prefix: /a}}]"), inner)
        self.assertEqual(len([it for it in said if "this route is left out here" in it]), 1, said)

    def test_unused(self) -> None:
        """A delegate that nothing hands over to is warned about; one that is used is not."""
        self.assertIn("nothing delegates to it", " ".join(warnings(GATEWAY, SERVICE, delegate(EVERYTHING))))
        self.assertEqual(warnings(GATEWAY, SERVICE, root(""), delegate(EVERYTHING)), [])

    def test_refused(self) -> None:
        """Delegates do not delegate, and are for HTTP only."""
        for text, part in (
            (delegate("- {delegate: {name: x}}"), "is in a delegate, so it cannot delegate itself"),
            (delegate(EVERYTHING, "gateways: [gw]"), "it has no gateways"),
            (delegate(EVERYTHING, "tcp: [{route: [{destination: {host: a.b}}]}]"), "it has no tcp"),
        ):
            got = errors(GATEWAY, SERVICE, text)
            self.assertEqual(len(got), 1, got)
            self.assertIn(part, got[0])
