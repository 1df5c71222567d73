"""The configuration of a soak: sticky sessions at the endpoints of one service, which are checked."""

from __future__ import annotations

from collections.abc import Iterable

_MESH = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: main}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: main}
spec:
  gateways: [main]
  hosts: ['*']
  http:
%(routes)s---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: main}
spec:
  host: soak.example
  trafficPolicy:
    loadBalancer: {consistentHash: {httpCookie: {name: ISTIOID, ttl: 60s}, %(table)s}}
%(policy)s---
apiVersion: meshproxy.dev/v1alpha1
kind: BackendPolicy
metadata: {name: main}
spec:
  host: soak.example
  healthCheck: {http: {path: /healthz}, %(checks)s}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: main}
spec:
  hosts: [soak.example]
  resolution: STATIC
  ports: [{name: http, number: 8080, protocol: HTTP}]
  endpoints: [%(endpoints)s]
"""


def mesh(endpoints: Iterable[tuple[str, int]], routes: str, table: str, checks: str, policy: str = "") -> str:
    """The documents for endpoints at these addresses and ports.

    ``routes`` are the entries of the virtual service, ``table`` is a field of ``consistentHash``, ``checks`` are fields
    of ``healthCheck``, ``policy`` is what the traffic policy has beside its load balancer; with their indentation.
    """
    listed = ", ".join(f"{{address: {address}, ports: {{http: {port}}}}}" for address, port in endpoints)
    return _MESH % {"routes": routes, "table": table, "checks": checks, "policy": policy, "endpoints": listed}
