"""What changes for requests between two configurations: listeners, routes, clusters, and the sessions that move.

Rules: what no request could notice is no difference (the order of documents, a comment, a subset nobody uses). A
cluster's sessions are compared where both configurations choose by a hash key; where the key itself is another one,
each session is chosen anew and the share that moves is the expected one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

import attrs
from attrs import asdict, frozen

from meshproxy.explain.changewords import changes_of
from meshproxy.explain.keyspace import (
    Movement,
    Shares,
    expected_movement,
    least_movement,
    movement,
    sample_hashes,
    shares,
)
from meshproxy.explain.routewords import action_parts, condition_words, key_words
from meshproxy.explain.texts import place
from meshproxy.model import Cluster, Snapshot
from meshproxy.routes import Forward, Route
from meshproxy.routing import RouteTable

VERSION = 1
_BUILT = frozenset({"endpoints", "builder", "balancer", "name"})  # what other lines tell of a cluster
_Line = tuple[str, tuple[str, ...]]  # a route's condition, and the parts of what it does
_MOST_COMPARED = 2000  # routes of a host beyond which only sets of them are compared


@frozen
class RouteChange:
    """A route that is only in the old configuration (``removed``) or only in the new one, or at another place in it.

    ``parts`` are those of which ``action`` is made.
    """

    listener: str
    virtual_host: str
    removed: bool
    condition: str
    action: str
    place: str
    parts: tuple[str, ...] = ()


@frozen
class ClusterChange:
    """A cluster of which something changes: in words, and the sessions that move, None where none are kept."""

    name: str
    words: tuple[str, ...]
    movement: Movement | None = None
    before: Shares | None = None
    after: Shares | None = None


@frozen
class Difference:
    """All that changes from one configuration to another."""

    listeners: tuple[str, ...]
    routes: tuple[RouteChange, ...]
    clusters: tuple[ClusterChange, ...]

    @property
    def most_moved(self) -> float:
        """The largest share of a cluster's sessions that moves."""
        return max((it.movement.moved for it in self.clusters if it.movement is not None), default=0.0)

    @property
    def is_empty(self) -> bool:
        """Whether no request could notice anything."""
        return not (self.listeners or self.routes or self.clusters)

    def as_json(self) -> dict[str, Any]:
        """The difference as JSON-like values."""
        found = {"version": VERSION, **asdict(self)}
        for cluster in found["clusters"]:
            moved = cluster["movement"]
            if moved is not None:
                moved["pairs"] = [
                    {"from": old, "to": new, "share": share} for (old, new), share in moved["pairs"].items()
                ]
        return found


def difference(old: Snapshot, new: Snapshot, samples: int) -> Difference:
    """What changes from ``old`` to ``new``; ``samples``: how many hashes are compared for each cluster."""
    before, after = _Side(old), _Side(new)
    listeners = [f"- listener {name}" for name in before.tables if name not in after.tables]
    listeners += [f"+ listener {name}" for name in after.tables if name not in before.tables]
    routes: list[RouteChange] = []
    for name in dict.fromkeys([*before.tables, *after.tables]):
        routes += _routes(name, before.tables.get(name, {}), after.tables.get(name, {}))
    clusters = _Clusters(before, after, samples).changes()
    return Difference(tuple(listeners), tuple(routes), tuple(clusters))


class _Side:
    """One of the two configurations."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.clusters = snapshot.clusters
        self._origins = snapshot.origins
        self.tables: dict[str, dict[str, Sequence[Route]]] = {}
        self.keys: dict[str, set[str]] = {}
        for listener in snapshot.listeners:
            table = listener.routes
            hosts = table.virtual_hosts if isinstance(table, RouteTable) else ()
            self.tables[f"{listener.bind or '*'}:{listener.port}"] = {it.host: it.routes for it in hosts}
            for route in {route for host in hosts for route in host.routes}:
                if isinstance(route.action, Forward):
                    words = ", ".join(key_words(route.action))
                    for destination in route.action.destinations:
                        self.keys.setdefault(destination.cluster, set()).add(words)

    def strategy(self, cluster: str) -> str:
        """The name of a cluster's way of choosing endpoints."""
        origin = self._origins.get(cluster)
        return "load balancer" if origin is None else origin.strategy


