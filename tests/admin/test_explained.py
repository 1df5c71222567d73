"""The explain page: what it is asked, what it answers, and what it refuses."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from twisted.internet.defer import fail

from meshproxy.admin.explained import MOST_HEADERS
from meshproxy.admin.served import NotServing
from tests.admin.test_pages import PagesTestCase
from tests.config.loading import GATEWAY, SERVICE, compiled, istio

ROUTE = "hosts: [shop.test]\ngateways: [gw]\nhttp: [{route: [{destination: {host: app.test}}]}]"
MESH = compiled(GATEWAY, SERVICE, istio("VirtualService", "vs", ROUTE))


class ExplainPageTests(PagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.next = MESH
        self.service.reload.ask("test")

    def ask_about(self, request: str, *headers: str, **more: str) -> tuple[int, str]:
        """Status and body."""
        query = urlencode({"request": request, "header": headers, **more}, doseq=True)
        return self.answer("GET", f"/explain?{query}")

    def test_text(self) -> None:
        """The answer is the text of the command, by what is served now."""
        status, body = self.ask_about("GET http://shop.test/x", "Cookie: a=b", **{"from": "10.0.0.7"})
        self.assertEqual(status, 200)
        self.assertIn("request       GET http://shop.test/x\n              from 10.0.0.7\n", body)
        self.assertIn("asked of the gateway that serves", body)

    def test_json(self) -> None:
        """Or the document for programs."""
        status, body = self.ask_about("http://shop.test/x", format="json", port="80")
        found = json.loads(body)
        self.assertEqual((status, found["version"], found["live"]), (200, 1, True))
        self.assertIn("content-type: application/json", self.headers("http://shop.test/x", "json"))
        self.assertIn("content-type: text/plain", self.headers("http://shop.test/x", "text"))

    def headers(self, request: str, kind: str) -> str:
        query = urlencode({"request": request, "format": kind})
        return self.ask("GET", f"/explain?{query}").value().decode().partition("\r\n\r\n")[0].lower()

    def test_no_question(self) -> None:
        """What is no question is 422 with what is wrong, in the form that was asked for."""
        for query, why in (
            ("", "request is missing"),
            ("request=", "request is missing"),
            ("request=http://a/&request=http://b/", "request may be there only once"),
            ("request=ftp://a/", "no http:// or https:// URL"),
            ("request=http://a/&header=x", "is no header"),
            ("request=http://a/&" + "header=a:b&" * (MOST_HEADERS + 1), "no more than 100 headers"),
            ("request=http://a/&from=x", "is no address"),
            ("request=http://a/&port=0", "port must be"),
            ("request=http://a/&port=%C2%B2", "port must be"),
            ("request=http://a:81/", "there is none for 81"),
            ("request=http://a/&format=xml", "format must be text or json"),
            ("request=http://a/&live=1", "there is no 'live'"),
        ):
            status, body = self.answer("GET", f"/explain?{query}")
            self.assertEqual(status, 422, query)
            self.assertIn(why, body)
        status, body = self.answer("GET", "/explain?format=json")
        self.assertEqual((status, list(json.loads(body))), (422, ["error"]))

    def test_nobody(self) -> None:
        """While nothing serves, the answer is 503."""
        self.patch(self.service, "explain", lambda asked: fail(NotServing()))
        self.assertEqual(self.ask_about("http://shop.test/")[0], 503)
