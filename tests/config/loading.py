"""Loading YAML texts in tests: what came of it, and what was said."""

from __future__ import annotations

from functools import lru_cache

from meshproxy.config import load
from meshproxy.config.documents import compose, pieces
from meshproxy.config.findings import Findings
from meshproxy.config.nodes import Node
from meshproxy.config.sources import Source, Sources
from meshproxy.config.yamlerrors import EXPANSION
from meshproxy.errors import ConfigError, Diagnostic, Origin, Severity
from meshproxy.model import ProxyIdentity, Snapshot
from meshproxy.registry import Registry
from meshproxy.routes import Forward, Route

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  servers:
  - hosts: ['*']
    port: {name: http, number: 80, protocol: HTTP}
---
"""

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app}
spec:
  hosts: [app.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints:
  - {address: 10.0.0.1, labels: {version: v1}}
  - {address: 10.0.0.2, labels: {version: v2}}
---
"""

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs}
spec:
  hosts: ['*']
  gateways: [gw]
  http: [{route: [{destination: {host: app.test}}]}]
---
"""


def istio(kind: str, name: str, spec: str, namespace: str = "default") -> str:
    """A document of Istio's networking group; ``spec`` is block YAML without indentation."""
    lines = "".join(f"  {line}\n" for line in spec.strip("\n").splitlines())
    head = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
    return f"{head}spec:\n{lines}---\n"


def documents(findings: Findings, *files: Source) -> list[Node]:
    """All documents of some files, in order; what is wrong with their YAML goes to ``findings``."""
    return [
        document
        for source in files
        for line, text in pieces(source.text)
        for document in compose(text, Origin(source.name, line), findings, EXPANSION).documents
    ]


def errors_of_files(**files: str) -> list[str]:
    """The errors of a load of several files, by their names."""
    try:
        load(Sources(tuple(Source(name, text) for name, text in files.items()), "digest"), bundled(), ProxyIdentity())
    except ConfigError as error:
        return [str(it) for it in error.diagnostics if it.severity is Severity.ERROR and it.location is not None]
    return []


@lru_cache(1)
def bundled() -> Registry:
    """The strategies that come with meshproxy."""
    return Registry.discover()


def sources(*texts: str) -> Sources:
    """One file of these texts."""
    text = "".join(texts)
    return Sources((Source("mesh.yaml", text),), f"digest of {len(text)}")


def compiled(
    *texts: str,
    identity: ProxyIdentity = ProxyIdentity(),  # noqa: B008 - a frozen value
    registry: Registry | None = None,
    previous: Snapshot | None = None,
) -> Snapshot:
    """The snapshot of a configuration that loads."""
    return load(sources(*texts), registry or bundled(), identity, previous)


def findings(*texts: str, registry: Registry | None = None) -> tuple[Diagnostic, ...]:
    """Everything that a load says, whether it succeeds or not."""
    try:
        return load(sources(*texts), registry or bundled(), ProxyIdentity()).warnings
    except ConfigError as error:
        return error.diagnostics


def errors(*texts: str, registry: Registry | None = None) -> list[str]:
    """The errors of a load, without the one that there is nothing to serve."""
    found = [it for it in findings(*texts, registry=registry) if it.severity is Severity.ERROR]
    return [str(it) for it in found if not it.message.startswith("nothing to serve")]


def warnings(*texts: str) -> list[str]:
    """The warnings of a load."""
    return [str(it) for it in findings(*texts) if it.severity is Severity.WARNING]


def routes(snapshot: Snapshot, host: str, port: int = 80) -> list[Route]:
    """The routes of one virtual host of a listener, none if there is no such host."""
    for listener in snapshot.listeners:
        if listener.port == port:
            for virtual_host in listener.routes.virtual_hosts:
                if virtual_host.host == host:
                    return list(virtual_host.routes)
    return []


def hosts(snapshot: Snapshot, port: int = 80) -> set[str]:
    """The names of the virtual hosts of a listener."""
    (listener,) = [listener for listener in snapshot.listeners if listener.port == port]
    return {virtual_host.host for virtual_host in listener.routes.virtual_hosts}


def targets(snapshot: Snapshot, host: str, port: int = 80) -> list[tuple[str, list[str]]]:
    """For each route of a host the text that its path has to match, and its clusters."""
    return [
        (route.match.path.value, [destination.cluster for destination in route.action.destinations])
        for route in routes(snapshot, host, port)
        if isinstance(route.action, Forward)
    ]
