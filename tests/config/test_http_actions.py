"""Tests for redirects, direct responses and rewrites."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.errors import Severity
from meshproxy.routes import DirectResponse, Forward, HeaderOperations, Redirect, Rewrite
from tests.config.loading import GATEWAY, compiled, routes
from tests.config.routing import TO_APP, compiled_route, entry, said


def redirect(fields: str, match: str = "{uri: {prefix: /a}}") -> object:
    return compiled_route(f"match: [{match}], redirect: {{{fields}}}").action


def rewrite(fields: str, match: str = "{uri: {prefix: /a}}") -> Rewrite | None:
    action = compiled_route(f"match: [{match}], rewrite: {{{fields}}}, {TO_APP}").action
    assert isinstance(action, Forward)
    return action.destinations[0].rewrite


class RedirectTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """Each field of a redirect; what is not given stays as in the request."""
        for fields, expected in (
            ("uri: /x", Redirect(path="/x")),
            ("authority: 'h:99'", Redirect(authority="h:99")),
            ("scheme: https, redirectCode: 308", Redirect(308, scheme="https")),
            ("uri: /x, redirectCode: 0", Redirect(path="/x")),
            ("port: 8443", Redirect(port=8443)),
            ("prefixRewrite: /new", Redirect(path="/new", prefix_length=2)),
            ("authority: h, derivePort: FROM_PROTOCOL_DEFAULT", Redirect(authority="h")),
        ):
            self.assertEqual(redirect(fields), expected, fields)

    def test_port(self) -> None:
        """The port may be the gateway's own; the default one of the scheme that is redirected to is not spelled."""
        self.assertEqual(redirect("derivePort: FROM_REQUEST_PORT"), Redirect())
        self.assertEqual(redirect("derivePort: FROM_REQUEST_PORT, scheme: https"), Redirect(scheme="https", port=80))
        self.assertEqual(redirect("port: 443, scheme: https"), Redirect(scheme="https"))
        self.assertEqual(redirect("port: 80"), Redirect())
        other = GATEWAY.replace("number: 80", "number: 8080")
        (route,) = routes(compiled(other, entry("redirect: {derivePort: FROM_REQUEST_PORT}")), "*", 8080)
        self.assertEqual(route.action, Redirect(port=8080))

    def test_prefix_without_a_path(self) -> None:
        """Where no path is asked for, the prefix that is replaced is the slash."""
        self.assertEqual(
            redirect("prefixRewrite: /new/", "{method: {exact: GET}}"), Redirect(path="/new/", prefix_length=1)
        )

    def test_status_that_is_no_redirect(self) -> None:
        """Istio accepts other statuses and makes nothing of them: such a route answers 500, and a warning says so."""
        self.assertEqual(redirect("uri: /x, redirectCode: 304"), DirectResponse(500))
        self.assertIn("no redirect is made with 304", " ".join(said("redirect: {uri: /x, redirectCode: 304}")))

    def test_response_headers(self) -> None:
        """Operations on the response apply to redirects and direct responses."""
        headers = "headers: {response: {set: {a: b}}}"
        for action in ("redirect: {uri: /x}", "directResponse: {status: 200}"):
            found = compiled_route(f"{action}, {headers}").response_headers
            self.assertEqual(found, (HeaderOperations(set=((b"a", "b"),)),))

    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error."""
        for fields, part in (
            ("{}", "needs uri, prefixRewrite, authority, scheme, port or derivePort"),
            ("{redirectCode: 302}", "needs uri, prefixRewrite, authority, scheme, port or derivePort"),
            ("{uri: /a, prefixRewrite: /b}", "may not have both uri and prefixRewrite"),
            ("{port: 80, derivePort: FROM_REQUEST_PORT}", "may not have both port and derivePort"),
            ("{derivePort: PORT}", "derivePort must not be 'PORT'"),
            ("{uri: /a, redirectCode: 200}", "must be between 300 and 399, not 200"),
            ("{scheme: ftp}", "scheme must not be 'ftp'"),
            ("{port: 0}", "between 1 and 65535"),
        ):
            found = said(f"redirect: {fields}", Severity.ERROR)
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn(part, found[0])
        found = said("match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /b}", Severity.ERROR)
        self.assertEqual(len(found), 1)
        self.assertIn("prefixRewrite needs a prefix in every uri", found[0])


class DirectResponseTests(SynchronousTestCase):
    def test_bodies(self) -> None:
        """A body is a text or bytes in base64 of either alphabet; an empty one is none."""
        for fields, expected in (
            ("status: 204", DirectResponse(204)),
            ("status: 200, body: {string: ü}", DirectResponse(200, "ü".encode())),
            ("status: 200, body: {bytes: AP_-}", DirectResponse(200, b"\0\xff\xfe")),
            ("status: 200, body: {bytes: '/w'}", DirectResponse(200, b"\xff")),
            ("status: 200, body: {string: ''}", DirectResponse(200)),
            ("status: 200, body: {}", DirectResponse(200)),
        ):
            self.assertEqual(compiled_route(f"directResponse: {{{fields}}}").action, expected, fields)

    def test_status_600(self) -> None:
        """Istio accepts 600, which no client understands: 500 is answered instead, and a warning says so."""
        self.assertEqual(compiled_route("directResponse: {status: 600}").action, DirectResponse(500))
        self.assertIn("there is no status 600", " ".join(said("directResponse: {status: 600}")))

    def test_large_bodies(self) -> None:
        """More than 100 KiB is warned about, more than 1 MiB refused."""
        text = "directResponse: {status: 200, body: {string: %s}}"
        self.assertEqual(said(text % ("x" * 102400)), [])
        self.assertIn("102401 bytes", " ".join(said(text % ("x" * 102401))))
        self.assertIn("at most 1048576 bytes", " ".join(said(text % ("x" * 1048577), Severity.ERROR)))

    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error."""
        for fields, part in (
            ("{}", "directResponse.status is required"),
            ("{status: 199}", "between 200 and 600"),
            ("{status: 200, body: {string: a, bytes: YQ==}}", "may not have both string and bytes"),
            ("{status: 200, body: {bytes: '%'}}", "must be base64"),
        ):
            found = said(f"directResponse: {fields}", Severity.ERROR)
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn(part, found[0])


