"""The status page: what is on it, that it is well made, and that nothing on it can do harm."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from meshproxy.admin import clustersection, clusterstatus, routesection
from meshproxy.admin.explainsection import Form
from meshproxy.admin.markup import number, seconds, since
from meshproxy.admin.statuspage import page
from meshproxy.admin.turns import Turns
from meshproxy.errors import ConfigError, Diagnostic, Location, Severity
from meshproxy.model import Snapshot
from meshproxy.routes import DirectResponse
from tests.admin.test_pages import PagesTestCase
from tests.admin.test_status import Passing, ringed
from tests.fakes import CLUSTER, answer, cluster, route, snapshot

EVIL = "<script>alert(1)</script>\"'&"
_VOID = {"meta", "link", "input", "br", "wbr", "path", "circle", "rect"}


class Parsed(HTMLParser):
    """A document: its elements, its text, and what is wrong with its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.wrong: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.wrong.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


class StatusPageTests(PagesTestCase):
    def serve(self, installed: Snapshot | ConfigError) -> None:
        self.next = installed
        self.answer("POST", "/reload")

    def page(self, **query: str) -> Parsed:
        status, body = self.answer("GET", "/?" + urlencode(query), accept="text/html,*/*;q=0.8")
        self.assertEqual(status, 200)
        return Parsed(body)

    def head(self, *args: str, **headers: str) -> dict[str, str]:
        lines = self.ask(*args, **headers).value().partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def test_for_browsers(self) -> None:
        """Who takes HTML gets the page; others get the list of pages."""
        self.assertIn("text/html", self.head("GET", "/", accept="text/html")["content-type"])
        for accept in ("*/*", "text/plain"):
            self.assertIn("text/plain", self.head("GET", "/", accept=accept)["content-type"])
        self.assertEqual(self.head("GET", "/")["vary"], "accept")

    def test_everything_is_there(self) -> None:
        """Listeners, routes, clusters with their endpoints and tables, and the configuration."""
        self.serve(snapshot(ringed(), routes=[route("/shop"), answer(DirectResponse(404))]))
        text = " ".join(self.page().text.split())
        for words in (
            *("Serving", "3 of 3", "port 80", "192.0.2.1:8080", "shop.example:8080"),
            *('path starts with "/shop"', f"to {CLUSTER}", "answer 404", "Hash ring", "Last reload: installed"),
        ):
            self.assertIn(words, text)

    def test_well_made(self) -> None:
        """Tags are closed, names are there once, tables and fields say what they are, and links lead somewhere."""
        self.serve(snapshot(ringed(), *(cluster(2, f"outbound|80|v{it}|x.example") for it in range(8))))
        for query in ({}, {"request": "http://shop.example/"}, {"cluster": "nothing"}, {"every": "0"}):
            found = self.page(**query)
            self.assertEqual(found.wrong, [])
            identifiers = [it["id"] for _, it in found.elements if "id" in it]
            self.assertEqual(len(identifiers), len(set(identifiers)))
            self.assertEqual(len(found.all("table")), len(found.all("caption")))
            self.assertEqual([it for it in found.all("th") if it.get("scope") not in ("col", "row")], [])
            labelled = {it["for"] for it in found.all("label")}
            self.assertEqual({it["id"] for it in found.all("input") + found.all("textarea")}, labelled)
            for link in found.all("a"):
                if link["href"].startswith("#"):
                    self.assertIn(link["href"][1:], identifiers)
            named = [it["aria-labelledby"] for _, it in found.elements if "aria-labelledby" in it]
            self.assertEqual(set(named) - set(identifiers), set())
            self.assertEqual(found.all("html"), [{"lang": "en"}])
            levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
            self.assertEqual(levels.count(1), 1)
            self.assertLessEqual(max(b - a for a, b in pairwise(levels)), 1)

    def test_policy(self) -> None:
        """The page's policy lets exactly its own style and script act, and nothing be loaded from elsewhere."""
        head = self.head("GET", "/", accept="text/html")
        _, body = self.answer("GET", "/", accept="text/html")
        policy = dict(it.split(" ", 1) for it in head["content-security-policy"].split("; "))
        self.assertEqual(policy["default-src"], "'none'")
        for directive, tag in (("style-src", "style"), ("script-src", "script")):
            (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", body, re.S)
            expected = b64encode(sha256(inside.encode()).digest()).decode()
            self.assertEqual(policy[directive], f"'sha256-{expected}'")
        self.assertEqual((policy["base-uri"], policy["frame-ancestors"]), ("'none'", "'none'"))
        found = Parsed(body)
        self.assertEqual([it for _, it in found.elements for name in it if name in ("src", "style", "onclick")], [])
        self.assertEqual([it["href"] for it in found.all("link")], ["data:,"])
        self.assertEqual((head["x-content-type-options"], head["cache-control"]), ("nosniff", "no-store"))

    def test_escaping(self) -> None:
        """Nothing of the configuration or the query can become markup."""
        made = snapshot(cluster(2, f"outbound|80|{EVIL}|{EVIL}"), routes=[route("/" + EVIL, name=EVIL)])
        self.serve(made)
        query = dict.fromkeys(("cluster", "request", "headers", "from"), EVIL)
        for found in (
            self.page(),
            self.page(**query),
            self.page(cluster="script"),
            self.page(request="/", headers=EVIL),
        ):
            self.assertEqual(found.wrong, [])
            self.assertEqual(len(found.all("script")), 1)
        self.assertIn(EVIL, self.page().text)
        self.serve(ConfigError([Diagnostic(EVIL, Location(EVIL, 1), EVIL, Severity.ERROR, EVIL)]))
        self.assertEqual(len(self.page().all("script")), 1)

    def test_failed_reload(self) -> None:
        """A reload that failed shows at the top, and with its findings and their places, but no line of a file does."""
        place = Location("mesh.yaml", 3, 5)
        self.serve(ConfigError([Diagnostic("no such field", place, "did you mean it?", excerpt="key: cuttlefish")]))
        text = " ".join(self.page().text.split())
        for words in ("The last reload failed", "no such field", "mesh.yaml:3:5", "did you mean it?"):
            self.assertIn(words, text)
        self.assertNotIn("cuttlefish", text)

    def test_foreign_host(self) -> None:
        """The page is no more for other names than any other one."""
        self.assertEqual(self.answer("GET", "/", "evil.example:15000", accept="text/html")[0], 403)

    def test_only_some_clusters(self) -> None:
        """Only clusters that were asked for show, and the form says what for."""
        self.serve(snapshot(cluster(1, "outbound|80||a.example"), cluster(1, "outbound|80||b.example")))
        found = self.page(cluster="a.ex")
        self.assertIn("a.example:80", found.text)
        self.assertNotIn("b.example:80", found.text)
        self.assertIn("a.ex", [it.get("value") for it in found.all("input")])

    def test_refresh(self) -> None:
        """Without scripts a browser reads the page anew, but not while something was asked or is being written."""
        for query, expected in (({}, 1), ({"every": "0"}, 0), ({"request": "http://shop.example/"}, 0)):
            found = self.page(**query)
            self.assertEqual(len([it for it in found.all("meta") if it.get("http-equiv") == "refresh"]), expected)

    def test_explanation(self) -> None:
        """The form is answered with each decision, and keeps what was written into it."""
        self.serve(snapshot(ringed()))
        found = self.page(
            request="GET http://shop.example/x", headers="X-User: 7\r\nx-other: 8\r\n", **{"from": "10.0.0.7"}
        )
        text = " ".join(found.text.split())
        self.assertIn('path starts with "/"', text)
        self.assertIn("from 10.0.0.7", text)
        self.assertIn("X-User: 7", found.text)
        values = [it.get("value") for it in found.all("input")]
        self.assertIn("GET http://shop.example/x", values)
        for request, reason in (("GET nonsense://", "no http:// or https:// URL"), ("http://shop.example:99/", "99")):
            self.assertIn(reason, self.page(request=request).text)
        self.service.gateway.snapshot = None
        self.assertEqual(self.page(request="http://shop.example/").wrong, [])


class BoundTests(PagesTestCase):
    def told(self) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(self.site.resource._status.told({})))[0]  # type: ignore[attr-defined]

    def made(self, turns: Turns) -> Deferred[str]:
        return Deferred.fromCoroutine(page(self.told(), "", Form(), "", True, turns))

    def test_size(self) -> None:
        """Of thousands of endpoints, clusters and routes so many show that the page stays small; others are counted."""
        clusters = [cluster(150, f"outbound|80||{it}.example") for it in range(300)]
        routes = [answer(DirectResponse(200), f"/{it}") for it in range(900)]
        self.service.gateway.install(snapshot(*clusters, routes=routes))
        self.service.reload.snapshot = self.service.gateway.snapshot
        text = self.successResultOf(self.made(Turns(self.reactor)))
        found = Parsed(text)
        rows = len(found.all("tr")) - len(found.all("table"))
        self.assertLessEqual(rows, clustersection.MOST_ROWS + routesection.MOST_ROUTES)
        self.assertLess(len(text), 1_000_000)
        self.assertIn("And 50 more endpoints", found.text)
        self.assertIn("296 more clusters", found.text)
        self.assertIn("And 600 more routes", found.text)

    def test_endpoints_that_are_not_told(self) -> None:
        """Endpoints that the status does not tell one by one are neither well nor ill."""
        self.service.gateway.install(snapshot(cluster(3)))
        self.patch(clusterstatus, "MOST_ENDPOINTS", 2)
        text = " ".join(Parsed(self.successResultOf(self.made(Turns(self.reactor)))).text.split())
        self.assertIn("2 of 2 endpoints healthy, 1 not looked at", text)
        self.assertIn("All is well", text)
        self.patch(clusterstatus, "MOST_ENDPOINTS", 0)
        text = "".join(clustersection.clusters_section(self.told(), ""))
        self.assertIn('class="word warn">0 of 0 endpoints healthy, 3 not looked at', text)

    def test_worst_first(self) -> None:
        """Where not all endpoints show, those in trouble do."""
        self.service.gateway.install(snapshot(cluster(1_000)))
        *_, last = self.service.gateway.upstreams.clusters[CLUSTER].hosts.values()
        told = self.told()
        told["clusters"][0]["endpoints"][-1]["state"] = "unhealthy"
        text = "".join(clustersection.clusters_section(told, ""))
        self.assertLess(text.index(last.key), text.index("192.0.2.1:8080"))

    def test_others_have_turns(self) -> None:
        """The page is made in pieces."""
        self.service.gateway.install(snapshot(cluster(1_000)))
        told, passing = self.told(), Passing()
        done = Deferred.fromCoroutine(page(told, "", Form(), "", True, Turns(passing)))
        passing.advance(0)
        self.assertGreater(passing.turns, 100)
        self.successResultOf(done)


class WordTests(SynchronousTestCase):
    def test_seconds(self) -> None:
        """Times have two digits and the unit that suits them."""
        found = [seconds(it) for it in (0.0001, 0.00224, 0.0123, 0.144, 0.9994, 1.26, 12.4, 1234)]
        expected = ["0.1 ms", "2.2 ms", "12 ms", "140 ms", "1,000 ms", "1.3 s", "12 s", "1,200 s"]
        self.assertEqual(found, expected)
        self.assertIn("-", seconds(None))

    def test_numbers(self) -> None:
        """Thousands are apart."""
        self.assertEqual([number(it) for it in (0, 999, 1_000, 1_234_567)], ["0", "999", "1,000", "1,234,567"])

    def test_since(self) -> None:
        """A moment is told by how long ago it was, and as a date for whoever wants it; no nonsense is told."""
        self.assertIn(">2m<", since(1_000_000, 1_000_130))
        self.assertIn('datetime="1970-01-12T13:46:40Z"', since(1_000_000, 1_000_130))
        self.assertEqual(since(-5, 0), "-")
