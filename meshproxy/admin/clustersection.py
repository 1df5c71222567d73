"""The clusters on the status page, with a table of their endpoints each.

Bounded: of very many endpoints some are shown, those in trouble first, and of further clusters only the names, with a
way to see each of them alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from meshproxy.admin.clusterstatus import WORST_FIRST
from meshproxy.admin.markup import count, head_row, number, place, seconds, since, text, word
from meshproxy.admin.tabledrawing import drawing
from meshproxy.explain.texts import load_words

MOST_ROWS = 400
"""Endpoints on one page."""
_ROWS_OF_ONE = 100  # where there are more clusters than one
_MOST_DRAWINGS = 12
_MOST_NAMES = 500

Value = Mapping[str, Any]

_KINDS = {"healthy": "ok", "draining": "warn", "degraded": "warn", "unhealthy": "bad"}
_COLUMNS = (
    *(("Endpoint", False), ("State", False), ("Since", True), ("Weight", True), ("Share", True), ("Active", True)),
    *(("Requests", True), ("Errors", True), ("p50", True), ("p99", True), ("Sessions", True)),
)
_HEAD = head_row(_COLUMNS)


def clusters_section(told: Value, part: str) -> Iterator[str]:
    """The section in pieces. ``part``: what names of clusters had to contain."""
    clusters: Sequence[Value] = told["clusters"]
    shown, left = [], MOST_ROWS
    for cluster in clusters:
        rows = min(len(cluster["endpoints"]), MOST_ROWS if len(clusters) == 1 else _ROWS_OF_ONE)
        if left <= 0:
            break
        shown.append((cluster, min(rows, left)))
        left -= max(rows, 1)
    yield (
        '<section id="clusters" data-live aria-labelledby="clusters-title">'
        f'<h2 id="clusters-title">Clusters{_of(part)}</h2>'
        '<p class="quiet small">p50, p99 and sessions are those of the last 5 to 10 minutes; requests and errors are '
        "counted from the start.</p>"
    )
    if part or len(clusters) > 5:
        yield (
            '<form class="filter" role="search" action="/#clusters"><div><label for="part">Only clusters whose name '
            f'contains</label><input id="part" name="cluster" value="{text(part)}" autocomplete="off" '
            'spellcheck="false">'
            "</div><button>Show</button></form>"
        )
    if not clusters:
        yield f"<p>{'No cluster has that in its name.' if part else 'There are no clusters.'}</p>"
    for at, (cluster, rows) in enumerate(shown):
        yield from _cluster(cluster, rows, told["time"], f"cluster-{at}", at < _MOST_DRAWINGS)
    rest = clusters[len(shown) :]
    if rest:
        links = "".join(f"<li>{_link(cluster['name'])}</li>" for cluster in rest[:_MOST_NAMES])
        beyond = len(rest) - _MOST_NAMES
        more = f"<p>And {count(beyond, 'more')}: ask for a part of their names.</p>" if beyond > 0 else ""
        yield f"<h3>{count(len(rest), 'more cluster')}</h3><ul>{links}</ul>{more}"
    yield "</section>"


def _of(part: str) -> str:
    return f" with “{text(part)}” in their names" if part else ""


def _link(name: str) -> str:
    return f'<a href="/?{text(urlencode({"cluster": name}))}#clusters">{text(name)}</a>'


def _cluster(cluster: Value, rows: int, now: float, name: str, drawn: bool) -> Iterator[str]:
    endpoints: Sequence[Value] = cluster["endpoints"]
    total = len(endpoints) + cluster["endpoints_left_out"]
    healthy = sum(endpoint["state"] == "healthy" for endpoint in endpoints)
    kind = "warn" if healthy or cluster["endpoints_left_out"] else "bad"
    if endpoints and healthy == len(endpoints):
        kind = "ok"
    port = cluster["name"].split("|")[1] if cluster["name"].count("|") >= 3 else ""
    title = text(cluster["host"]) + (f":{text(port)}" if port else "")
    subset = f" <small>subset {text(cluster['subset'])}</small>" if cluster["subset"] else ""
    words = f"{number(healthy)} of {count(len(endpoints), 'endpoint')} healthy"
    if cluster["endpoints_left_out"]:
        words += f", {number(cluster['endpoints_left_out'])} not looked at"
    yield (
        f'<article class="card" aria-labelledby="{name}"><div class="top"><h3 id="{name}">{title}{subset}</h3>'
        f"{word(kind, words)}</div>"
        f'<div class="body">{_facts(cluster)}</div>'
    )
    if endpoints:
        caption = f'<caption class="hidden">Endpoints of {title}{subset}</caption>'
        yield f'<table class="endpoints">{caption}{_HEAD}<tbody>'
        for endpoint in _first(endpoints, rows):
            yield _row(endpoint, now)
        yield "</tbody></table>"
    if total > rows:
        alone = "" if rows >= MOST_ROWS else f" {_link(cluster['name'])}"
        yield f'<p class="body small">And {count(total - rows, "more endpoint")}.{alone}</p>'
    if drawn:
        yield drawing(cluster)
    yield "</article>"


def _first(endpoints: Sequence[Value], rows: int) -> Sequence[Value]:
    if rows >= len(endpoints):
        return endpoints
    return sorted(endpoints, key=lambda it: WORST_FIRST.index(it["state"]))[:rows]


def _facts(cluster: Value) -> str:
    facts = []
    if cluster["strategy"]:
        source = f", from {text(cluster['strategy_from'])}" if cluster["strategy_from"] else ", the default"
        at = f' <span class="place">{place(cluster["strategy_at"])}</span>' if cluster["strategy_at"] else ""
        facts.append(f"<strong>{text(cluster['strategy'])}</strong>{source}{at}")
    facts.append(f"{count(cluster['connections'], 'connection')}, {number(cluster['pending'])} waiting for one")
    if cluster["sessions"] is not None:
        facts.append(f"about {count(cluster['sessions'], 'session')}")
    loads = load_words([(it["healthy_load"] + it["degraded_load"], it["panic"]) for it in cluster["priorities"]])
    if loads:
        facts.append(f"load by priority {text(loads)}")
    items = "".join(f"<li>{fact}</li>" for fact in facts)
    lines = [f'<ul class="line">{items}</ul>']
    refused = ", ".join(f"{number(it)} by the {name} limit" for name, it in cluster["overflows"].items() if it)
    if refused:
        lines.append(f'<p class="small warn">Refused so far: {refused}.</p>')
    return "".join(lines)


def _row(endpoint: Value, now: float) -> str:
    states = endpoint["states"]
    state = endpoint["state"]
    if len(states) > 1:
        state += f" in {states[endpoint['state']]} of {sum(states.values())} processes"
    why = [endpoint["reason"]] if endpoint["reason"] and endpoint["state"] != "healthy" else []
    if endpoint["until"] is not None and endpoint["until"] > now:
        why.append(f"may return in {endpoint['until'] - now:.0f} s")
    if endpoint["priority"] is None:
        why.append("its locality gets no requests")
    elif endpoint["priority"]:
        why.append(f"priority {endpoint['priority']}")
    below = f'<span class="why">{text("; ".join(why))}</span>' if why else ""
    where = f'<span class="why">{text(endpoint["locality"])}</span>' if endpoint["locality"] else ""
    numbers = (
        since(endpoint["since"], now),
        number(endpoint["weight"]),
        _share(endpoint["share"]),
        _number(endpoint["active"]),
        _number(endpoint["requests"]),
        _errors(endpoint),
        seconds(endpoint["p50"]),
        seconds(endpoint["p99"]),
        "-" if endpoint["sessions"] is None else _number(endpoint["sessions"]),
    )
    cells = "".join(
        f'<td class="n" data-label="{label}">{value}</td>'
        for (label, _), value in zip(_COLUMNS[2:], numbers, strict=True)
    )
    return (
        f'<tr><th scope="row" class="mono">{text(endpoint["address"])}{where}</th>'
        f'<td class="state">{word(_KINDS[endpoint["state"]], state)}{below}</td>{cells}</tr>'
    )


def _number(value: int) -> str:
    return number(value) if value else '<span class="zero">0</span>'


def _errors(endpoint: Value) -> str:
    errors = endpoint["errors"]
    return f'<span class="bad">{number(errors)}</span>' if errors else _number(0)


def _share(share: float | None) -> str:
    if share is None:
        return '<span class="zero">-</span>'
    bar = (
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'<rect class="track" width="100" height="10"/><rect class="fill" width="{100 * share:.1f}" height="10"/></svg>'
    )
    return f'<span class="share">{bar}<span>{100 * share:.1f}%</span></span>'


__all__ = ["MOST_ROWS", "clusters_section"]
