"""``meshproxy explain``: what it prints, and with which status it ends."""

from __future__ import annotations

import json
from pathlib import Path

from meshproxy.explain import Explanation
from meshproxy.explain.rendering import render
from meshproxy.explain.values import Answer, Destination, Forwarding, Policy, SeenListener, SeenRequest
from tests.cli.running import AdminTestCase, CommandTestCase
from tests.config.loading import GATEWAY, SERVICE, istio
from tests.packaging.checkout import ROOT

CANARY = (
    GATEWAY
    + SERVICE
    + istio(
        "VirtualService",
        "vs",
        """
hosts: [shop.test]
gateways: [gw]
http:
- name: api
  match: [{uri: {prefix: /api}, headers: {x-beta: {exact: 'yes'}}}]
  redirect: {uri: /beta}
- name: all
  fault: {abort: {httpStatus: 503, percentage: {value: 1}}}
  timeout: 2s
  headers: {request: {set: {x-new: '1'}}, response: {remove: [x-secret]}}
  mirror: {host: app.test}
  mirrorPercentage: {value: 50}
  route:
  - {destination: {host: app.test, subset: v1}, weight: 90}
  - {destination: {host: app.test, subset: v2}, weight: 10}
""",
    )
    + istio(
        "DestinationRule",
        "rule",
        """
host: app.test
trafficPolicy: {loadBalancer: {simple: RANDOM}}
subsets:
- name: v1
  labels: {version: v1}
  trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user, maglev: {tableSize: 17}}}}
- {name: v2, labels: {version: v2}}
""",
    )
)
LISTENER = SeenListener("", 80, "")


class ExplainTestCase(CommandTestCase):
    def explain(self, *arguments: str) -> tuple[int, str, str]:
        """The exit status, standard output and standard error of ``meshproxy explain``."""
        return self.run_command("explain", *arguments)

    def canary(self, *arguments: str) -> tuple[int, str, str]:
        path = Path(self.mktemp())
        path.write_text(CANARY)
        self.name = str(path)
        return self.explain("-c", self.name, *arguments)


class TextTests(ExplainTestCase):
    def test_session(self) -> None:
        """A sticky session of the sample mesh, from the listener to the retries."""
        folder = str(ROOT / "examples" / "scenario-zero")
        status, text, errors = self.explain("-c", folder, "http://test.com/a/../x", "-H", "Cookie: ISTIOID=abc")
        self.assertEqual((status, errors), (0, ""))
        for line in (
            "request       GET http://test.com/x\n",
            "from 127.0.0.1, path normalized\n",
            "virtual host  test.com (found by its exact name)\n",
            'route         + 1: path starts with "/"',
            "cluster       outbound|8080||test2-bwce-srv.default.svc.cluster.local\n",
            "strategy    ringHash (trafficPolicy of DestinationRule default/default-sticky-dr)  ",
            '  key         httpCookie "abc" ',
            "  hash        44bc2cf5ad770999, entry 303 of 1026",
            "  endpoint    127.0.0.1:9002\n",
            "  behind it   127.0.0.1:9003\n              127.0.0.1:9001\n",
        ):
            self.assertIn(line, text)

    def test_cookie_to_come(self) -> None:
        """Without the cookie it says that the client gets one, and names no endpoint that is only a guess."""
        folder = str(ROOT / "examples" / "scenario-zero")
        status, text, _ = self.explain("-c", folder, "http://test.com/")
        self.assertEqual(status, 0)
        self.assertIn("httpCookie: absent; the client gets a cookie ISTIOID", text)
        self.assertIn("endpoint    one of these: the client gets a cookie, whose value", text)

    def test_shares(self) -> None:
        """Where chance decides, each possibility is told with its share, and the level that its strategy comes from."""
        status, text, _ = self.canary("http://shop.test/api/x", "-H", "x-user: u")
        self.assertEqual(status, 0)
        for line in (
            'routes        - 1 api: not so: header x-beta is "yes"',
            "              + 2 all: takes every request",
            "fault         abort with 503, 1% of the requests\n",
            "mirror        50% to outbound|80||app.test\n",
            "cluster       90% to outbound|80|v1|app.test\n",
            "  request     + x-envoy-expected-rq-timeout-ms: 2000\n  request     + x-new: 1\n",
            "  response    remove x-secret\n",
            "  strategy    maglev (subset v1 of DestinationRule default/rule)",
            '  key         httpHeaderName "u"',
            "of 17\n",
            "  endpoint    10.0.0.1:80\n",
            "cluster       10% to outbound|80|v2|app.test\n",
            "  strategy    RANDOM (trafficPolicy of DestinationRule default/rule)",
            "one of these: this strategy looks at no request",
            "limits        timeout 2 s\n",
            "              2 retries on ",
        ):
            self.assertIn(line, text)

    def test_redirect(self) -> None:
        """An answer of the gateway's own is shown as the client gets it."""
        status, text, _ = self.canary("http://shop.test/api/x", "-H", "x-beta: yes")
        self.assertEqual(status, 0)
        self.assertIn('+ 1 api: path starts with "/api", header x-beta is "yes"', text)
        self.assertIn("answer        301 (direct_response)\n              the route redirects\n", text)
        self.assertIn("location: http://shop.test/beta\n", text)
        self.assertIn("(1 more, not looked at)", text)

    def test_nowhere(self) -> None:
        """A request that nothing serves ends with status 1; a host that is nearly right is told."""
        status, text, _ = self.canary("http://shp.test/")
        self.assertEqual(status, 1)
        self.assertIn("virtual host  none; did you mean 'shop.test'?\nanswer        404, flags NR", text)

    def test_refused(self) -> None:
        """So does one that the gateway does not take for a request."""
        status, text, _ = self.canary("http://shop.test/%00")
        self.assertEqual(status, 1)
        self.assertIn("answer        400 (path_normalization_failed)", text)

    def test_control_characters(self) -> None:
        """What would act on the terminal is escaped."""
        status, text, errors = self.canary("http://shop.test/", "-H", "x-user: \x1b[31m")
        self.assertEqual((status, text), (64, ""))
        self.assertNotIn("\x1b", errors)
        policy = Policy("ringHash", "trafficPolicy of DestinationRule default/\x1b[31m", "")
        forward = Forwarding((Destination("a", 100.0, policy),))
        seen = SeenRequest("GET", "http", "a", "/", "")
        for explanation in (Explanation(seen, forward=forward), Explanation(seen, LISTENER, hint="there are \x1b[31m")):
            self.assertIn("\\x1b", render(explanation))
            self.assertNotIn("\x1b", render(explanation))


