"""The clusters of ``vectors/live-behaviour.json`` and their endpoints."""

from __future__ import annotations

from functools import cache
from typing import Any

from tests.strategies.scenarios import Host
from tests.vectors import load


@cache
def cluster(name: str) -> Any:
    """The settings of a cluster in Envoy's words."""
    (found,) = [it for it in load("live-behaviour")["clusters"] if it["name"] == name]
    return found


@cache
def hosts_of(name: str) -> tuple[Host, ...]:
    """Its endpoints in their order."""
    hosts = []
    for locality in cluster(name)["load_assignment"]["endpoints"]:
        for entry in locality["lb_endpoints"]:
            address = entry["endpoint"]["address"]["socket_address"]
            key = f"{address['address']}:{address['port_value']}"
            hosts.append(Host(key, entry.get("load_balancing_weight", 1)))
    return tuple(hosts)
