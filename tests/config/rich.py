"""A configuration that says everything that is served, and much that is not, for tests that change it at random.

What is not served yet stands where it has no effect, so that the whole loads.
"""

from __future__ import annotations

from typing import Any

import yaml

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
  - match: [{headers: {x-old: {}}}]
    mirror: {host: other, port: {number: 80}}
    mirror_percent: 5
    corsPolicy: {allowOrigin: ['*'], unmatchedPreflights: IGNORE}
    fault: {delay: {fixedDelay: 1ms, percent: 1}, abort: {grpcStatus: UNAVAILABLE, percentage: {value: 1}}}
    retries: {attempts: 0, retryIgnorePreviousHosts: true}
    route: [{destination: {host: app.test, port: {number: 82}}}]
  - match: [{uri: {prefix: /d}}]
    delegate: {name: inner, namespace: apps}
  - match: [{uri: {prefix: /e}}]
    redirect: {prefixRewrite: /f, authority: e.com, scheme: https, redirectCode: 308, derivePort: FROM_PROTOCOL_DEFAULT}
  - match: [{uri: {exact: /g}}]
    directResponse: {status: 503, body: {string: closed}}
  - match: [{uri: {exact: /b}, statPrefix: s}]
    directResponse: {status: 200, body: {bytes: aGk=}}
  - match: [{uri: {regex: /h/.*}}]
    rewrite: {uriRegexRewrite: {match: ^/h/(.*), rewrite: '/\\1'}}
    mirror: {host: other, port: {number: 80}}
    mirrorPercentage: {value: 5}
    route: [{destination: {host: app.test, subset: v1, port: {number: 80}}}]
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
  ports:
  - {number: 80, name: http, protocol: HTTP, targetPort: 8080}
  - {number: 81, name: more, protocol: HTTP}
  - {number: 82, name: most, protocol: HTTP}
  subjectAltNames: [spiffe://a/b]
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
spec:
  address: 10.0.0.7
  labels: {app: it, version: v1}
  ports: {http: 9090}
  locality: eu/west/b
  network: n
  serviceAccount: s
  weight: 2
---
apiVersion: v1
kind: Service
metadata: {name: old, namespace: apps}
spec: {ports: [{port: 80, name: http, appProtocol: http}, {port: 53, name: dns, protocol: UDP}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: old, namespace: apps}
subsets:
- addresses: [{ip: 10.0.0.9, hostname: h-0, targetRef: {kind: Pod, name: it-2, namespace: apps}}]
  notReadyAddresses: [{ip: 10.0.0.10}]
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: apps}
spec: {type: ExternalName, externalName: app.test, ports: [{port: 80, name: http}]}
---
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: kubernetes, namespace: apps}
spec:
  hosts: [k.b.com]
  gateways: [rich-gw]
  http:
  - match: [{uri: {prefix: /old}}]
    route: [{destination: {host: old}, weight: 1}, {destination: {host: app.test, port: {number: 81}}, weight: 1}]
  - route: [{destination: {host: alias}}]
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
    portLevelSettings:
    - port: {number: 81}
      loadBalancer: {simple: LEAST_REQUEST, warmup: {duration: 10s, minimumPercent: 5, aggression: 2}}
    - port: {number: 82}
      loadBalancer:
        simple: ROUND_ROBIN
        warmupDurationSecs: 5s
        localityLbSetting: {enabled: true, failover: [{from: eu, to: us}], failoverPriority: [version]}
      outlierDetection: {consecutive5xxErrors: 3}
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy:
      loadBalancer: {consistentHash: {httpHeaderName: x-user, minimumRingSize: 8}}
      retryBudget: {percent: 10, minRetryConcurrency: 2}
      outlierDetection:
        consecutiveErrors: 8
        consecutive5xxErrors: 7
        consecutiveGatewayErrors: 6
        splitExternalLocalOriginErrors: true
        consecutiveLocalOriginFailures: 5
        outlierDetectionHttpErrorCodes: [500, 503]
        interval: 1s
        baseEjectionTime: 2s
        maxEjectionPercent: 100
        minHealthPercent: 50
      connectionPool:
        tcp:
          maxConnections: 9
          connectTimeout: 1s
          maxConnectionDuration: 1h
          idleTimeout: 0s
          tcpKeepalive: {probes: 2, time: 3s, interval: 4s}
        http:
          http1MaxPendingRequests: 1
          http2MaxRequests: 2
          maxRequestsPerConnection: 3
          maxRetries: 4
          idleTimeout: 5s
          h2UpgradePolicy: DO_NOT_UPGRADE
          useClientProtocol: false
          maxConcurrentStreams: 6
          http2KeepAlive: {interval: 7s, timeout: 8s}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: for-others, namespace: apps}