class RewriteTests(SynchronousTestCase):
    def test_by_kind_of_match(self) -> None:
        """What is replaced is what was matched: a prefix, or the whole path; without a condition the first slash."""
        for match, expected in (
            ("{uri: {prefix: /ä}}", Rewrite("/new", prefix_length=3)),
            ("{uri: {prefix: ''}}", Rewrite("/new", prefix_length=0)),
            ("{uri: {exact: /a}}", Rewrite("/new", whole=True)),
            ("{uri: {regex: /a}}", Rewrite("/new", whole=True)),
            ("{method: {exact: GET}}", Rewrite("/new", prefix_length=1)),
            ("{uri: {prefix: /WC}, ignoreUriCase: true}", Rewrite("/new", prefix_length=3)),
        ):
            self.assertEqual(rewrite("uri: /new", match), expected, match)
        action = compiled_route(f"rewrite: {{uri: /new}}, {TO_APP}").action
        assert isinstance(action, Forward)
        self.assertEqual(action.destinations[0].rewrite, Rewrite("/new", prefix_length=1))

    def test_others(self) -> None:
        """Authority and regular expression, alone or beside a path."""
        self.assertEqual(rewrite("authority: h"), Rewrite(authority="h"))
        self.assertEqual(rewrite("uri: /b, authority: h"), Rewrite("/b", prefix_length=2, authority="h"))
        self.assertEqual(
            rewrite(r"uriRegexRewrite: {match: '/(a)', rewrite: '/\1\\'}"),
            Rewrite(regex="/(a)", substitution=r"/\1" + "\\\\"),
        )

    def test_substitution_that_does_nothing(self) -> None:
        """A group that does not exist keeps the path as it is, which is said."""
        fields = r"uriRegexRewrite: {match: '/(a)', rewrite: '/\2'}"
        self.assertEqual(rewrite(fields), Rewrite(regex="/(a)", substitution=r"\0"))
        self.assertIn("refers to group 2", " ".join(said(f"rewrite: {{{fields}}}, {TO_APP}")))

    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error."""
        for fields, part in (
            ("{}", "needs uri, uriRegexRewrite or authority"),
            ("{uri: ''}", "needs uri, uriRegexRewrite or authority"),
            ("{uri: /a, uriRegexRewrite: {match: a, rewrite: b}}", "may not have both uri and uriRegexRewrite"),
            ("{uriRegexRewrite: {match: a}}", "uriRegexRewrite.rewrite is required"),
            ("{uriRegexRewrite: {match: '', rewrite: b}}", "uriRegexRewrite.match is required"),
            ("{uriRegexRewrite: {match: '(', rewrite: b}}", "not a regular expression of RE2"),
        ):
            found = said(f"rewrite: {fields}, {TO_APP}", Severity.ERROR)
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn(part, found[0])
