"""What is not told to everybody who may ask a gateway, though its configuration says it.

Rules: a field whose name says that it has a credential shows no value that a route sets or compares it with. What a
request was asked about with is the asker's own and shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import evolve

from meshproxy.explain.values import Destination, Explanation, FoundKey, HeaderChange

_CREDENTIAL = re.compile(r"auth|cookie|token|secret|passw|pwd|key|session|signature|credential|jwt", re.IGNORECASE)
# As ``conditions.Condition`` has them as text.
_CONDITION = re.compile(r'((?:not: )?(?:header|query parameter) (.+?)) (?:is|starts with|matches) ".*"', re.DOTALL)
_OPERATION = re.compile(r"((?:set|add) ([^:]+)): .*", re.DOTALL)
_HIDDEN = "(not shown)"


def is_credential(name: str) -> bool:
    """Whether a field of this name may have what is secret."""
    return _CREDENTIAL.search(name) is not None


def condition_without_secret(words: str) -> str:
    """A condition of a route, in words."""
    match = _CONDITION.fullmatch(words)
    return f"{match[1]} has a value {_HIDDEN}" if match is not None and is_credential(match[2]) else words


def without_secrets(explanation: Explanation) -> Explanation:
    """The same explanation for who need not know the configuration."""
    routes = tuple(
        evolve(route, held=_conditions(route.held), failed=_conditions(route.failed)) for route in explanation.routes
    )
    forward = explanation.forward
    if forward is not None:
        forward = evolve(forward, destinations=tuple(map(_destination, forward.destinations)))
    return evolve(explanation, routes=routes, forward=forward)


def _conditions(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(condition_without_secret, words))


def _destination(destination: Destination) -> Destination:
    return evolve(
        destination,
        keys=tuple(_key(key, destination.request_changes) for key in destination.keys),
        request_changes=tuple(map(_change, destination.request_changes)),
        response_changes=tuple(map(_operation, destination.response_changes)),
    )


def _key(key: FoundKey, changes: Iterable[HeaderChange]) -> FoundKey:
    """Keys are looked for in the request as the route changes it, so one may have found what the route sets."""
    hidden = any(
        key.value and change.after and key.value in change.after and key.value not in (change.before or "")
        for change in changes
        if is_credential(change.name)
    )
    return evolve(key, value=_HIDDEN) if hidden else key


def _change(change: HeaderChange) -> HeaderChange:
    return evolve(change, after=_HIDDEN) if change.after is not None and is_credential(change.name) else change


def _operation(words: str) -> str:
    match = _OPERATION.fullmatch(words)
    return f"{match[1]}: {_HIDDEN}" if match is not None and is_credential(match[2]) else words


__all__ = ["condition_without_secret", "without_secrets"]
