"""An explanation as text for people: a column of words, a column of facts, the places at the end of the lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from meshproxy.config.diagnostics import visible
from meshproxy.explain.texts import load_words
from meshproxy.explain.values import Answer, Candidate, Destination, Explanation, Forwarding, FoundKey

_LABEL = 14
_WIDTH = 72
_MOST_ROUTES = 12
_MOST_CANDIDATES = 6
_STYLE = re.compile("\x1b\\[[0-9]*m")
_RESET, _BOLD, _DIM, _RED, _GREEN, _CYAN = "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[36m"


class Line(NamedTuple):
    """A fact, what it is about, and where that was written.

    ``label`` is empty where it is the same as before, and begins with blanks for what belongs to a destination.
    """

    label: str
    words: str
    place: str = ""


def facts(explanation: Explanation) -> Iterable[Line]:
    """The explanation line by line."""
    return _Lines(color=False).of(explanation)


def render(explanation: Explanation, color: bool = False) -> str:
    """The explanation, with colours where ``color``."""
    lines = _Lines(color)
    return "".join(f"{lines.shown(line)}\n" for line in lines.of(explanation))


class _Lines:
    def __init__(self, color: bool) -> None:
        self._color = color

    def of(self, explanation: Explanation) -> Iterable[Line]:
        request = explanation.request
        words = f"{request.method} {request.scheme}://{request.authority}{request.path}"
        yield Line("request", self._paint(_BOLD, visible(words)))
        yield Line("", f"from {request.client}" + (", path normalized" if request.normalized else ""))
        if explanation.live:
            yield Line("", "asked of the gateway that serves, in its present state")
        listener = explanation.listener
        if listener is not None:
            yield Line("listener", f"{listener.bind or 'all addresses'}, port {listener.port}", listener.place)
        if explanation.virtual_host:
            found = {"exact": "its exact name", "wildcard": "its suffix", "any": "whatever has no other"}
            how = found[explanation.virtual_host_by]
            yield Line("virtual host", f"{visible(explanation.virtual_host)} (found by {how})")
        elif explanation.listener is not None and explanation.hint:
            yield Line("virtual host", f"none; {visible(explanation.hint)}")
        yield from self._routes(explanation)
        for fault in explanation.faults:
            yield Line("fault", f"{fault.what}, {fault.percent:g}% of the requests")
        if explanation.answer is not None:
            yield from self._answer(explanation.answer)
        if explanation.forward is not None:
            yield from self._forwarding(explanation.forward)

    def _routes(self, explanation: Explanation) -> Iterable[Line]:
        routes = explanation.routes
        hidden = max(0, len(routes) - _MOST_ROUTES)
        total = len(routes) + explanation.routes_left
        label = "routes" if total > 1 else "route"
        if hidden:
            yield Line(label, self._paint(_DIM, f"({hidden} that do not match)"))
            label = ""
        for route in routes[hidden:]:
            mark = self._paint(_GREEN, "+") if route.matches else self._paint(_RED, "-")
            name = f" {visible(route.name)}" if route.name else ""
            reasons = route.held if route.matches else [f"not so: {reason}" for reason in route.failed]
            words = ", ".join(map(visible, reasons)) or "takes every request"
            yield Line(label, f"{mark} {route.number}{name}: {words}", route.place)
            label = ""
        if explanation.routes_left:
            yield Line("", self._paint(_DIM, f"({explanation.routes_left} more, not looked at)"))

    def _answer(self, answer: Answer) -> Iterable[Line]:
        flags = f", flags {answer.flags}" if answer.flags else ""
        yield Line("answer", self._paint(_BOLD, f"{answer.status}{flags} ({answer.details})"))
        if answer.reason:
            yield Line("", visible(answer.reason))
        for name, value in answer.headers:
            yield Line("", f"{visible(name)}: {visible(value)}")
        if answer.body:
            body = answer.body if len(answer.body) <= _WIDTH else answer.body[:_WIDTH] + "..."
            yield Line("body", visible(body))

    def _forwarding(self, forward: Forwarding) -> Iterable[Line]:
        limits = []
        if forward.timeout is not None:
            limits.append(f"timeout {forward.timeout:g} s")
        if forward.attempts:
            each = "" if forward.per_try_timeout is None else f", {forward.per_try_timeout:g} s each"
            limits.append(f"{forward.attempts} retries{each} on {', '.join(forward.retry_on)}")
        for cluster, percent in forward.mirrors:
            yield Line("mirror", f"{percent:g}% to {visible(cluster)}")
        if forward.cors:
            yield Line("cors", visible(forward.cors))
        if forward.tied:
            yield Line("weights", visible(forward.tied))
        for destination in forward.destinations:
            yield from self._destination(destination, len(forward.destinations) > 1)
        for limit in limits:
            yield Line("limits" if limit is limits[0] else "", limit)

    def _destination(self, destination: Destination, shared: bool) -> Iterable[Line]:
        share = f"{destination.percent:.4g}% to " if shared else ""
        yield Line("cluster", share + visible(destination.cluster))
        for change in destination.request_changes:
            before, after = (None if it is None else visible(it) for it in (change.before, change.after))
            sign = "+" if before is None else "-" if after is None else "~"
            value = before if after is None else after if before is None else f"{before} -> {after}"
            yield Line("  request", f"{sign} {visible(change.name)}: {value}")
        for operation in destination.response_changes:
            yield Line("  response", visible(operation))
        policy = destination.policy
        if policy is not None:
            source = policy.source or "default, as no DestinationRule says otherwise"
            yield Line("  strategy", visible(f"{policy.strategy} ({source})"), policy.place)
        for key in destination.keys:
            yield Line("  key", self._key(key), key.place)
        if destination.hash is not None:
            at = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in destination.at.items())
            at = at.replace(", of ", " of ")
            yield Line("  hash", destination.hash + (f", {at}" if at else ""))
        if destination.session:
            yield Line("  session", visible(destination.session))
        loads = load_words([(it.healthy_load + it.degraded_load, it.panic) for it in destination.priorities])
        if loads and (destination.endpoint is not None or destination.drawn):
            yield Line("  priorities", loads)
        yield from self._candidates(destination)
        if destination.retries:
            yield Line("  retries", "then ".join(f"{visible(it)} " for it in destination.retries).rstrip())

    def _candidates(self, destination: Destination) -> Iterable[Line]:
        """The endpoint, and in front of it those that were passed over, behind it those that would be next."""
        candidates, endpoint = list(destination.candidates), destination.endpoint
        by_hash = endpoint is not None and destination.hash is not None
        at = next((number for number, it in enumerate(candidates) if it.address == endpoint), 0) if by_hash else 0
        if endpoint is not None:
            chosen = next((it for it in candidates if it.address == endpoint), Candidate(endpoint))
            yield from self._endpoints("  passed over", candidates[:at], destination)
            words = self._paint(_BOLD, self._paint(_CYAN, visible(endpoint)))
            yield Line("  endpoint", words + self._state(chosen, destination))
        elif destination.why:
            word = "one of these" if destination.drawn else "none"
            yield Line("  endpoint", f"{word}: {visible(destination.why)}")
        label = "  candidates" if endpoint is None else "  behind it" if by_hash else "  others"
        yield from self._endpoints(label, [it for it in candidates[at:] if it.address != endpoint], destination)

    def _endpoints(self, label: str, candidates: Sequence[Candidate], destination: Destination) -> Iterable[Line]:
        for candidate in candidates[:_MOST_CANDIDATES]:
            yield Line(label, visible(candidate.address) + self._state(candidate, destination))
            label = ""
        if len(candidates) > _MOST_CANDIDATES:
            yield Line("", self._paint(_DIM, f"({len(candidates) - _MOST_CANDIDATES} more)"))

    def _state(self, candidate: Candidate, destination: Destination) -> str:
        words = []
        if candidate.priority is None and candidate.state == "healthy":
            words.append("its locality gets no requests")
        elif candidate.priority is not None and len(destination.priorities) > 1:
            words.append(f"priority {candidate.priority}")
        if candidate.state != "healthy":
            state = candidate.state + (f": {candidate.reason}" if candidate.reason else "")
            words.append(self._paint(_RED, visible(state)))
        return f" ({', '.join(words)})" if words else ""

    def _key(self, key: FoundKey) -> str:
        if key.skipped:
            return f"{key.name}: not looked at, a key before it decides"
        if key.set_cookie is not None:
            return f"{key.name}: absent; the client gets a cookie {visible(key.set_cookie)}"
        if key.hash is None:
            return f"{key.name}: absent"
        shown = f"hash {key.hash}" if key.value is None else f'"{visible(key.value)}"'
        return f"{key.name} {shown}"

    def shown(self, line: Line) -> str:
        """A line as columns."""
        start = self._paint(_DIM, f"{line.label:<{_LABEL}}") + line.words
        if not line.place:
            return start.rstrip()
        return start + " " * max(2, _WIDTH - len(_STYLE.sub("", start))) + self._paint(_DIM, visible(line.place))

    def _paint(self, style: str, words: str) -> str:
        return f"{style}{words}{_RESET}" if self._color else words
