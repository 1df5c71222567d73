"""Tests for match blocks: what they ask of a request, and what is wrong with them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.errors import Severity
from meshproxy.routes import Comparison, HeaderMatch, PathMatch, QueryMatch, RouteMatch, TextMatch
from tests.config.routing import TO_APP, compiled_route, said

EXACT, PREFIX, REGEX = Comparison.EXACT, Comparison.PREFIX, Comparison.REGEX


def match(fields: str) -> RouteMatch:
    return compiled_route(f"match: [{{{fields}}}], {TO_APP}").match


class ConditionTests(SynchronousTestCase):
    def test_texts(self) -> None:
        """Method, scheme and authority are compared in each way; an empty condition asks for presence only."""
        self.assertEqual(
            match("method: {exact: GET}, scheme: {prefix: http}, authority: {regex: 'a.*'}"),
            RouteMatch(
                method=TextMatch(EXACT, "GET"), scheme=TextMatch(PREFIX, "http"), authority=TextMatch(REGEX, "a.*")
            ),
        )
        self.assertEqual(match("method: {}").method, TextMatch())

    def test_path(self) -> None:
        """The kinds of path conditions; letter case may be ignored, but not by a regular expression."""
        for text, expected in (
            ("uri: {exact: /a}", PathMatch(EXACT, "/a")),
            ("uri: {prefix: ''}", PathMatch(PREFIX, "")),
            ("uri: {regex: /b+}", PathMatch(REGEX, "/b+")),
            ("uri: {}", PathMatch()),
            ("uri: {exact: /a}, ignoreUriCase: true", PathMatch(EXACT, "/a", True)),
            ("uri: {prefix: /a}, ignoreUriCase: true", PathMatch(PREFIX, "/a", True)),
            ("uri: {regex: /a}, ignoreUriCase: true", PathMatch(REGEX, "/a")),
            ("uri: {exact: /a}, ignoreUriCase: false", PathMatch(EXACT, "/a")),
        ):
            self.assertEqual(match(text).path, expected, text)

    def test_headers(self) -> None:
        """Names of headers are in lower case, pseudo headers are names too, and withoutHeaders inverts."""
        fields = "headers: {X-A: {exact: b}, X-P: {}, ':path': {prefix: /}}"
        fields += ", withoutHeaders: {X-C: {regex: '*'}, d: {exact: ''}}"
        self.assertEqual(
            match(fields).headers,
            (
                HeaderMatch(b"x-a", TextMatch(EXACT, "b")),
                HeaderMatch(b"x-p", TextMatch()),
                HeaderMatch(b":path", TextMatch(PREFIX, "/")),
                HeaderMatch(b"x-c", TextMatch(), inverted=True),
                HeaderMatch(b"d", TextMatch(EXACT, ""), inverted=True),
            ),
        )

    def test_query(self) -> None:
        """Names of query parameters keep their letter case; a condition without anything asks for presence."""
        self.assertEqual(
            match("queryParams: {Id: {exact: '1'}, p: {}}").query,
            (QueryMatch(b"Id", TextMatch(EXACT, "1")), QueryMatch(b"p", TextMatch())),
        )

    def test_claims(self) -> None:
        """A claim never holds, its absence always does; neither makes a route that takes everything. Both are said."""
        positive = "headers: {'@request.auth.claims.sub': {exact: x}}"
        self.assertEqual(match(positive), RouteMatch(impossible=True))
        negative = "withoutHeaders: {'@Request.Auth.Claims[a][b]': {exact: ''}}"
        condition = match(negative)
        (header,) = condition.headers
        self.assertEqual((header.text, header.inverted), (TextMatch(), True))
        self.assertFalse(match(positive).catch_all or condition.catch_all)
        for fields, outcome in ((positive, "never holds"), (negative, "always holds")):
            found = said(f"match: [{{{fields}}}], {TO_APP}")
            self.assertEqual(len([it for it in found if "[IST0149]" in it and outcome in it]), 1, found)

    def test_without_effect(self) -> None:
        """Settings of a match that change nothing are warned about; names of statistics are not."""
        for fields, part in (
            ("uri: {regex: /a}, ignoreUriCase: true", "ignoreUriCase has no effect"),
            ("ignoreUriCase: true", "ignoreUriCase has no effect"),
            ("headers: {':status': {}}", "a request has no :status"),
            ("uri: {prefix: api}", "no request meets spec.http[0].match[0].uri.prefix 'api': every path begins with"),
            ("uri: {exact: ''}", "uri.exact '': every path begins with '/'"),
            ("uri: {exact: '/a?b=c'}", "uri.exact '/a?b=c': a path has neither query nor fragment (queryParams has"),
            ("uri: {prefix: '/a#b'}", "uri.prefix '/a#b': a path has neither query nor fragment"),
            ("uri: {regex: 'api/.*'}", "uri.regex 'api/.*': every path begins with '/'"),
            ("uri: {regex: '(a|b)/.*'}", "every path begins with '/'"),
            (r"uri: {regex: '/a\?b=.*'}", "a path has neither query nor fragment"),
            ("method: {exact: get}", "match[0].method.exact 'get': methods are in upper case"),
            ("method: {prefix: p}", "methods are in upper case"),
            ("method: {exact: CONNECT}", "method.exact 'CONNECT': this gateway is no proxy for CONNECT"),
            ("method: {exact: ''}", "method.exact '': a method is not empty"),
            (
                "uri: {exact: /é%20&}",
                "exact '/é%20&': in a path, blanks and what is not ASCII are encoded",
            ),
            ("uri: {prefix: '/a b'}", "(write /a%20b)"),
        ):
            self.assertIn(part, " ".join(said(f"match: [{{{fields}}}], {TO_APP}")))
        self.assertEqual(said(f"match: [{{uri: {{exact: /a}}, statPrefix: x}}], {TO_APP}"), [])

    def test_met_by_some(self) -> None:
        """Conditions that look as if nothing met them."""
        for fields in (
            *("uri: {}", "uri: {prefix: ''}", "uri: {prefix: /}", "uri: {regex: '.*api'}", "uri: {regex: '^/api'}"),
            *("uri: {regex: '/?'}", "uri: {regex: 'a|/b'}", "uri: {regex: '(a|/b)'}", "uri: {regex: '(?i)/api'}"),
            *("uri: {regex: '/é'}", "uri: {regex: '/a b'}", "uri: {exact: '/a%20b'}"),
            *("method: {exact: GET}", "method: {}", "method: {regex: 'GET|get'}"),
            *("method: {regex: '(?i)get'}", "method: {exact: M-SEARCH}"),
        ):
            self.assertEqual(said(f"match: [{{{fields}}}], {TO_APP}"), [], fields)


class RefusalTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """What Istio refuses is refused, each with one error at its place."""
        for fields, part in (
            ("uri: {exact: /a, prefix: /b}", "may have only one of exact, prefix"),
            ("uri: {regex: '(?=a)'}", "uri.regex is not a regular expression of RE2"),
            ("uri: {exact: 1}", "must be a string"),
            ("uri: {suffix: a}", "has no field 'suffix'"),
            ("method: {prefix: ''}", "method.prefix may not be empty"),
            ("authority: {regex: ''}", "authority.regex may not be empty"),
            ("headers: {a: {regex: '*'}}", "headers.a.regex is not a regular expression of RE2"),
            ("headers: {a: null}", "headers.a may not be null"),
            ("headers: {'a b': {}}", "'a b' in spec.http[0].match[0].headers is no name of a header"),
            ("headers: {':Path': {}}", "':Path' in spec.http[0].match[0].headers is no name of a header"),
            ("withoutHeaders: {':foo': {}}", "':foo' in spec.http[0].match[0].withoutHeaders is no name"),
            ("headers: {'@request.auth.claimsx': {}}", "is no name of a header"),
            ("queryParams: {a: {prefix: ''}}", "queryParams.a.prefix may not be empty"),
            ("port: 70000", "between 0 and 65535"),
            ("sourceLabels: {a: '-'}", "value of a label"),
            ("sourceNamespace: a.b", "must be a DNS label"),
            ("gateways: ['*']", "must be the name of a gateway"),
            ("ignoreUriCase: 'true'", "must be true or false"),
        ):
            found = said(f"match: [{{{fields}}}], {TO_APP}", Severity.ERROR)
            self.assertEqual(len(found), 1, (fields, found))
            self.assertIn(part, found[0])
