"""A configuration that says nearly everything that can be said, for tests that change it at random."""

from __future__ import annotations

from typing import Any

import yaml

from tests.config.test_objects import MESH
from tests.config.test_scenario import ARTICLE, ENTRY, KUBERNETES

RICH = """
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: rich-gw, namespace: apps}
spec:
  servers:
  - {hosts: [a.com, './*.b.com'], port: {name: http, number: 80, protocol: HTTP}}
  - {hosts: [a.com], port: {name: redirecting, number: 81, protocol: HTTP}, tls: {httpsRedirect: true}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: rich, namespace: apps, creationTimestamp: '2024-01-01T00:00:00Z'}
spec:
  hosts: [a.com, '*.b.com']
  gateways: [default/default-gw, rich-gw]
  exportTo: ['*']
  http:
  - name: r
    match:
    - {name: m, uri: {regex: /a+}, port: 80, gateways: [default/default-gw], sourceLabels: {a: b}}
    - uri: {prefix: /B}
      ignoreUriCase: true
      method: {exact: GET}
      scheme: {exact: http}
      authority: {prefix: a}
      headers: {x-a: {exact: v}, x-b: {}}
      withoutHeaders: {x-c: {regex: v.*}}
      queryParams: {q: {prefix: w}}
      sourceNamespace: istio-system
    route:
    - destination: {host: test2-bwce-srv.default.svc.cluster.local, subset: v1}
      weight: 1
      headers: {request: {set: {x-d: '%PROTOCOL%'}, remove: [x-e]}}
    - {destination: {host: other, port: {number: 80}}, weight: 2}
    headers: {request: {add: {x-f: g}}, response: {set: {x-h: i}, remove: [server]}}
    rewrite: {uri: /c, authority: c.com}
    timeout: 3s
    retries: {attempts: 2, perTryTimeout: 1s, retryOn: '5xx,reset,418', backoff: 10ms, retryRemoteLocalities: true}
    fault:
      delay: {fixedDelay: 10ms, percentage: {value: 0.5}}
      abort: {httpStatus: 418, percentage: {value: 1}}
    mirrors: [{destination: {host: other, port: {number: 80}}, percentage: {value: 10}}]
    corsPolicy:
      allowOrigins: [{exact: 'https://x.com'}, {regex: 'https://.*'}]
      allowMethods: [GET, POST]
      allowHeaders: [x-j]
      exposeHeaders: [x-k]
      maxAge: 24h
      allowCredentials: true
  - match: [{uri: {prefix: /d}}]
    delegate: {name: inner, namespace: apps}
  - match: [{uri: {prefix: /e}}]
    redirect: {prefixRewrite: /f, authority: e.com, scheme: https, redirectCode: 308, derivePort: FROM_PROTOCOL_DEFAULT}
  - match: [{uri: {exact: /g}}]
    directResponse: {status: 503, body: {string: closed}}
  - match: [{uri: {regex: /h/.*}}]
    rewrite: {uriRegexRewrite: {match: ^/h/(.*), rewrite: '/\\1'}}
    mirror: {host: other, port: {number: 80}}
    mirrorPercentage: {value: 5}
    route: [{destination: {host: app.test}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: inner, namespace: apps}
spec:
  http:
  - match: [{uri: {prefix: /d/i}}, {uri: {exact: /d/j}, method: {exact: PUT}}]
    route: [{destination: {host: app.test}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: selecting, namespace: apps}
spec:
  hosts: [app.test]
  addresses: [10.1.0.0/16]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 81, name: more, protocol: HTTP}]
  workloadSelector: {labels: {app: it}}
  exportTo: ['*']
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: named, namespace: apps}
spec:
  hosts: [named.test]
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: backend.test, ports: {http: 8080}, locality: eu/west/a, weight: 3}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: it-1, namespace: apps}
spec: {address: 10.0.0.7, labels: {app: it, version: v1}, ports: {http: 9090}, locality: eu/west/b}
---
apiVersion: v1
kind: Pod
metadata: {name: it-2, namespace: apps, labels: {app: it}}
status: {phase: Running, podIP: 10.0.0.8, podIPs: [{ip: 10.0.0.8}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rich, namespace: default}
spec:
  host: '*.local'
  exportTo: [., istio-system]
  trafficPolicy:
    connectionPool: {tcp: {connectTimeout: 1s}}
    portLevelSettings: [{port: {number: 8080}, loadBalancer: {simple: RANDOM}}]
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 251}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: selecting, namespace: apps}
spec:
  host: app.test
  trafficPolicy:
    loadBalancer:
      consistentHash: {httpCookie: {name: c, ttl: 10s, path: /}, ringHash: {minimumRingSize: 16}}
      localityLbSetting: {distribute: [{from: 'eu/*', to: {eu/west/b: 100}}]}
  subsets: [{name: v1, labels: {version: v1}}]
---
"""
_TEXT = ARTICLE + KUBERNETES + "---" + ENTRY + RICH + MESH % "connectTimeout: 1s"
DOCUMENTS: list[Any] = [document for document in yaml.safe_load_all(_TEXT) if document is not None]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values below ``value``."""
    if isinstance(value, dict):
        inner = list(value.items())
    else:
        inner = list(enumerate(value)) if isinstance(value, list) else []
    return [(*path, key) for key, _ in inner] + [it for key, child in inner for it in places(child, (*path, key))]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path that is there."""
    for step in path:
        value = value[step]
    return value
