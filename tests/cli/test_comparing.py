"""``meshproxy diff`` and ``meshproxy distribution``: what they print, and with which status they end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

from tests.cli.running import CommandTestCase
from tests.config.loading import GATEWAY, istio
from tests.config.test_backend_policy import policy

ROUTE = istio(
    "VirtualService", "vs", "hosts: [a.test]\ngateways: [gw]\nhttp: [{route: [{destination: {host: up.test}}]}]"
)
KEY = istio("DestinationRule", "rule", "host: up.test\ntrafficPolicy: {loadBalancer: {consistentHash: {%s}}}")
BY_HEADER = KEY % "httpHeaderName: x-user, maglev: {tableSize: 4093}"


def service(*ports: int) -> str:
    """A service with an endpoint for each port."""
    endpoints = "".join(f"- {{address: 10.0.0.1, ports: {{http: {port}}}}}\n" for port in ports)
    ports_text = "ports: [{number: 80, name: http, protocol: HTTP}]"
    return istio("ServiceEntry", "up", f"hosts: [up.test]\nresolution: STATIC\n{ports_text}\nendpoints:\n{endpoints}")


class ComparingTestCase(CommandTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.old = self.file("old.yaml", GATEWAY + ROUTE + BY_HEADER + service(1, 2, 3, 4))

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


class DiffTests(ComparingTestCase):
    def test_nothing(self) -> None:
        """Documents in another order make no difference."""
        new = self.file("new.yaml", BY_HEADER + service(1, 2, 3, 4) + GATEWAY + "# a comment\n" + ROUTE)
        self.assertEqual(self.run_command("diff", self.old, new), (0, "no request could notice a difference\n", ""))

    def test_endpoint_that_comes(self) -> None:
        """It is told with the share of the sessions that moves, whence, and what has to move."""
        new = self.file("new.yaml", GATEWAY + ROUTE + BY_HEADER + service(1, 2, 3, 4, 5))
        status, text, _ = self.run_command("diff", self.old, new)
        self.assertEqual(status, 0)
        self.assertIn("cluster outbound|80||up.test\n  + endpoint 10.0.0.1:5\n", text)
        self.assertIn("of the sessions move; 20.00% have to\n", text)
        self.assertIn("10.0.0.1:1 -> 10.0.0.1:5\n", text)

    def test_gate(self) -> None:
        """--max-moved makes it a gate."""
        new = self.file("new.yaml", GATEWAY + ROUTE + BY_HEADER + service(1, 2, 3, 4, 5))
        status, _, errors = self.run_command("diff", self.old, new, "--max-moved", "10%")
        self.assertEqual(status, 1)
        self.assertIn("of a cluster's sessions move, more than 10%", errors)
        self.assertEqual(self.run_command("diff", self.old, new, "--max-moved", "50")[0], 0)

    def test_other_key(self) -> None:
        """With another hash key every session is chosen anew."""
        key = KEY % "useSourceIp: true, maglev: {tableSize: 4093}"
        new = self.file("new.yaml", GATEWAY + ROUTE + key + service(1, 2, 3, 4))
        status, text, _ = self.run_command("diff", self.old, new)
        self.assertEqual(status, 0)
        self.assertIn("hash key httpHeaderName(header=x-user) -> useSourceIp()", text)
        self.assertIn("75.00% of the sessions move; 0.00% have to\n", text)

    def test_routes(self) -> None:
        """A route that is another one goes and comes, with its place; other hosts and listeners too."""
        changed = ROUTE.replace("a.test", "b.test").replace("http: [{", "http: [{timeout: 2s, ")
        gateway = GATEWAY.replace("number: 80", "number: 81")
        new = self.file("new.yaml", gateway + changed + BY_HEADER + service(1, 2, 3, 4))
        _, text, _ = self.run_command("diff", self.old, new)
        self.assertIn("- listener *:80\n+ listener *:81\n", text)
        self.assertIn("routes of a.test at *:80\n  - every request: to outbound|80||up.test", text)
        self.assertIn("routes of b.test at *:81\n  + every request: to outbound|80||up.test", text)
        self.assertIn("timeout 2 s", text)
        self.assertIn(f"({new}:", text)

    def test_changed_route(self) -> None:
        """Of a route for the same requests only what changes is told, once for all hosts that have it."""
        both = ROUTE.replace("[a.test]", "[a.test, b.test]").replace("http: [{", "http: [{name: all, timeout: 2s, ")
        old = self.file("old2.yaml", GATEWAY + both + BY_HEADER + service(1, 2))
        new = self.file("new.yaml", GATEWAY + both.replace("2s", "3s") + BY_HEADER + service(1, 2))
        _, text, _ = self.run_command("diff", old, new)
        lines = text.splitlines()
        self.assertEqual(lines[0], "routes of a.test, b.test at *:80")
        self.assertRegex(lines[1], rf"^  ~ every request  \({re.escape(old)}:\d+:\d+ -> {re.escape(new)}:\d+:\d+\)$")
        self.assertEqual(lines[2:], ["      - timeout 2 s", "      + timeout 3 s"])

    def test_order(self) -> None:
        """Routes that change places are told."""
        first, second = "{match: [{uri: {prefix: /a}}], %s}", "{match: [{method: {exact: PUT}}], %s}"
        where = "route: [{destination: {host: up.test}}]"
        texts = [
            ROUTE.replace("{" + where + "}", f"{one % where}, {other % where}")
            for one, other in ((first, second), (second, first))
        ]
        old, new = (
            self.file(f"{number}.yaml", GATEWAY + text + BY_HEADER + service(1)) for number, text in enumerate(texts)
        )
        self.assertIn("the same, at another place or in another order", self.run_command("diff", old, new)[1])

    def test_secret(self) -> None:
        """That a secret is another one is told, but not what it is."""
        secret = istio("Secret", "s", "", "default").replace("networking.istio.io/v1", "v1").replace("spec:\n", "")
        spec = "host: up.test\npersistence: {cookie: {name: sid}, secrets: [{secretRef: {name: s, key: a}}]}"
        texts = [f"{secret.rstrip('-' + chr(10))}\nstringData: {{a: {value * 20}}}\n---\n" for value in "xy"]
        old, new = (
            self.file(f"{number}.yaml", GATEWAY + ROUTE + BY_HEADER + service(1, 2) + text + policy(spec))
            for number, text in enumerate(texts)
        )
        _, text, errors = self.run_command("diff", old, new)
        self.assertEqual(errors, "")
        self.assertIn("persistence secrets is another one", text)
        self.assertNotIn("xxx", text)

    def test_policy(self) -> None:
        """So is what else a cluster has, setting by setting."""
        rule = BY_HEADER.replace("trafficPolicy: {", "trafficPolicy: {connectionPool: {tcp: {connectTimeout: 3s}}, ")
        new = self.file("new.yaml", GATEWAY + ROUTE + rule + service(1, 2, 3, 4))
        text = self.run_command("diff", self.old, new)[1]
        self.assertIn("cluster outbound|80||up.test\n", text)
        self.assertIn("  connect timeout 10 -> 3\n", text)
        self.assertNotIn("sessions move", text)

    def test_json_and_drawing(self) -> None:
        """The same for programs, and as a picture."""
        new = self.file("new.yaml", GATEWAY + ROUTE + BY_HEADER + service(1, 2, 3, 4, 5))
        picture = str(self.folder / "moved.svg")
        status, text, _ = self.run_command("diff", self.old, new, "--format", "json", "--svg", picture)
        self.assertEqual(status, 0)
        found = json.loads(text)
        (cluster,) = found["clusters"]
        self.assertAlmostEqual(cluster["movement"]["minimum"], 0.2)
        self.assertIn("10.0.0.1:5", {pair["to"] for pair in cluster["movement"]["pairs"]})
        self.assertIsNone(found["replayed"])
        root = ElementTree.parse(picture).getroot()
        self.assertIn("10.0.0.1:5 20", "".join(root.itertext()))

    def test_nothing_to_draw(self) -> None:
        """A picture of nothing is an error."""
        status, _, errors = self.run_command("diff", self.old, self.old, "--svg", str(self.folder / "x.svg"))
        self.assertEqual(status, 1)
        self.assertIn("nothing to draw", errors)

    def test_json_log(self) -> None:
        """A log supplies the real sessions, with a header under a name of its own."""
        new = self.file("new.yaml", GATEWAY + ROUTE + BY_HEADER + service(1, 2, 3, 5))
        line = {"method": "GET", "path": "/", "authority": "a.test", "downstream_remote_address": "1.2.3.4:5"}
        log = self.file("log", "".join(json.dumps({**line, "user": f"u{number}"}) + "\n" for number in range(40)))
        status, text, _ = self.run_command("diff", self.old, new, "--access-log", log, "--log-header", "X-User=user")
        self.assertEqual(status, 0)
        self.assertIn("access log: 40 requests\n", text)
        self.assertIn("10.0.0.1:4 -> 10.0.0.1:5\n", text)
        without_key = self.run_command("diff", self.old, new, "--access-log", log)[1]
        self.assertIn("40 do not say which endpoint they get\n", without_key)

    def test_text_log(self) -> None:
        """So does one in Istio's default format; then the gate is about its requests."""
        line = (
            '[2026-01-01T00:00:00.000Z] "GET /x HTTP/1.1" 200 - via_upstream - "-" 0 1 2 1 "1.2.3.4" "an \\"agent\\"" '
            '"id" "a.test" "10.0.0.1:1" outbound|80||up.test 1.1.1.1:2 1.1.1.1:80 1.2.3.4:0 - -\n'
        )
        log = self.file("log", line + line.replace("a.test", "b.test") + "nonsense\n")
        gone = self.file("gone.yaml", GATEWAY + ROUTE.replace("a.test", "c.test") + BY_HEADER + service(1, 2))
        status, text, errors = self.run_command("diff", self.old, gone, "--access-log", log, "--max-moved", "49%")
        self.assertIn("access log: 2 requests, 1 lines are no requests\n", text)
        self.assertIn("0 go to another endpoint, 1 to another cluster or answer\n", text)
        self.assertEqual(status, 1)
        self.assertIn("50.00% of the requests of the log move", errors)

    def test_wrong_usage(self) -> None:
        """Wrong usage is 64, a configuration that does not load 78, a log that is none 1."""
        self.assertEqual(self.run_command("diff", self.old)[0], 64)
        self.assertEqual(self.run_command("diff", self.old, self.old, "--max-moved", "200%")[0], 64)
        self.assertEqual(self.run_command("diff", self.old, self.old, "--samples", "0")[0], 64)
        self.assertEqual(self.run_command("diff", self.old, str(self.folder / "none.yaml"))[0], 78)
        status, _, errors = self.run_command("diff", self.old, self.old, "--access-log", self.old)
        self.assertEqual(status, 1)
        self.assertIn("no request in a format that is known", errors)


