"""Tests for ``consistentHash`` of a BackendPolicy: several keys, what to do without one, and names of endpoints."""

from __future__ import annotations

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from meshproxy import selection
from meshproxy.http.plans import Plan, Plans
from meshproxy.interfaces import IShowsKey
from meshproxy.model import Snapshot
from meshproxy.routes import Forward
from meshproxy.strategies.http_header_name import HeaderKey
from meshproxy.strategies.use_source_ip import SourceIpKey
from meshproxy.testing import FakeRequest
from tests.config.loading import GATEWAY, ROUTE, SERVICE, compiled, errors, istio, routes, warnings
from tests.config.test_backend_policy import HASH, NAME, SPLIT, policy
from tests.fakes import Wire


def hashing(fields: str) -> str:
    return policy(f"host: app.test\nconsistentHash: {{{fields}}}")


def forward(snapshot: Snapshot) -> Forward:
    (route,) = routes(snapshot, "*")
    return cast(Forward, route.action)


def header(name: str, value: str) -> FakeRequest:
    return FakeRequest([(name.encode(), value.encode())])


def found(snapshot: Snapshot, request: FakeRequest) -> int | None:
    """The hash of a request by the keys of the one route."""
    return selection.evaluate(forward(snapshot).hash_policy, request)[0]


class KeyTests(SynchronousTestCase):
    def test_in_place_of_the_rule(self) -> None:
        """The keys of a policy take the place of the rule's, and count once however many destinations have them."""
        text = hashing("keys: [{httpHeaderName: x-a}, {httpHeaderName: x-b}]")
        for route in (ROUTE, SPLIT):
            action = forward(compiled(GATEWAY, SERVICE, route, HASH, text))
            self.assertEqual(action.hash_policy, (HeaderKey("x-a"), HeaderKey("x-b")))
            self.assertEqual([it.name for it in action.key_origins], ["httpHeaderName", "httpHeaderName"])
        self.assertEqual(forward(compiled(GATEWAY, SERVICE, SPLIT, HASH)).hash_policy, (SourceIpKey(), SourceIpKey()))

    def test_terminal(self) -> None:
        """A terminal key that is found ends the evaluation, one that is not found does not."""
        snapshot = compiled(
            GATEWAY, SERVICE, ROUTE, HASH, hashing("keys: [{httpHeaderName: x-a, terminal: true}, {useSourceIp: true}]")
        )
        with_key, without = header("x-a", "1"), FakeRequest()
        self.assertEqual(found(snapshot, with_key), HeaderKey("x-a").evaluate(with_key).hash)
        self.assertEqual(found(snapshot, without), SourceIpKey().evaluate(without).hash)
        key = forward(snapshot).hash_policy[0]
        self.assertEqual(IShowsKey(key).key_text(with_key), b"1")

    def test_fallback_to_the_source_ip(self) -> None:
        """Only requests without any key are hashed by their address; the others are hashed as before."""
        text = hashing("fallback: sourceIp, keys: [{httpHeaderName: x-a}, {httpHeaderName: x-b}]")
        snapshot = compiled(GATEWAY, SERVICE, ROUTE, HASH, text)
        plain = compiled(GATEWAY, SERVICE, ROUTE, HASH, text.replace("fallback: sourceIp, ", ""))
        for name in ("x-a", "x-b"):
            request = header(name, "1")
            self.assertEqual(found(snapshot, request), found(plain, request))
        request = FakeRequest()
        self.assertIsNone(found(plain, request))
        self.assertEqual(found(snapshot, request), SourceIpKey().evaluate(request).hash)

    def test_fallback_of_a_rule(self) -> None:
        """A fallback alone is for the rule's own keys, which count as they do without it."""
        rule = HASH.replace("useSourceIp: true", "httpHeaderName: x-a")
        for route in (ROUTE, SPLIT):
            plain = compiled(GATEWAY, SERVICE, route, rule)
            snapshot = compiled(GATEWAY, SERVICE, route, rule, hashing("fallback: sourceIp"))
            request = header("x-a", "1")
            self.assertEqual(found(snapshot, request), found(plain, request))
            self.assertIsNotNone(found(snapshot, FakeRequest()))

    def test_rejected(self) -> None:
        """Requests without a key are answered with the status; those with a key go on."""
        text = hashing("fallback: reject, rejectStatus: 421, keys: [{httpHeaderName: x-a}]")
        wire = Wire(compiled(GATEWAY, SERVICE, ROUTE, HASH, text))
        client = wire.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(client.take().startswith(b"HTTP/1.1 421 Misdirected Request\r\n"))
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\r\n")
        self.assertIn(b"x-a: 1", wire.accept().take())
        default = compiled(GATEWAY, SERVICE, ROUTE, HASH, text.replace("rejectStatus: 421, ", ""))
        self.assertEqual(forward(default).keyless_status, 400)

    def test_random(self) -> None:
        """The fallback may be spelled out that holds without one."""
        snapshot = compiled(GATEWAY, SERVICE, ROUTE, HASH, hashing("fallback: random, keys: [{httpHeaderName: x-a}]"))
        self.assertEqual(Plan(routes(snapshot, "*")[0], Plans(None)).keyless_status, None)
        self.assertIsNone(found(snapshot, FakeRequest()))


class KeyFindingTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """What is wrong is an error with its place, once each."""
        for fields, part in (
            ("keys: []", "spec.consistentHash.keys needs at least one key"),
            ("keys: {}", "spec.consistentHash.keys must be a list"),
            ("keys: [{}]", "must have exactly one hash key, one of"),
            ("keys: [{terminal: true}]", "must have exactly one hash key, one of"),
            ("keys: [{httpHeaderName: a, useSourceIp: true}]", "not httpHeaderName and useSourceIp"),
            ("keys: [{httpHeaderName: a, terminal: 1}]", "terminal must be true or false"),
            ("keys: [{httpHeader: a}]", "did you mean 'httpHeaderName'?"),
            ("keys: [{httpHeaderName: 1}]", "must be a string"),
            ("keys: [{httpCookie: {}}]", "httpCookie needs a name"),
            ("fallback: sourceIP", "did you mean 'sourceIp'?"),
            ("fallback: reject, rejectStatus: 200", "must be between 400 and 599"),
            ("hashKey: ip", "must be hostname or label:NAME"),
            ("hashKey: 'label:'", "must be hostname or label:NAME"),
            ("hashKey: {label: a}", "must be a string"),
        ):
            messages = errors(GATEWAY, SERVICE, ROUTE, HASH, hashing(fields))
            self.assertEqual(len(messages), 1, (fields, messages))
            self.assertIn(part, messages[0])
            self.assertTrue(messages[0].startswith("mesh.yaml:"))

    def test_without_effect(self) -> None:
        """What cannot take effect is a warning."""
        for rule, fields, part in (
            (HASH, "", "spec.consistentHash has no effect: it is empty"),
            ("", "keys: [{httpHeaderName: a}]", "keys have no effect: app.test is balanced by LEAST_REQUEST"),
            ("", "fallback: sourceIp", "fallback has no effect: app.test is balanced by LEAST_REQUEST"),
            (HASH, "fallback: random, rejectStatus: 400, keys: [{httpHeaderName: a}]", "rejectStatus has no effect"),
            (HASH, "fallback: random, keys: [{useSourceIp: true}]", "no request lacks useSourceIp"),
            (HASH, "fallback: random, keys: [{httpCookie: {name: a, ttl: 0s}}]", "no request lacks httpCookie"),
            (HASH, "keys: [{useSourceIp: true, terminal: true}, {httpHeaderName: a}]", "are never looked at"),
        ):
            messages = warnings(GATEWAY, SERVICE, ROUTE, rule, hashing(fields))
            self.assertEqual(len(messages), 1, (fields, messages))
            self.assertIn(part, messages[0])


_PODS = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [%s], hostname: web-0}
- {addresses: [10.1.0.2], targetRef: {kind: Pod, name: web-1}}
---
"""
_WEB = "web.default.svc.cluster.local"


class IdentityTests(SynchronousTestCase):
    def test_host_name(self) -> None:
        """A pod that comes back with another address has its old place on the ring, and with it its sessions."""

        def owners(address: str) -> list[str]:
            texts = [text.replace("app.test", "web") for text in (ROUTE, HASH, hashing("hashKey: hostname"))]
            snapshot = compiled(GATEWAY, _PODS % address, *texts)
            balancer = snapshot.clusters[f"outbound|80||{_WEB}"].balancer
            return [balancer.pick(number << 59, 0).hash_key for number in range(32)]

        self.assertEqual(owners("10.1.0.1"), owners("10.1.0.77"))
        self.assertEqual(set(owners("10.1.0.1")), {"web-0", "web-1"})

    def test_label(self) -> None:
        """A label names endpoints; one without it keeps its address, and of two with one name the second does."""
        clusters = compiled(GATEWAY, SERVICE, ROUTE, HASH, hashing("hashKey: 'label:version'")).clusters
        self.assertEqual([it.identity for it in clusters[NAME].endpoints], ["v1", "v2"])
        self.assertEqual([it.key for it in clusters[NAME].endpoints], ["10.0.0.1:80", "10.0.0.2:80"])
        twins = SERVICE.replace("version: v2", "version: v1")
        clusters = compiled(GATEWAY, twins, ROUTE, HASH, hashing("hashKey: 'label:version'")).clusters
        self.assertEqual([it.identity for it in clusters[NAME].endpoints], ["v1", "10.0.0.2:80"])

    def test_told(self) -> None:
        """Endpoints that cannot have a name of their own are told."""
        by_name = SERVICE.replace("STATIC", "DNS").replace("10.0.0.1", "a.test").replace("10.0.0.2", "b.test")
        twins = SERVICE.replace("version: v2", "version: v1")
        rule = HASH.partition("\n  subsets")[0] + "\n---\n"
        for service, fields, part in (
            (
                twins,
                "label:version",
                "that have the name of another one keep their addresses as hash keys: 10.0.0.2:80",
            ),
            (
                SERVICE,
                "label:app",
                "that have no label app keep their addresses as hash keys: 10.0.0.1:80, 10.0.0.2:80",
            ),
            (SERVICE, "hostname", "that have no host name keep their addresses"),
            (by_name, "hostname", "that may have several addresses keep"),
        ):
            (message,) = warnings(GATEWAY, service, ROUTE, rule, hashing(f"hashKey: '{fields}'"))
            self.assertIn(part, message)

    def test_first_address_of_a_name(self) -> None:
        """Where a name stands for one address at a time, it may be the hash key."""
        service = istio(
            "ServiceEntry",
            "app",
            "hosts: [app.test]\nresolution: DNS_ROUND_ROBIN\nports: [{number: 80, name: http, protocol: HTTP}]",
        )
        cluster = compiled(
            GATEWAY, service, ROUTE, HASH.partition("\n  subsets")[0] + "\n---\n", hashing("hashKey: hostname")
        )
        self.assertEqual([it.identity for it in cluster.clusters[NAME].targets], ["app.test"])