spec:
  host: named.test
  workloadSelector: {matchLabels: {app: other}}
  trafficPolicy: {loadBalancer: {consistentHash: {httpQueryParameterName: q, maglev: {tableSize: 251}}}}
---
apiVersion: meshproxy.dev/v1alpha1
kind: BackendPolicy
metadata: {name: everything, namespace: apps}
spec:
  host: app.test
  port: 80
  consistentHash:
    hashBalanceFactor: 125
    hashKey: label:pod
    fallback: reject
    rejectStatus: 421
    keys:
    - {httpHeaderName: x-user, terminal: true}
    - {httpQueryParameterName: user}
    - {useSourceIp: true}
    - {httpCookie: {name: c, ttl: 1h, path: /, attributes: [{name: SameSite, value: Lax}]}}
  persistence:
    cookie: {name: s, path: /, domain: a.com, maxAge: 1h, secure: true, httpOnly: true, sameSite: Lax,
      partitioned: true}
    secrets: [{secretRef: {name: keys, key: now}}, {secretRef: {name: keys, key: before}}]
  stickyWeights: true
  draining: [{address: 10.0.0.7, port: 9090, until: '2100-01-01T00:00:00Z'}]
  healthCheck:
    http: {path: /ready, host: h.test, method: HEAD, headers: {x-a: b}, expectedStatuses: [200, 204-206]}
    interval: 5s
    jitterPercent: 10
    timeout: 1s
    unhealthyThreshold: 3
    healthyThreshold: 2
    port: 8081
---
apiVersion: meshproxy.dev/v1alpha1
kind: BackendPolicy
metadata: {name: asked, namespace: apps}
spec: {host: app.test, subset: v1, healthCheck: {tcp: {}}}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: apps}
type: Opaque
data: {now: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}
stringData: {before: fedcba9876543210fedcba9876543210}
---
apiVersion: meshproxy.dev/v1alpha1
kind: Mesh
metadata: {name: mesh}
spec:
  accessLogFile: /dev/null
  accessLogEncoding: JSON
  accessLogFormat: '{"path": "%REQ(:PATH)%"}'
  connectTimeout: 1s
  explainHeaders: false
  enableTracing: false
  defaultHttpRetryPolicy: {attempts: 1, perTryTimeout: 1s, retryOn: reset, backoff: 5ms}
  localityLbSetting: {distribute: [{from: 'eu/*', to: {'eu/*': 100}}]}
  pathNormalization: {normalization: MERGE_SLASHES}
  defaultConfig:
    gatewayTopology: {numTrustedProxies: 1}
    proxyMetadata: {ISTIO_META_HTTP10: '1', ISTIO_META_IDLE_TIMEOUT: 10s}
  limits:
    requestHeadersTimeout: 5s
    streamIdleTimeout: 5m
    maxConnections: 1000
    maxRequestsPerConnection: 100
    maxPipelinedRequests: 10
    maxHeadersKb: 60
    maxHeadersCount: 100
    perConnectionBufferLimitBytes: 65536
    headersWithUnderscoresAction: ALLOW
  upgrades: {protocols: [websocket], idleTimeout: 1h}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: elsewhere, namespace: apps}
spec:
  selector: {gateway: other}
  servers:
  - port: {name: tls, number: 443, protocol: HTTPS}
    hosts: [a.com]
    bind: 10.9.9.9
    name: n
    defaultEndpoint: 127.0.0.1:1
    tls: {mode: MUTUAL, credentialName: c, minProtocolVersion: TLSV1_2, cipherSuites: [AES128-SHA]}
  - port: {name: files, number: 444, protocol: TLS}
    hosts: [b.com]
    tls:
      mode: OPTIONAL_MUTUAL
      serverCertificate: c.pem
      privateKey: k.pem
      caCertificates: ca.pem
      caCrl: crl.pem
      maxProtocolVersion: TLSV1_3
      ecdhCurves: [P-256]
      subjectAltNames: [x]
      verifyCertificateSpki: [s]
      verifyCertificateHash: [h]
      insecureSkipVerify: false
  - port: {name: several, number: 445, protocol: HTTPS}
    hosts: [c.com]
    tls: {mode: SIMPLE, tlsCertificates: [{serverCertificate: c.pem, privateKey: k.pem}]}
  - {port: {name: tcp, number: 9000, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: elsewhere, namespace: apps}
spec:
  hosts: [t.a.com]
  gateways: [elsewhere]
  tls: [{match: [{sniHosts: [t.a.com], port: 443}], route: [{destination: {host: app.test}}]}]
  tcp:
  - match: [{port: 9000, destinationSubnets: [10.0.0.0/8], sourceLabels: {a: b}, gateways: [elsewhere]}]
    route: [{destination: {host: app.test, subset: v1}, weight: 1}]
---
"""
_TEXT = ARTICLE + KUBERNETES + "---" + ENTRY + RICH
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
