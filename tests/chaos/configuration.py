"""The configuration of a gateway in chaos: a service that always serves, one whose endpoints fail, and what reloads
change."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

_TEXT = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: main}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}
%(server)s---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: main}
spec:
  gateways: [main]
  hosts: ['*']
  http:
%(route)s  - match: [{uri: {prefix: /shaky}}]
    route: [{destination: {host: shaky.example}}]
    headers: {response: {set: {x-generation: '%(generation)d'}}}
    retries: {attempts: 2, perTryTimeout: 1s, retryOn: 'connect-failure,reset,5xx', retryIgnorePreviousHosts: true}
  - route: [{destination: {host: steady.example}}]
    headers: {response: {set: {x-generation: '%(generation)d'}}}
---
apiVersion: meshproxy.dev/v1alpha1
kind: BackendPolicy
metadata: {name: shaky}
spec:
  host: shaky.example
  healthCheck: {http: {path: /healthz}, interval: 500ms, timeout: 500ms, unhealthyThreshold: 2, healthyThreshold: 1}
---
apiVersion: meshproxy.dev/v1alpha1
kind: Mesh
metadata: {name: main}
spec:
  accessLogEncoding: JSON
  accessLogFormat: |
    {"id": "%%REQ(X-ID)%%", "flags": "%%RESPONSE_FLAGS%%"}
%(services)s"""
_SERVICE = """\
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %(name)s}
spec:
  hosts: [%(name)s.example]
  resolution: STATIC
  ports: [{name: http, number: 80, protocol: HTTP}]
  endpoints: [%(endpoints)s]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %(name)s}
spec:
  host: %(name)s.example
  trafficPolicy:
    loadBalancer: {consistentHash: {httpCookie: {name: ISTIOID, ttl: 60s}, ringHash: {minimumRingSize: 1}}}
"""
_SERVER = "  - {hosts: ['*'], port: {name: more, number: %d, protocol: HTTP}}\n"
_ROUTE = "  - {match: [{uri: {prefix: /more}}], directResponse: {status: 200}}\n"


@frozen
class Configuration:
    """What is served. ``generation`` is in each response; ``port`` is that of another server, 0 for none;
    ``has_route``: there is another route. Addresses of endpoints are by the name of their service.
    """

    endpoints: dict[str, Iterable[int]]
    generation: int = 1
    port: int = 0
    has_route: bool = False

    def text(self) -> str:
        """The documents."""
        services = "".join(
            _SERVICE
            % {"name": name, "endpoints": ", ".join(f"{{address: 127.0.0.1, ports: {{http: {it}}}}}" for it in of)}
            for name, of in self.endpoints.items()
        )
        return _TEXT % {
            "generation": self.generation,
            "server": _SERVER % self.port if self.port else "",
            "route": _ROUTE if self.has_route else "",
            "services": services,
        }