def _routes(
    listener: str, old: Mapping[str, Sequence[Route]], new: Mapping[str, Sequence[Route]]
) -> Iterable[RouteChange]:
    for host in dict.fromkeys([*old, *new]):
        before, after = old.get(host, ()), new.get(host, ())
        lines_before = [_line(route) for route in before]
        lines_after = [_line(route) for route in after]
        if lines_before == lines_after:
            continue
        for removed, number in _edits(lines_before, lines_after):
            route = (before if removed else after)[number]
            condition, parts = (lines_before if removed else lines_after)[number]
            yield RouteChange(listener, host, removed, condition, ", ".join(parts), place(route.location), parts)


def _line(route: Route) -> _Line:
    return condition_words(route), tuple(action_parts(route))


def _edits(old: Sequence[_Line], new: Sequence[_Line]) -> Iterable[tuple[bool, int]]:
    """Whether a line goes (else it comes), and its number in its own list."""
    if max(len(old), len(new)) > _MOST_COMPARED:
        kept = {*old} & {*new}
        yield from ((True, number) for number, line in enumerate(old) if line not in kept)
        yield from ((False, number) for number, line in enumerate(new) if line not in kept)
        return
    for kind, old_start, old_end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            yield from ((True, number) for number in range(old_start, old_end))
            yield from ((False, number) for number in range(new_start, new_end))


class _Clusters:
    def __init__(self, before: _Side, after: _Side, samples: int) -> None:
        self._before = before
        self._after = after
        self._samples = samples

    @cached_property
    def _hashes(self) -> list[int]:
        return sample_hashes(self._samples)

    def changes(self) -> Iterable[ClusterChange]:
        before, after = self._before, self._after
        for name in dict.fromkeys([*before.clusters, *after.clusters]):
            old, new = before.clusters.get(name), after.clusters.get(name)
            if old is None or new is None:
                found = new if old is None else old
                assert found is not None
                count = f"{len(found.endpoints or found.targets)} endpoints"
                yield ClusterChange(name, (f"{'new' if old is None else 'gone'}, {count}",))
            elif old is not new:
                change = self._change(name, old, new)
                if change.words or change.movement is not None:
                    yield change

    def _change(self, name: str, old: Cluster, new: Cluster) -> ClusterChange:
        old_keys, new_keys = (side.keys.get(name, set()) for side in (self._before, self._after))
        strategies = [side.strategy(name) for side in (self._before, self._after)]
        words = list(_words(old, new, *strategies))
        rekeyed = old_keys != new_keys
        if rekeyed:
            words.append(f"hash key {_shown(old_keys)} -> {_shown(new_keys)}")
        hashed = old.balancer.uses_hash and new.balancer.uses_hash and any(old_keys) and any(new_keys)
        same = old.endpoints == new.endpoints and old.builder == new.builder
        if not hashed or not old.endpoints or not new.endpoints or (same and not rekeyed):
            return ClusterChange(name, tuple(words))
        before = shares(old.balancer, old.endpoints, self._hashes)
        after = shares(new.balancer, new.endpoints, self._hashes)
        if rekeyed:
            least = least_movement(old.endpoints, new.endpoints)
            moved = Movement(expected_movement(before, after), least, {})
        else:
            moved = movement(old.balancer, old.endpoints, new.balancer, new.endpoints, self._hashes)
        return ClusterChange(name, tuple(words), moved, before, after)


def _words(old: Cluster, new: Cluster, old_strategy: str, new_strategy: str) -> Iterable[str]:
    yield from _endpoint_words(old, new)
    if old_strategy != new_strategy:
        yield f"load balancer {old_strategy} -> {new_strategy}"
    elif old.builder != new.builder:
        yield from changes_of(new_strategy, old.builder, new.builder)
    for field in attrs.fields(Cluster):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if field.name not in _BUILT and before != after:
            yield from changes_of(field.name.replace("_", " "), before, after)


def _endpoint_words(old: Cluster, new: Cluster) -> Iterable[str]:
    before = {endpoint.key: endpoint for endpoint in old.endpoints}
    after = {endpoint.key: endpoint for endpoint in new.endpoints}
    for sign, some, others in (("-", before, after), ("+", after, before)):
        yield from (f"{sign} endpoint {key}" for key in some if key not in others)
    for key in sorted(before.keys() & after.keys()):
        if before[key].weight != after[key].weight:
            yield f"endpoint {key}: weight {before[key].weight} -> {after[key].weight}"
    if not new.balancer.uses_hash and before.keys() == after.keys() and list(before) != list(after):
        yield "the order of the endpoints"


def _shown(keys: set[str]) -> str:
    return " or ".join(sorted(key or "none" for key in keys)) or "none"
