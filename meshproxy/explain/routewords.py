"""What a route does, in one line of words: for comparing configurations, and for pages that list routes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from meshproxy.conditions import conditions
from meshproxy.explain.texts import text
from meshproxy.routes import (
    ALWAYS,
    DirectResponse,
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


def action_words(route: Route) -> str:
    """What is done then: everything that a client or an endpoint could notice."""
    action = route.action
    parts = [] if not route.name else [f"as {route.name}"]
    fault = route.fault
    if fault is not None:
        if fault.delay:
            parts.append(f"delay {fault.delay:g} s for {_percent(fault.delay_share)}")
        status = fault.abort_status or fault.abort_grpc_status
        if status is not None:
            parts.append(f"abort with {status} for {_percent(fault.abort_share)}")
    if isinstance(action, Redirect):
        parts.append(_redirect(action))
    elif isinstance(action, DirectResponse):
        body = f" with a body of {len(action.body)} bytes" if action.body else ""
        parts.append(f"answer {action.status}{body}")
    else:
        parts += _forward(action)
    parts += _header_words("response", route.response_headers)
    return ", ".join(parts)


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
    total = sum(destination.weight for destination in action.destinations)
    for destination in action.destinations:
        share = "" if len(action.destinations) == 1 else f"{100 * destination.weight / total:.4g}% "
        yield f"{share}to {destination.cluster}"
        yield from _destination(destination)
    yield from (f"keyed by {words}" for words in key_words(action))
    if action.timeout:
        yield f"timeout {action.timeout:g} s"
    yield _retries(action.retries)
    for mirror in action.mirrors:
        yield f"{_percent(mirror.share)} mirrored to {mirror.cluster}"
    if action.cors is not None:
        yield f"CORS by {action.cors!r}"


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


def _retries(policy: RetryPolicy | None) -> str:
    if policy is None or policy.attempts <= 0:
        return "no retries"
    words = ",".join([*sorted(policy.conditions), *map(str, sorted(policy.statuses))])
    limit = f" of {policy.per_try_timeout:g} s" if policy.per_try_timeout else ""
    elsewhere = " elsewhere" if policy.avoid_previous_hosts else ""
    return f"{policy.attempts} retries{limit}{elsewhere} on {words}"


def _percent(share: int) -> str:
    return f"{100 * share / ALWAYS:g}%"
