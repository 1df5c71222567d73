"""What a route does, in one line of words: for comparing configurations, and for pages that list routes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from meshproxy.conditions import conditions
from meshproxy.explain.changewords import shown
from meshproxy.explain.texts import text
from meshproxy.routes import (
    ALWAYS,
    DirectResponse,
    Fault,
    Forward,
    HeaderOperations,
    Redirect,
    RetryPolicy,
    Route,
    WeightedDestination,
)


def condition_words(route: Route) -> str:
    """What has to be so for the route to match."""
    return " and ".join(map(str, conditions(route.match))) or "every request"


def action_parts(route: Route) -> list[str]:
    """What is done then, in parts: everything that a client or an endpoint could notice."""
    action = route.action
    parts = [] if not route.name else [f"as {route.name}"]
    parts += _fault(route.fault)
    parts += _forward(action) if isinstance(action, Forward) else [_answer(action)]
    parts += _header_words("response", route.response_headers)
    return parts


def brief_words(route: Route) -> str:
    """Where requests go then, and by which keys; without changes of headers, whose values may be secret."""
    action = route.action
    parts = list(_fault(route.fault))
    if isinstance(action, Forward):
        parts += [words for words, _ in _shares(action)]
        parts += dict.fromkeys(f"keyed by {origin.name}" for origin in action.key_origins)
        parts += [f"{_percent(mirror.share)} mirrored to {mirror.cluster}" for mirror in action.mirrors]
    else:
        parts.append(_answer(action))
    return ", ".join(parts)


def _fault(fault: Fault | None) -> Iterable[str]:
    if fault is None:
        return
    if fault.delay:
        yield f"delay {fault.delay:g} s for {_percent(fault.delay_share)}"
    status = fault.abort_status or fault.abort_grpc_status
    if status is not None:
        yield f"abort with {status} for {_percent(fault.abort_share)}"


def _answer(action: Redirect | DirectResponse) -> str:
    if isinstance(action, Redirect):
        return _redirect(action)
    return f"answer {action.status}" + (f" with a body of {len(action.body)} bytes" if action.body else "")


def key_words(action: Forward) -> list[str]:
    """Each hash key by its name, with the settings that are not their defaults."""
    return [
        f"{origin.name}({', '.join(_settings(key))})"
        for key, origin in zip(action.hash_policy, action.key_origins, strict=True)
    ]


def _settings(strategy: Any) -> Iterable[str]:
    if not attrs.has(type(strategy)):
        yield repr(strategy)
        return
    for field in attrs.fields(type(strategy)):
        value = getattr(strategy, field.name)
        if field.repr and value != field.default:
            yield f"{field.name}={value}"


def _redirect(action: Redirect) -> str:
    scheme = f"{action.scheme}://" if action.scheme else ""
    port = "" if action.port is None else f":{action.port}"
    path = "" if action.path is None else action.path
    if action.prefix_length is not None:
        path = f"{path} for the first {action.prefix_length} bytes"
    return f"redirect with {action.status} to {scheme}{action.authority or ''}{port}{path}".rstrip()


def _forward(action: Forward) -> Iterable[str]:
    for words, destination in _shares(action):
        yield words
        yield from _destination(destination)
    yield from (f"keyed by {words}" for words in key_words(action))
    if action.timeout:
        yield f"timeout {action.timeout:g} s"
    yield _retries(action.retries)
    for mirror in action.mirrors:
        yield f"{_percent(mirror.share)} mirrored to {mirror.cluster}"
    if action.cors is not None:
        yield f"CORS with {shown(action.cors)}"


def _shares(action: Forward) -> Iterable[tuple[str, WeightedDestination]]:
    total = sum(destination.weight for destination in action.destinations)
    for destination in action.destinations:
        share = "" if len(action.destinations) == 1 else f"{100 * destination.weight / total:.4g}% "
        yield f"{share}to {destination.cluster}", destination


def _destination(destination: WeightedDestination) -> Iterable[str]:
    rewrite = destination.rewrite
    if rewrite is not None:
        if rewrite.regex is not None:
            yield f"path rewritten from {rewrite.regex!r} to {rewrite.substitution!r}"
        elif rewrite.path is not None:
            yield f"path rewritten to {rewrite.path!r}" + ("" if rewrite.whole else " where it matched")
        if rewrite.authority is not None:
            yield f"host rewritten to {rewrite.authority!r}"
    yield from _header_words("request", destination.request_headers)
    yield from _header_words("response", destination.response_headers)


def _header_words(direction: str, levels: Iterable[HeaderOperations]) -> Iterable[str]:
    for level in levels:
        yield from (f"{direction} header {text(name)} removed" for name in level.remove)
        yield from (f"{direction} header {text(name)} set to {value!r}" for name, value in level.set)
        yield from (f"{direction} header {text(name)} added as {value!r}" for name, value in level.add)
        if level.authority is not None:
            yield f"host replaced by {level.authority!r}"


def _retries(policy: RetryPolicy | None) -> str:
    if policy is None or policy.attempts <= 0:
        return "no retries"
    words = ",".join([*sorted(policy.conditions), *map(str, sorted(policy.statuses))])
    limit = f" of {policy.per_try_timeout:g} s" if policy.per_try_timeout else ""
    elsewhere = " elsewhere" if policy.avoid_previous_hosts else ""
    return f"{policy.attempts} retries{limit}{elsewhere} on {words}"


def _percent(share: int) -> str:
    return f"{100 * share / ALWAYS:g}%"
