"""An access log asked again: which endpoint its requests would reach by one configuration and by another.

Lines are read in Istio's default text format, or as JSON with the names that Istio's default JSON has; further header
fields of the requests, such as a cookie, come from a JSON log that has them under other names. A line that is none of
these is counted and left out.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshproxy.explain.asked import Asked, parse_asked
from meshproxy.explain.explaining import explain

if TYPE_CHECKING:
    from meshproxy.http.gateway import Gateway

_QUOTED = r'(?:[^"\\]|\\.)*'
_TEXT = re.compile(
    rf'\[[^]]*\] "(?P<method>\S+) (?P<path>\S+) \S+" \S+ \S+ \S+ \S+ "{_QUOTED}" \S+ \S+ \S+ \S+ '
    rf'"{_QUOTED}" "(?P<user_agent>{_QUOTED})" "{_QUOTED}" "(?P<authority>{_QUOTED})" "{_QUOTED}" \S+ \S+ '
    r"(?P<downstream_local_address>\S+) (?P<downstream_remote_address>\S+) \S+ \S+\s*"
)
_ABSENT = "-"
_HEADERS = {"user_agent": "user-agent"}


@frozen
class Replayed:
    """What became of a log's requests. ``moved``: to another endpoint; ``pairs`` has which, with their numbers.

    ``undecided``: the endpoint does not follow from what the log has of the request. ``changed``: to another cluster or
    answer. ``unread``: lines that are no requests.
    """

    requests: int
    moved: int
    changed: int
    undecided: int
    unread: int
    pairs: Mapping[tuple[str, str], int]

    @property
    def share(self) -> float:
        """The share of the requests that moves or changes."""
        return (self.moved + self.changed) / self.requests if self.requests else 0.0


def replay(old: Gateway, new: Gateway, lines: Iterable[str], headers: Mapping[str, str]) -> Replayed:
    """Ask both gateways; ``headers`` has the names of JSON values by the names of the header fields they are."""
    ports = {listener.port for listener in (old.snapshot.listeners if old.snapshot is not None else ())}
    asked: Counter[Asked | None] = Counter(_request(line, headers, ports) for line in lines if line.strip())
    unread = asked.pop(None, 0)
    counts: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for request, times in asked.items():
        assert request is not None
        before, after = _outcome(old, request), _outcome(new, request)
        if before == after:
            kind = "undecided" if before[1] is None else "kept"
        elif before[0] != after[0]:
            kind = "changed"
        elif before[1] is None or after[1] is None:
            kind = "undecided"
        else:
            kind = "moved"
            pairs[before[1], after[1]] += times
        counts[kind] += times
    ordered = dict(pairs.most_common())
    return Replayed(sum(asked.values()), counts["moved"], counts["changed"], counts["undecided"], unread, ordered)


def _outcome(gateway: Gateway, asked: Asked) -> tuple[object, str | None]:
    """What takes the request (clusters with their shares, or an answer), and its endpoint if that follows from it."""
    try:
        explanation = explain(gateway, asked, brief=True)
    except ValueError:
        return "no listener", ""
    forward = explanation.forward
    if forward is None:
        return explanation.answer, ""
    taken = tuple((it.cluster, it.percent) for it in forward.destinations)
    endpoints = [None if it.drawn else it.endpoint or it.why for it in forward.destinations]
    return taken, endpoints[0] if len(endpoints) == 1 else None


def _request(line: str, headers: Mapping[str, str], ports: Collection[int]) -> Asked | None:
    if line.startswith("{"):
        try:
            found = json.loads(line)
        except ValueError:
            return None
        return _asked(found, headers, ports) if isinstance(found, dict) else None
    match = _TEXT.fullmatch(line)
    if match is None:
        return None
    return _asked(match.groupdict(), {}, ports)


def _asked(found: Mapping[str, Any], headers: Mapping[str, str], ports: Collection[int]) -> Asked | None:
    named = {**_HEADERS, **headers}
    _, _, port = str(found.get("downstream_local_address")).rpartition(":")
    gateway_port = int(port) if port.isdecimal() and int(port) in ports else None
    lines = [f"host: {found.get('authority')}"]
    for name, header in named.items():
        value = found.get(name)
        if isinstance(value, str) and value != _ABSENT:
            lines.append(f"{header}: {value}")
    try:
        return parse_asked(
            f"{found.get('method')} {found.get('path')}",
            lines,
            str(found.get("downstream_remote_address", "")),
            gateway_port,
        )
    except ValueError:
        return None
