"""What a load has come to as plain values, so that two of them can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from meshproxy.errors import ConfigError, Location
from meshproxy.model import Snapshot


def outcome(load: Callable[[], Snapshot]) -> tuple[Any, Snapshot | None]:
    """Everything that a user can see of a load, places included, and the snapshot if there is one."""
    try:
        snapshot = load()
    except ConfigError as error:
        return ("refused", picture(error.diagnostics, places=True)), None
    return ("loaded", picture(snapshot.warnings, places=True), loaded(snapshot, places=True)), snapshot


def difference(one: Any, other: Any, path: str = "") -> str:
    """The first difference of two pictures, "" if they are equal. Trial's own words about it may take minutes."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        found = (difference(*pair, f"{path}[{index}]") for index, pair in enumerate(zip(one, other, strict=True)))
        return next(filter(None, found), "")
    return "" if one == other else f"{path}: {one!r:.500} is not {other!r:.500}"


def loaded(snapshot: Snapshot, places: bool = False) -> Any:
    """The content of a snapshot."""
    listeners = [
        (it.key, picture(it.location, places), picture(it.routes.virtual_hosts, places))  # type: ignore[attr-defined]
        for it in snapshot.listeners
    ]
    return (listeners, clusters(snapshot), picture(snapshot.mesh), snapshot.documents)


def clusters(snapshot: Snapshot) -> dict[str, object]:
    """The clusters by name, without their balancers."""
    return {
        name: (it.endpoints, it.targets, it.logical, it.connect_timeout, it.builder)
        for name, it in snapshot.clusters.items()
    }


def picture(value: Any, places: bool = False) -> Any:
    """A value of a snapshot, with or without places."""
    if isinstance(value, Location):
        return str(value) if places else None
    if isinstance(value, tuple | list):
        return [picture(it, places) for it in value]
    if attrs.has(type(value)):
        fields = attrs.fields(type(value))
        return (type(value).__name__, [picture(getattr(value, it.name), places) for it in fields])
    return value
