"""What an explanation of a gateway that serves keeps to itself."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.conditions import conditions
from meshproxy.explain import explain, parse_asked
from meshproxy.explain.secrets import condition_without_secret, without_secrets
from meshproxy.routes import Comparison, HeaderMatch, HeaderOperations, QueryMatch, RouteMatch, TextMatch
from tests.admin.test_pages import PagesTestCase
from tests.config.loading import GATEWAY, compiled, istio
from tests.fakes import Wire, route, snapshot
from tests.http.test_sessions import rule, service

SECRET = 'cuttle "fish"\nand more'


class WordTests(SynchronousTestCase):
    def test_conditions(self) -> None:
        """A value that is compared with a credential is hidden, however it is compared; others show."""
        for comparison in (Comparison.EXACT, Comparison.PREFIX, Comparison.REGEX):
            text = TextMatch(comparison, "cuttlefish")
            match = RouteMatch(
                headers=(HeaderMatch(b"x-api-key", text), HeaderMatch(b"Authorization", text, inverted=True)),
                query=(QueryMatch(b"access token", text),),
            )
            shown = [condition_without_secret(str(it)) for it in conditions(match)]
            expected = ["header x-api-key", "not: header Authorization", "query parameter access token"]
            self.assertEqual(shown, [f"{subject} has a value (not shown)" for subject in expected])
        several_lines = RouteMatch(headers=(HeaderMatch(b"x-token", TextMatch(Comparison.EXACT, SECRET)),))
        self.assertNotIn("fish", condition_without_secret(str(conditions(several_lines)[0])))
        for words in ('header x-version is "v2"', "header x-api-key is present", 'path is "/token"'):
            self.assertEqual(condition_without_secret(words), words)


class KeyTests(SynchronousTestCase):
    def test_set_by_route(self) -> None:
        """A hash key that is found in a credential which the route sets is hidden; what the asker wrote shows."""
        keeping = "loadBalancer: {consistentHash: {httpHeaderName: x-api-key}}"
        routes = """
hosts: ['*']
gateways: [gw]
http:
- match: [{uri: {prefix: /set}}]
  headers: {request: {set: {x-api-key: cuttlefish}}}
  route: [{destination: {host: app.test}}]
- route: [{destination: {host: app.test}}]
"""
        gateway = Wire(compiled(GATEWAY, service(1, 2), istio("VirtualService", "vs", routes), rule(keeping))).gateway
        found = {}
        for path in ("/set", "/"):
            explained = without_secrets(
                explain(gateway, parse_asked(f"http://a{path}", ["x-api-key: mine"]), live=True)
            )
            assert explained.forward is not None
            ((key,),) = (it.keys for it in explained.forward.destinations)
            found[path] = key.value
            self.assertNotIn("cuttlefish", json.dumps(explained.as_json()))
        self.assertEqual(found, {"/set": "(not shown)", "/": "mine"})


class LiveTests(PagesTestCase):
    def test_gateway_that_serves(self) -> None:
        """Whoever may ask a gateway learns no credential that its routes set or ask for, but his own and all else."""
        operations = HeaderOperations(
            set=((b"authorization", "cuttlefish"), (b"x-version", "v2")), add=((b"set-cookie", "k=cuttlefish"),)
        )
        asking = RouteMatch(headers=(HeaderMatch(b"x-api-key", TextMatch(Comparison.EXACT, "cuttlefish")),))
        changing = route(destination={"request_headers": (operations,), "response_headers": (operations,)})
        other = type(changing)(asking, changing.action)
        self.service.gateway.install(snapshot(routes=[other, changing]))
        query = "request=http://a/&header=authorization:+mine&header=x-api-key:+guess&format=json"
        status, body = self.answer("GET", f"/explain?{query}")
        self.assertEqual(status, 200)
        self.assertNotIn("cuttlefish", body)
        found = json.loads(body)["forward"]["destinations"][0]
        changes = {it["name"]: (it["before"], it["after"]) for it in found["request_changes"]}
        self.assertEqual(changes["authorization"], ("mine", "(not shown)"))
        self.assertEqual(changes["x-version"], (None, "v2"))
        self.assertIn("set x-version: v2", found["response_changes"])
        self.assertIn("add set-cookie: (not shown)", found["response_changes"])
        _, page = self.answer("GET", f"/?{query.replace('header=', 'headers=')}", accept="text/html")
        self.assertNotIn("cuttlefish", page)