class OtherTests(ExplainTestCase):
    def test_json(self) -> None:
        """The same for programs."""
        status, text, _ = self.canary("http://shop.test/", "-H", "x-user: u", "--format", "json")
        self.assertEqual(status, 0)
        found = json.loads(text)
        self.assertEqual(found["version"], 1)
        first, second = found["forward"]["destinations"]
        self.assertEqual((first["percent"], first["endpoint"], first["drawn"]), (90, "10.0.0.1:80", False))
        self.assertEqual((second["percent"], second["endpoint"], second["drawn"]), (10, None, True))
        self.assertEqual(first["keys"][0]["place"].rpartition(":")[0].rpartition(":")[0], self.name)
        self.assertEqual([route["number"] for route in found["routes"]], [1, 2])

    def test_port(self) -> None:
        """A port without a listener is told with those that there are; --port says which one is meant."""
        status, text, errors = self.canary("http://shop.test:8080/")
        self.assertEqual((status, text), (1, ""))
        self.assertIn("listeners for these ports: 80; there is none for 8080", errors)
        self.assertEqual(self.canary("http://shop.test:8080/", "--port", "80")[0], 0)

    def test_live_usage(self) -> None:
        """The running gateway has a configuration and an identity of its own."""
        for more in (("-c", "x"), ("--proxy-locality", "a"), ("--proxy-namespace", "x"), ("--admin", "x:y")):
            self.assertEqual(self.explain("--live", "http://a/", *more)[0], 64)
        status, _, errors = self.canary("http://shop.test/", "--admin", "127.0.0.1:1")
        self.assertEqual(status, 64)
        self.assertIn("--admin goes with --live", errors)

    def test_wrong_usage(self) -> None:
        """Wrong usage is 64, a configuration that does not load is 78, each with a message."""
        status, _, errors = self.canary("ftp://shop.test/")
        self.assertEqual(status, 64)
        self.assertIn("meshproxy explain: 'ftp://shop.test/' is no http://", errors)
        self.assertEqual(self.explain("http://shop.test/")[0], 64)
        status, _, errors = self.explain("-c", "/nowhere", "http://shop.test/")
        self.assertEqual(status, 78)
        self.assertIn("/nowhere", errors)


class LiveTests(AdminTestCase):
    def explain(self, *arguments: str, answer: str = "", status: int = 200) -> tuple[int, str, str]:
        address = self.serve(answer, status)
        return self.run_command("explain", "--live", *arguments, "--admin", address)

    def test_asks(self) -> None:
        """All of the question gets to the gateway, and its answer is shown and decides the exit status."""
        seen = SeenRequest("GET", "http", "a", "/x", "10.0.0.7")
        found = Explanation(seen, answer=Answer(404, "route_not_found", "NR"), live=True)
        question = ("PUT http://a/x", "-H", "B: c d", "-H", "E: f", "--from", "10.0.0.7", "--port", "81")
        status, text, _ = self.explain(*question, answer=json.dumps(found.as_json()))
        self.assertEqual((status, text), (1, render(found)))
        query = "request=PUT+http%3A%2F%2Fa%2Fx&header=B%3A+c+d&header=E%3A+f&format=json&from=10.0.0.7&port=81"
        self.assertEqual(self.asked, [f"/explain?{query}"])
        status, text, _ = self.explain("a", "--format", "json", answer=json.dumps(found.as_json()))
        self.assertEqual((status, Explanation.from_json(json.loads(text))), (1, found))

    def test_failures(self) -> None:
        """What the gateway refuses is 1; no gateway, or another version of it, is 69."""
        for answer, code, expected in (
            ('{"error": "none for 81"}', 422, 1),
            ('{"error": "nothing is served"}', 503, 69),
            ("no such page", 404, 69),
            ('{"version": 7}', 200, 69),
        ):
            status, text, errors = self.explain("a", answer=answer, status=code)
            self.assertEqual((status, text, errors.count("\n")), (expected, "", 1))
        for address in ("unix:/nonexistent", "..:80"):
            self.assertEqual(self.run_command("explain", "--live", "a", "--admin", address)[0], 69)
        status, _, errors = self.explain("a/" + "x" * 20_000)
        self.assertEqual((status, self.asked), (69, []))
        self.assertIn("the admin server takes 16000", errors)
