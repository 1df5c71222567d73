"""An explanation and the gateway agree: the recorded routing cases are asked and explained side by side."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.explain import Asked, Explanation, explain, parse_asked
from tests.routing_cases.test_routing_cases import CASES, LEFT_OUT, request_bytes
from tests.routing_cases.world import Answer, World

# The gateway answers these before it takes the request apart, or the answer depends on more than one request.
_NO_SINGLE_HEAD = {"raw", "headers_generated", "repeat", "parallel"}


def _asked(request: dict[str, Any], agent: str) -> Asked:
    headers = [(name, value) for name, value in request.get("headers", [])]
    if not any(name.lower() == "user-agent" for name, _ in headers):
        headers.append(("user-agent", agent))
    body = request.get("body", "")
    if body and not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers):
        headers.append(("content-length", str(len(body))))
    return Asked(request["method"], request["host"], request["path"], tuple(headers), gateway_port=request["port"])


_STICKY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs}
spec:
  gateways: [gw]
  hosts: ['*']
  http: [{rewrite: {uri: /new}, route: [{destination: {host: up.test}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: dr}
spec:
  host: up.test
  trafficPolicy: {loadBalancer: {consistentHash: {%s}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: up}
spec:
  hosts: [up.test]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints:
""" + "".join(f"  - {{address: 10.0.0.1, ports: {{http: {{{{port:{name}}}}}}}}}\n" for name in "abcdefg")


class AgreementTests(SynchronousTestCase):
    def check(self, answer: Answer, explanation: Explanation) -> None:
        """Compare what was seen with what was explained."""
        exchange = answer.logged
        if explanation.answer is not None:
            self.assertEqual(exchange.status, explanation.answer.status)
            self.assertEqual(exchange.details.decode(), explanation.answer.details)
            self.assertEqual(exchange.flags.decode(), explanation.answer.flags)
            if explanation.answer.headers and answer.response is not None:
                for name, value in explanation.answer.headers:
                    self.assertIn(value.encode(), answer.response.values(name.encode()))
            return
        assert explanation.forward is not None
        chosen = {it.cluster: it for it in explanation.forward.destinations}
        if not exchange.upstream_cluster:
            self.assertTrue(any("no such cluster" in it.why for it in chosen.values()) or explanation.faults)
            return
        destination = chosen[exchange.upstream_cluster.decode()]
        if destination.endpoint is None and not destination.drawn:
            self.assertEqual(exchange.status, 503)
            return
        if not exchange.upstream_host:
            return  # a fault, or a delay that was not waited for
        self.assertIn(exchange.upstream_host.decode(), [it.address for it in destination.candidates])
        if destination.endpoint is not None and not exchange.attempt:
            self.assertEqual(exchange.upstream_host.decode(), destination.endpoint)
        if answer.echo:
            for change in destination.request_changes:
                seen = [value for name, value in answer.echo["headers"] if name == change.name]
                if change.name == ":path":
                    seen = [answer.echo["path"]]
                if change.name not in ("x-request-id", "x-forwarded-for", "x-envoy-external-address"):
                    self.assertEqual(", ".join(seen), change.after or "", change.name)

    def test_recorded_cases(self) -> None:
        """Status, flags, details, cluster, endpoint and the changes of the request are those that the gateway makes."""
        rows = 0
        for name, case in CASES.items():
            if name in LEFT_OUT:
                continue
            world = World(case["config"], case.get("proxy_options", {}))
            for row, check in enumerate(case["checks"]):
                request = check["request"]
                if _NO_SINGLE_HEAD & request.keys():
                    continue
                agent = f"routing-case/{name}/{row}"
                (answer,) = world.ask(request["port"], request_bytes(request, agent))
                asked = _asked(request, agent)
                if answer.refused:
                    self.assertRaises(ValueError, explain, world.wire.gateway, asked)
                    continue
                if answer.logged is None:
                    continue
                explanation = explain(world.wire.gateway, asked)
                json.dumps(explanation.as_json())
                try:
                    self.check(answer, explanation)
                except self.failureException as error:
                    self.fail(f"{name} row {row}, {case['title']}: {error}\n{request}\n{explanation}")
                rows += 1
        self.assertGreater(rows, 120)

    def test_another_protocol(self) -> None:
        """A request for another protocol is explained like others, or refused like others; it is not mirrored."""
        gateway = World(CASES["mirror"]["config"], {}).wire.gateway
        offer = ["connection: upgrade", "upgrade: websocket"]
        target = f"http://{CASES['mirror']['checks'][0]['request']['host']}/"
        for headers, mirrors in (([], 2), (offer, 0)):
            explanation = explain(gateway, parse_asked(target, headers))
            assert explanation.forward is not None
            self.assertEqual(len(explanation.forward.mirrors), mirrors)
        refused = explain(gateway, parse_asked(target, ["connection: upgrade", "upgrade: foo"]))
        assert refused.answer is not None
        self.assertEqual((refused.answer.status, refused.answer.details), (403, "upgrade_failed"))

    def test_sticky_sessions(self) -> None:
        """The endpoint of a session is the one that the gateway takes, with every hash key and table."""
        asks = {
            "httpHeaderName: x-user": lambda key: ("/", (("X-User", key),)),
            "httpQueryParameterName: u": lambda key: (f"/?a=1&u={key}", ()),
            "httpCookie: {name: sid}": lambda key: ("/", (("Cookie", f"a=b; sid={key}"),)),
        }
        endpoints = set()
        for table in ("ringHash: {}", "maglev: {tableSize: 251}"):
            for key, made in asks.items():
                world = World(_STICKY % f"{key}, {table}", {})
                for number in range(20):
                    target, headers = made(f"user-{number}")
                    asked = Asked("GET", "a.test", target, headers, gateway_port=80)
                    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
                    (answer,) = world.ask(80, f"GET {target} HTTP/1.1\r\nhost: a.test\r\n{lines}\r\n".encode())
                    forward = explain(world.wire.gateway, asked).forward
                    assert forward is not None
                    (destination,) = forward.destinations
                    self.assertEqual(answer.logged.upstream_host.decode(), destination.endpoint)
                    self.assertEqual(destination.endpoint, destination.candidates[0].address)
                    self.assertEqual(len(destination.candidates), 7)
                    endpoints.add(destination.endpoint)
        self.assertGreater(len(endpoints), 4)
