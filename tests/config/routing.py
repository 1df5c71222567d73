"""Texts of virtual services for tests, and what becomes of one."""

from __future__ import annotations

from meshproxy.errors import Severity
from meshproxy.routes import Forward, Route
from tests.config.loading import GATEWAY, SERVICE, compiled, findings, istio, routes

TO_APP = "route: [{destination: {host: app.test}}]"


def virtual_service(spec: str, name: str = "vs", namespace: str = "default") -> str:
    """A virtual service with this ``spec``."""
    return istio("VirtualService", name, spec, namespace)


def with_http(http: str) -> str:
    """A virtual service for all hosts of the gateway of ``loading`` with these entries."""
    return virtual_service(f"hosts: ['*']\ngateways: [gw]\nhttp:\n{http}")


def entry(fields: str) -> str:
    """A virtual service with one entry, whose fields are written in flow style."""
    return with_http(f"- {{{fields}}}")


def compiled_route(fields: str) -> Route:
    """The only route of a virtual service with one entry."""
    (route,) = routes(compiled(GATEWAY, SERVICE, entry(fields)), "*")
    return route


def forward(fields: str) -> Forward:
    """What an entry with these fields beside a destination does."""
    action = compiled_route(f"{fields}, {TO_APP}").action
    assert isinstance(action, Forward)
    return action


def said(fields: str, severity: Severity = Severity.WARNING) -> list[str]:
    """The warnings, or the errors, about a virtual service with one entry."""
    return [str(it) for it in findings(GATEWAY, SERVICE, entry(fields)) if it.severity is severity]
