"""The three documents of the article that meshproxy starts from, with both kinds of services behind them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.strategies.http_cookie import CookieKey
from tests.config.loading import compiled, routes
from tests.routed import Request

ARTICLE = """
apiVersion: networking.istio.io/v1beta1
kind: Gateway
metadata: {name: default-gw}
spec:
  selector: {istio: ingressgateway}
  servers:
  - hosts: ['*']
    port: {name: http, number: 80, protocol: HTTP}
---
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: test-vs}
spec:
  gateways: [default-gw]
  hosts: [test.com]
  http:
  - match: [{uri: {prefix: /}}]
    route:
    - destination: {host: test2-bwce-srv, port: {number: 8080}}
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: default-sticky-dr, namespace: default}
spec:
  host: test2-bwce-srv.default.svc.cluster.local
  trafficPolicy:
    loadBalancer:
      consistentHash:
        httpCookie: {name: ISTIOID, ttl: 60s}
---
"""
KUBERNETES = """
apiVersion: v1
kind: Service
metadata: {name: test2-bwce-srv}
spec: {selector: {app: test2}, ports: [{port: 8080, protocol: TCP, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: test2-bwce-srv-x7k2p, labels: {kubernetes.io/service-name: test2-bwce-srv}}
addressType: IPv4
ports: [{port: 8080, protocol: TCP, name: ''}]
endpoints:
- {addresses: [10.1.0.5], conditions: {ready: true, serving: true, terminating: false}}
- {addresses: [10.1.0.6], conditions: {ready: true, serving: true, terminating: false}}
- {addresses: [10.1.0.7], conditions: {ready: false, serving: false, terminating: false}}
"""
ENTRY = """
apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata: {name: test2}
spec:
  hosts: [test2-bwce-srv.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8080, name: http, protocol: HTTP}]
  endpoints: [{address: 10.1.0.5}, {address: 10.1.0.6}]
"""


class ArticleTests(SynchronousTestCase):
    def test_both_services(self) -> None:
        """One sticky route to the ready endpoints on a consistent hash, and not a word of warning."""
        for service in (KUBERNETES, ENTRY):
            snapshot = compiled(ARTICLE, service)
            self.assertEqual(snapshot.warnings, ())
            (listener,) = snapshot.listeners
            self.assertEqual(listener.key, ("", 80))
            (route,) = routes(snapshot, "test.com")
            self.assertIs(listener.routes.find(Request(b"/a", b"TEST.com:80")), route)
            self.assertIsNone(listener.routes.find(Request(b"/a", b"other.com")))
            (key,) = route.action.hash_policy
            assert isinstance(key, CookieKey)
            self.assertEqual((key.name, key.ttl.total_seconds() if key.ttl else None), ("ISTIOID", 60))
            (destination,) = route.action.destinations
            cluster = snapshot.clusters[destination.cluster]
            self.assertEqual(cluster.name, "outbound|8080||test2-bwce-srv.default.svc.cluster.local")
            self.assertEqual([it.key for it in cluster.endpoints], ["10.1.0.5:8080", "10.1.0.6:8080"])
            self.assertTrue(cluster.balancer.uses_hash)

    def test_both_choose_alike(self) -> None:
        """Where a session goes depends on the addresses alone, not on how they became known."""
        (one,), (other,) = (list(compiled(ARTICLE, service).clusters.values()) for service in (KUBERNETES, ENTRY))
        picks = [[balancer.pick(n << 57, 0) for n in range(128)] for balancer in (one.balancer, other.balancer)]
        self.assertEqual(picks[0], picks[1])
        self.assertEqual(len(set(picks[0])), 2)
