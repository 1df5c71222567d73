"""Listeners with their virtual hosts and routes as plain values, for the status.

Rules: values of header fields do not show where a route sets them, nor where it compares one whose name says that it
has a credential. The rest is what anybody sees who may read the status.
"""

from __future__ import annotations

from typing import Any

from meshproxy.admin.turns import Turns
from meshproxy.conditions import conditions
from meshproxy.config.diagnostics import visible
from meshproxy.explain.routewords import brief_words
from meshproxy.explain.secrets import condition_without_secret
from meshproxy.explain.texts import place
from meshproxy.model import Snapshot
from meshproxy.routes import Route
from meshproxy.routing import RouteTable

Value = dict[str, Any]

MOST_HOSTS = 1_000
"""Virtual hosts beyond these, of one listener, are only counted."""
MOST_ROUTES = 1_000
"""Routes beyond these, of all listeners, are only counted."""
_MOST_CHARACTERS = 300


async def listeners(snapshot: Snapshot, turns: Turns) -> list[Value]:
    """The listeners of a snapshot, in its order."""
    found = []
    left = MOST_ROUTES
    for listener in snapshot.listeners:
        table = listener.routes
        hosts = table.virtual_hosts if isinstance(table, RouteTable) else ()
        told: list[Value] = []
        for host in hosts[:MOST_HOSTS]:
            listed = [_route(number, route) for number, route in enumerate(host.routes[:left], 1)]
            left -= len(listed)
            told.append(
                {
                    "host": host.host,
                    "routes": len(host.routes),
                    "route_list": listed,
                    "routes_left_out": len(host.routes) - len(listed),
                }
            )
            await turns.pause()
        found.append(
            {
                "bind": listener.bind,
                "port": listener.port,
                "at": place(listener.location) or None,
                "routes": sum(len(it.routes) for it in hosts),
                "virtual_hosts": told,
                "virtual_hosts_left_out": max(0, len(hosts) - MOST_HOSTS),
            }
        )
    return found


def _route(number: int, route: Route) -> Value:
    matches = " and ".join(condition_without_secret(str(it)) for it in conditions(route.match)) or "every request"
    return {
        "number": number,
        "name": visible(route.name),
        "at": place(route.location) or None,
        "matches": _cut(visible(matches)),
        "does": _cut(visible(brief_words(route))),
    }


def _cut(words: str) -> str:
    return words if len(words) <= _MOST_CHARACTERS else words[:_MOST_CHARACTERS] + "..."


__all__ = ["MOST_HOSTS", "MOST_ROUTES", "listeners"]
