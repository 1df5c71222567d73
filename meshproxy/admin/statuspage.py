"""The status as one page for people: the same that ``status`` has as JSON, and a form that explains a request.

The page needs nothing but itself, and works without JavaScript. With it, it is brought up to date where it stands;
without, the browser reads it anew from time to time, unless ``every=0`` asks it not to. All that changes is in elements
with ``data-live``. It is made in pieces, so that many endpoints do not hold up requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from meshproxy.admin.clustersection import clusters_section
from meshproxy.admin.explainsection import Form, explain_section
from meshproxy.admin.markup import count, note, number, place, since, text, word
from meshproxy.admin.pagestyle import POLICY, SCRIPT, STYLE
from meshproxy.admin.routesection import routes_section
from meshproxy.admin.turns import Turns
from meshproxy.duration import rough

REFRESH_SECONDS = 30
"""How often a browser without JavaScript reads the page anew."""

Value = Mapping[str, Any]

FIELDS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""The header fields of the page."""

_RESULTS = {"installed": "ok", "unchanged": "ok", "failed": "bad", "stopped": "warn"}


async def page(told: Value, part: str, form: Form, explanation: str, refresh: bool, turns: Turns) -> str:
    """The whole page.

    ``told`` is the status, of clusters with ``part`` in their names. ``form`` and ``explanation`` (HTML) are what was
    asked and the answer, both empty for nothing. ``refresh``: a browser without JavaScript reads the page anew.
    """
    pieces = []
    for piece in _pieces(told, part, form, explanation, refresh):
        pieces.append(piece)
        await turns.pause()
    return "".join(pieces)


def _pieces(told: Value, part: str, form: Form, explanation: str, refresh: bool) -> Iterator[str]:
    again = f'<noscript><meta http-equiv="refresh" content="{REFRESH_SECONDS}"></noscript>' if refresh else ""
    state = "Serving" if told["ready"] else "Not ready"
    yield f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{state}: meshproxy</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">{again}<style>{STYLE}</style></head><body>
<a class="skip" href="#clusters">Skip to clusters</a>
<header><h1>meshproxy</h1><div id="state" data-live>{word("ok" if told["ready"] else "bad", state)}</div>
<nav aria-label="Parts of this page"><ul><li><a href="#clusters">Clusters</a></li><li><a href="#routes">Routes</a></li>
<li><a href="#reload">Configuration</a></li><li><a href="#explain-title">Explain</a></li></ul></nav></header><main>"""
    yield _overview(told, part)
    yield from clusters_section(told, part)
    yield from routes_section(told)
    yield _configuration(told["configuration"], told["time"])
    yield explain_section(form, explanation)
    at = datetime.fromtimestamp(told["time"], UTC)
    yield f"""</main><footer><p id="updated" data-live>meshproxy {text(told["meshproxy"])}, state of