class DistributionTests(ComparingTestCase):
    def test_text(self) -> None:
        """Shares with bars, and how far from even they are."""
        status, text, _ = self.run_command("distribution", "-c", self.old)
        self.assertEqual(status, 0)
        self.assertIn("outbound|80||up.test: 4 endpoints\n  most loaded 1.0", text)
        self.assertIn("of 25.00%  ####", text)

    def test_keys(self) -> None:
        """Keys of real sessions may be given."""
        keys = self.file("keys", "one\n" * 10)
        status, text, _ = self.run_command("distribution", "-c", self.old, "--keys", keys, "--format", "json")
        self.assertEqual(status, 0)
        found = json.loads(text)
        self.assertEqual(found["hashes"], 10)
        self.assertEqual(sorted(found["clusters"][0]["by_endpoint"].values()), [0, 0, 0, 1])

    def test_drawing(self) -> None:
        """One cluster can be drawn."""
        picture = str(self.folder / "shares.svg")
        self.assertEqual(self.run_command("distribution", "-c", self.old, "--svg", picture)[0], 0)
        root = ElementTree.parse(picture).getroot()
        self.assertEqual(len(root.findall("{*}rect")), 4)

    def test_refused(self) -> None:
        """What cannot be done is said."""
        for arguments, status, message in (
            (("-c", self.old, "--cluster", "outbound|80||up.tset"), 1, "did you mean"),
            (("-c", self.old, "--samples", "0"), 64, "at least 1"),
            (("-c", self.old, "--keys", str(self.folder / "none")), 1, "No such file"),
            (("-c", self.file("simple.yaml", GATEWAY + ROUTE + service(1))), 1, "no cluster chooses by a hash"),
            ((), 64, "required"),
        ):
            found, _, errors = self.run_command("distribution", *arguments)
            self.assertEqual(found, status, errors)
            self.assertIn(message, errors)
