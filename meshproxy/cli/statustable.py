"""The status of a gateway (``admin.status``) as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshproxy.config.diagnostics import visible
from meshproxy.duration import rough
from meshproxy.explain.texts import load_words

Value = Mapping[str, Any]

_COLORS = {"unhealthy": "\x1b[31m", "draining": "\x1b[33m", "degraded": "\x1b[33m"}
_RESET = "\x1b[0m"
_HEADINGS = (
    *("ENDPOINT", "STATE", "SINCE", "WHY", "PRIORITY", "WEIGHT", "SHARE"),
    *("ACTIVE", "REQUESTS", "ERRORS", "EJECTIONS", "CONNECTIONS"),
)
_TEXTS = 4  # so many columns are texts, and the rest numbers
_STATE = 1


def lines(told: Value, color: bool = False) -> Iterator[str]:
    """A line about the gateway, one for each listener, and a table for each cluster."""
    now = told["time"]
    yield from _head(told, now)
    for listener in told["listeners"]:
        hosts = len(listener["virtual_hosts"]) + listener["virtual_hosts_left_out"]
        where = f"{visible(listener['bind'])}:{listener['port']}"
        yield f"listener {where}: {_number(hosts, 'virtual host')}, {_number(listener['routes'], 'route')}"
    for cluster in told["clusters"]:
        yield ""
        yield from _cluster(cluster, now, color)


def _head(told: Value, now: float) -> Iterator[str]:
    configuration = told["configuration"]
    ready = "ready" if told["ready"] else "NOT READY"
    processes = _number(told["processes"], "process", "es")
    yield f"meshproxy {visible(told['meshproxy'])}: {ready}, up {rough(told['uptime'])}, {processes}"
    installed = configuration["installed_at"]
    when = "" if installed is None else f", installed {rough(now - installed)} ago"
    warnings = _number(configuration["warnings"], "warning")
    yield f"configuration {configuration['generation']}{when}, {warnings}"
    last = configuration["last_reload"]
    if last is not None and last["result"] == "failed":
        yield f"the last reload FAILED {rough(now - last['at'])} ago:"
        yield from (f"  {visible(line)}" for line in (last["error"] or "").splitlines())


def _cluster(cluster: Value, now: float, color: bool) -> Iterator[str]:
    endpoints = cluster["endpoints"]
    number = len(endpoints) + cluster["endpoints_left_out"]
    healthy = sum(endpoint["state"] == "healthy" for endpoint in endpoints)
    strategy = f", {visible(cluster['strategy'])}" if cluster["strategy"] else ""
    yield f"{visible(cluster['name'])}: {healthy} of {_number(number, 'endpoint')} healthy{strategy}"
    loads = load_words([(it["healthy_load"] + it["degraded_load"], it["panic"]) for it in cluster["priorities"]])
    if loads:
        yield f"  load of priority {loads}"
    if any(cluster["overflows"].values()):
        named = ", ".join(f"{name} {count}" for name, count in cluster["overflows"].items() if count)
        yield f"  refused by limits: {named}"
    if endpoints:
        yield from _table([_row(endpoint, now) for endpoint in endpoints], color)
    if cluster["endpoints_left_out"]:
        yield f"  and {_number(cluster['endpoints_left_out'], 'more endpoint')}"


def _row(endpoint: Value, now: float) -> list[str]:
    states = endpoint["states"]
    apart = len(states) > 1
    state = endpoint["state"] + (f" ({states[endpoint['state']]} of {sum(states.values())})" if apart else "")
    return [
        visible(endpoint["address"]),
        state,
        rough(now - endpoint["since"]),
        visible(endpoint["reason"]) or "-",
        "-" if endpoint["priority"] is None else str(endpoint["priority"]),
        str(endpoint["weight"]),
        "-" if endpoint["share"] is None else f"{100 * endpoint['share']:.1f}%",
        *(str(endpoint[name]) for name in ("active", "requests", "errors", "ejections", "connections")),
    ]


def _table(rows: Sequence[Sequence[str]], color: bool) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    for row in (_HEADINGS, *rows):
        cells = [
            f"{cell:<{width}}" if at < _TEXTS else f"{cell:>{width}}"
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        shade = _COLORS.get(row[_STATE].partition(" ")[0], "") if color else ""
        if shade:
            cells[_STATE] = f"{shade}{cells[_STATE]}{_RESET}"
        yield "  " + "  ".join(cells).rstrip()


def _number(count: int, name: str, plural: str = "s") -> str:
    return f"{count} {name if count == 1 else name + plural}"


__all__ = ["lines"]
