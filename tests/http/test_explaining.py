"""Fields ``x-meshproxy-*`` of responses, for requests that ask for them where the configuration allows it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.explain import explain, parse_asked
from meshproxy.http.exchange import Exchange
from meshproxy.http.explaining import ExplainedExchange
from meshproxy.http.tracing import TracedExchange
from tests.config.loading import GATEWAY, compiled, istio
from tests.config.test_objects import MESH
from tests.fakes import Wire
from tests.http.test_sessions import OK, rule, service

HASHING = "loadBalancer: {consistentHash: {httpHeaderName: x-user}}"
ROUTES = """
hosts: ['*']
gateways: [gw]
http:
- {match: [{uri: {prefix: /old}}], redirect: {uri: /new}}
- match: [{uri: {exact: /lost}}]
  route: [{destination: {host: nowhere.test}}]
- name: rest
  rewrite: {uri: /rewritten}
  route: [{destination: {host: app.test}}]
  retries: {attempts: 1, retryOn: 5xx}
"""
ASK = "X-Meshproxy-Explain: 1\r\n"


def wire(spec: str = "explainHeaders: true", policy: str = HASHING) -> Wire:
    return Wire(compiled(GATEWAY, service(1, 2, 3), istio("VirtualService", "vs", ROUTES), rule(policy), MESH % spec))


def told(wire: Wire, headers: str = "", path: str = "/", *answers: bytes) -> dict[str, list[str]]:
    """The fields that tell about a request, by what is behind their prefix."""
    client = wire.client()
    client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode())
    for answer in answers:
        endpoint = wire.accept()
        endpoint.take()
        endpoint.send(answer)
        wire.reactor.advance(1)
    (response,) = client.responses()
    found: dict[str, list[str]] = {}
    for name, value in response.headers:
        if name.startswith(b"x-meshproxy-"):
            found.setdefault(name.decode().removeprefix("x-meshproxy-"), []).append(value.decode())
    return found


class ExplainedTests(SynchronousTestCase):
    def test_as_explained(self) -> None:
        """They say what ``meshproxy explain`` says of the same request."""
        gateway = wire()
        found = told(gateway, f"{ASK}X-User: u\r\n", "/", OK)
        explained = explain(gateway.gateway, parse_asked("http://a/", ["X-User: u"]))
        assert explained.forward is not None
        (destination,) = explained.forward.destinations
        (key,), policy = destination.keys, destination.policy
        assert policy is not None
        self.assertEqual(
            found,
            {
                "route": [explained.routes[-1].place],
                "route-name": ["rest"],
                "cluster": [destination.cluster],
                "policy": [f"ringHash ({policy.source}) {policy.place}"],
                "key": [f"httpHeaderName {key.hash}"],
                "hash": [destination.hash],
                "endpoint": [destination.endpoint],
                "attempts": ["1"],
            },
        )

    def test_retried(self) -> None:
        """The endpoint is that of the last try, and tries are counted."""
        broken = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        self.assertEqual(told(wire(), ASK, "/", broken, OK)["attempts"], ["2"])

    def test_without_key(self) -> None:
        """A key that is not found has no hash, and without one there is none of the whole; others have no keys."""
        found = told(wire(), ASK, "/", OK)
        self.assertEqual((found["key"], found.get("hash")), (["httpHeaderName -"], None))
        self.assertNotIn("key", told(wire(policy="loadBalancer: {simple: RANDOM}"), ASK, "/", OK))

    def test_own_answers(self) -> None:
        """What the gateway answers itself says why, as far as the request got."""
        self.assertEqual(told(wire(), ASK, "/old"), {"details": ["direct_response"], "route": ["mesh.yaml:29:14"]})
        self.assertEqual(
            told(wire(), ASK, "/lost"), {"details": ["cluster_not_found (NC)"], "route": ["mesh.yaml:30:13"]}
        )
        client = wire().client()
        client.send(f"GET / HTTP/1.1\r\nHost: a\r\n{ASK}Content-Length: x\r\n\r\n".encode())
        self.assertNotIn(b"x-meshproxy", client.take())

    def test_foreign_fields(self) -> None:
        """What an endpoint says under these names is about something else, and is replaced; only for who asks."""
        answer = b"HTTP/1.1 200 OK\r\nX-Meshproxy-Attempts: 7\r\nContent-Length: 0\r\n\r\n"
        self.assertEqual(told(wire(), ASK, "/", answer)["attempts"], ["1"])
        self.assertEqual(told(wire(), "", "/", answer), {"attempts": ["7"]})

    def test_only_on_request(self) -> None:
        """Nothing is told to who does not ask, or asks in another way."""
        for headers in ("", ASK.replace("1", "0"), ASK + ASK, ASK.replace("1", "")):
            self.assertEqual(told(wire(), headers, "/", OK), {})

    def test_off(self) -> None:
        """By default nothing is told, and exchanges are what they are without all this; traces can be there too."""
        for spec in ("explainHeaders: false", ""):
            self.assertEqual(told(wire(spec), ASK, "/", OK), {})
            self.assertIs(wire(spec).gateway.exchange_class, Exchange)
        both = wire("explainHeaders: true, enableTracing: true").gateway.exchange_class
        self.assertTrue(issubclass(both, ExplainedExchange))
        self.assertTrue(issubclass(both, TracedExchange))
        self.assertIs(wire("explainHeaders: true, enableTracing: true").gateway.exchange_class, both)
