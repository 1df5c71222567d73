"""Listeners and their routes on the status page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshproxy.admin.markup import count, head_row, place, text

MOST_ROUTES = 300
"""Routes on one page."""
_OPEN = 12  # routes up to which all of them show at once
_COLUMNS = (("No.", True), ("Takes", False), ("Does", False), ("Where it is written", False))

Value = Mapping[str, Any]


def routes_section(told: Value) -> Iterator[str]:
    """The section in pieces."""
    yield (
        '<section id="routes" data-live aria-labelledby="routes-title"><h2 id="routes-title">Listeners and routes</h2>'
    )
    listeners = told["listeners"]
    if not listeners:
        yield "<p>Nothing is listened to.</p>"
    left = MOST_ROUTES
    opened = sum(listener["routes"] for listener in listeners) <= _OPEN
    for at, listener in enumerate(listeners):
        where = f"{text(listener['bind'] or 'all addresses')}, port {listener['port']}"
        hosts = len(listener["virtual_hosts"]) + listener["virtual_hosts_left_out"]
        written = f' <span class="place">{place(listener["at"])}</span>' if listener["at"] else ""
        yield (
            f'<article class="card" aria-labelledby="listener-{at}"><div class="top">'
            f'<h3 id="listener-{at}">{where}</h3>'
            f"<p>{count(hosts, 'virtual host')}, {count(listener['routes'], 'route')}{written}</p></div>"
        )
        beyond = listener["virtual_hosts_left_out"]
        for host in listener["virtual_hosts"]:
            if left <= 0:
                beyond += 1
                continue
            shown = host["route_list"][:left]
            left -= max(1, len(shown))
            yield from _host(host, shown, opened)
        if beyond:
            more = count(beyond, "more virtual host")
            yield f'<p class="body small">And {more}; <a href="/status">/status</a> has more of them.</p>'
        yield "</article>"
    yield "</section>"


def _host(host: Value, shown: Sequence[Value], opened: bool) -> Iterator[str]:
    name = text(host["host"])
    yield (
        f"<details{' open' if opened else ''}><summary><strong>{name}</strong> "
        f'<span class="quiet">{count(host["routes"], "route")}</span></summary>'
        f'<table class="routes"><caption class="hidden">Routes of {name}, in the order in which they are tried'
        f"</caption>{head_row(_COLUMNS)}<tbody>"
    )
    yield "".join(map(_route, shown))
    yield "</tbody></table>"
    if host["routes"] > len(shown):
        yield f'<p class="body small">And {count(host["routes"] - len(shown), "more route")}.</p>'
    yield "</details>"


def _route(route: Value) -> str:
    name = f"<strong>{text(route['name'])}</strong> " if route["name"] else ""
    return (
        f'<tr><td class="n" data-label="Route">{route["number"]}</td>'
        f'<th scope="row">{name}{text(route["matches"])}</th>'
        f"<td>{text(route['does'])}</td>"
        f'<td class="place small">{place(route["at"] or "")}</td></tr>'
    )


__all__ = ["MOST_ROUTES", "routes_section"]