<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{at:%H:%M:%S} UTC</time></p>
<button class="plain" id="pause" type="button" aria-pressed="false" hidden>Pause updates</button>
<p id="connection" class="bad" role="status" hidden>The gateway does not answer; it is asked again.</p>
{_without_script(refresh)}
<nav aria-label="For programs"><ul><li><a href="/status">JSON</a></li>
<li><a href="/metrics">Metrics</a></li><li><a href="/drain">Draining</a></li></ul></nav></footer>
<script>{SCRIPT}</script></body></html>
"""


def _without_script(refresh: bool) -> str:
    if refresh:
        words = f'Read anew every {REFRESH_SECONDS} s; <a href="/?every=0">not while I write</a>.'
    else:
        words = 'Not read anew by itself; <a href="/">do so</a>.'
    return f"<noscript><p>{words}</p></noscript>"


def _overview(told: Value, part: str) -> str:
    clusters = told["clusters"]
    endpoints = [endpoint for cluster in clusters for endpoint in cluster["endpoints"]]
    healthy = sum(endpoint["state"] == "healthy" for endpoint in endpoints)
    beyond = sum(cluster["endpoints_left_out"] for cluster in clusters)
    left_out = f"<small>{number(beyond)} more not looked at</small>" if beyond else ""
    configuration = told["configuration"]
    installed = configuration["installed_at"]
    when = "" if installed is None else f"<small>installed {since(installed, told['time'])} ago</small>"
    ports = ", ".join(str(listener["port"]) for listener in told["listeners"][:8])
    more = ", …" if len(told["listeners"]) > 8 else ""
    facts = (
        ("Endpoints healthy", f"{number(healthy)} of {number(len(endpoints))}{left_out}"),
        ("Clusters that are shown" if part else "Clusters", number(len(clusters))),
        ("Requests under way", number(sum(cluster["requests"] for cluster in clusters))),
        ("Listeners", f"{number(len(told['listeners']))}<small>{_ports(ports + more)}</small>"),
        ("Configuration", f"{configuration['generation']}{when}"),
        ("Up for", f"{rough(told['uptime'])}<small>{count(told['processes'], 'process', 'es')}</small>"),
    )
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    return (
        '<section id="overview" data-live aria-label="Overview"><div class="lead" role="status">'
        f'{_summary(told, part)}</div><dl class="facts">{cells}</dl></section>'
    )


def _ports(words: str) -> str:
    return f"port{'s' if ',' in words else ''} {words}" if words else "none"


def _summary(told: Value, part: str) -> str:
    """What one has to know, in a sentence or two; it changes only when that does."""
    troubles = []
    last = told["configuration"]["last_reload"]
    if not told["ready"]:
        troubles.append(note("bad", "<p>The gateway does not take requests at present.</p>"))
    if last is not None and last["result"] == "failed":
        troubles.append(
            note(
                "bad",
                "<p>The last reload <strong>failed</strong>; what was there before is served on. "
                '<a href="#reload">What is wrong</a></p>',
            )
        )
    names = [
        f"{text(cluster['host'])} ({number(away)})"
        for cluster in told["clusters"]
        if (away := sum(endpoint["state"] != "healthy" for endpoint in cluster["endpoints"]))
    ]
    if names:
        more = f" and {count(len(names) - 5, 'more cluster')}" if len(names) > 5 else ""
        troubles.append(note("warn", f"<p>Endpoints that are not healthy: {', '.join(names[:5])}{more}.</p>"))
    return "".join(troubles) or f"<p>All is well{' with these clusters' if part else ''}.</p>"


def _configuration(told: Value, now: float) -> str:
    last = told["last_reload"]
    parts = [f"<p>Generation {told['generation']} is served: {count(told['documents'], 'document')}"]
    if told["installed_at"] is not None:
        parts.append(f", installed {since(told['installed_at'], now)} ago")
    digest = f", digest <code>{text(told['digest'][:12])}</code>" if told["digest"] else ""
    parts.append(f"{digest}.</p>")
    if last is None:
        parts.append('<p class="quiet">It has not been reloaded.</p>')
    else:
        parts.append(
            f"<p>Last reload: {word(_RESULTS[last['result']], last['result'])} {since(last['at'], now)} ago</p>"
        )
        parts.append(_findings(last["findings"]) or (f"<pre>{text(last['error'])}</pre>" if last["error"] else ""))
    if told["warnings"]:
        parts.append(f"<h3>{count(told['warnings'], 'warning')} of what is served</h3>{_findings(told['findings'])}")
    return (
        '<section id="reload" data-live aria-labelledby="reload-title"><h2 id="reload-title">Configuration</h2>'
        f'<div class="card"><div class="body">{"".join(parts)}</div></div></section>'
    )


def _findings(findings: list[Value]) -> str:
    """A list, errors first."""
    items = []
    for finding in sorted(findings, key=lambda it: it["severity"] != "error"):
        at = f"{finding['file']}:{finding['line']}:{finding['column']}" if finding["file"] else ""
        kind = "bad" if finding["severity"] == "error" else "warn"
        hint = f'<span class="why">{text(finding["hint"])}</span>' if finding["hint"] else ""
        code = f" {text(finding['code'])}" if finding["code"] else ""
        items.append(
            f"<li>{word(kind, finding['severity'])} {text(finding['message'])}"
            f'<br><code class="place">{place(at)}{code}</code>{hint}</li>'
        )
    return f'<ul class="findings">{"".join(items)}</ul>' if items else ""


__all__ = ["FIELDS", "REFRESH_SECONDS", "page"]
