"""From clusters whose targets have names to clusters of addresses, kept current while they are served.

Rules: the DNS decides nothing about the pace. A cluster is rebuilt at most once in a second, and not at all where the
addresses are the same; until the new balancer is there, the old one serves. Addresses are sorted within
each target, so that all gateways build the same ring from the same answers. The first build waits a second for names
that were not answered yet.

Nothing waits for the DNS for ever: ``prepare`` and ``answered`` give up after ``FIRST_ANSWER_SECONDS``, and a cluster
without an answer has no endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import evolve
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from meshproxy.interfaces import ILoadBalancer
from meshproxy.model import UNIX_MARKS, Cluster, Endpoint, taking
from meshproxy.upstream.building import Builds
from meshproxy.upstream.names import Names, Resolver, is_routable

FIRST_ANSWER_SECONDS = 5.0
REBUILD_SECONDS = 1.0

_log = Logger()


def _is_name(endpoint: Endpoint) -> bool:
    address = endpoint.address
    return not address.startswith(UNIX_MARKS) and not isIPAddress(address) and not isIPv6Address(address)


class _Followed:
    """A cluster as it is configured and as it is served. ``settled``: all of its names had an outcome and count."""

    __slots__ = ("building", "built_at", "call", "cluster", "gone", "names", "outdated", "served", "settled")

    def __init__(self, cluster: Cluster, now: float) -> None:
        self.cluster = self.served = cluster
        self.names = frozenset(target.address for target in cluster.targets if _is_name(target))
        self.built_at = now - REBUILD_SECONDS
        self.call: IDelayedCall | None = None
        self.building: Deferred[Any] | None = None
        self.outdated = self.settled = self.gone = False

    def endpoints(self, names: Names) -> tuple[Endpoint, ...]:
        """What the targets stand for, each address once."""
        found: dict[str, Endpoint] = {}
        for target in self.cluster.targets:
            if not _is_name(target):
                found.setdefault(target.key, target)
                continue
            addresses = names.addresses(target.address)
            for address in addresses[:1] if self.cluster.logical else sorted(addresses):
                endpoint = evolve(target, address=address)
                found.setdefault(endpoint.key, endpoint)
        return tuple(found.values())


class Discovery:
    """See the head of this module.

    ``replace`` is called with a cluster that is served from now on instead of the one of the same name. ``clock``
    provides ``IReactorTime``.
    """

    def __init__(
        self,
        clock: Any,
        resolver: Resolver,
        builds: Builds,
        replace: Callable[[Cluster], None],
        routable: Callable[[str], bool] = is_routable,
    ) -> None:
        self._clock = clock
        self._builds = builds
        self._replace = replace
        self._names = Names(clock, resolver, self._changed, routable)
        self._followed: dict[str, _Followed] = {}
        self._prepared: dict[str, _Followed] = {}
        self._waiting: list[tuple[list[_Followed], Deferred[None]]] = []

    def prepare(self, clusters: Mapping[str, Cluster]) -> Deferred[None]:
        """Look up what is new in clusters that are going to be served; fires when it is there, or late."""
        for entry in self._prepared.values():
            _forget(entry)
        now = self._clock.seconds()
        self._prepared = {
            name: _Followed(cluster, now)
            for name, cluster in clusters.items()
            if cluster.targets and not self._serves(name, cluster)
        }
        self._watch()
        for entry in self._prepared.values():
            self._consider(entry)
        return self._wait(self._prepared.values())

    def follow(self, clusters: Mapping[str, Cluster]) -> Mapping[str, Cluster]:
        """What to serve by for these clusters now, and from now on. Those of before are forgotten."""
        followed: dict[str, _Followed] = {}
        for name, cluster in clusters.items():
            if cluster.targets:
                known = self._followed if self._serves(name, cluster) else self._prepared
                entry = known.get(name)
                if entry is None or entry.cluster is not cluster:
                    entry = _Followed(cluster, self._clock.seconds())
                followed[name] = entry
        kept = {id(entry) for entry in followed.values()}
        for entry in (*self._followed.values(), *self._prepared.values()):
            if id(entry) not in kept:
                _forget(entry)
        self._followed, self._prepared = followed, {}
        self._watch()
        for entry in followed.values():
            self._consider(entry)
        return {name: followed[name].served if name in followed else it for name, it in clusters.items()}

    def answered(self) -> Deferred[None]:
        """Fires when all names that are served had an outcome, or late."""
        return self._wait(self._followed.values())

    def stop(self) -> None:
        """Look up nothing any more; what is served stays as it is."""
        for entry in (*self._followed.values(), *self._prepared.values()):
            _forget(entry)
        self._followed, self._prepared = {}, {}
        self._watch()
        self._tell()

    def _serves(self, name: str, cluster: Cluster) -> bool:
        entry = self._followed.get(name)
        return entry is not None and entry.cluster is cluster

    def _watch(self) -> None:
        entries = (*self._followed.values(), *self._prepared.values())
        self._names.watch(name for entry in entries for name in entry.names)

    def _changed(self, name: str) -> None:
        for entry in (*self._followed.values(), *self._prepared.values()):
            if name in entry.names:
                self._consider(entry)

    def _consider(self, entry: _Followed) -> None:
        """Build when it is time for it, or arrange for that."""
        if entry.building is not None:
            entry.outdated = True
            return
        if entry.call is not None:
            entry.call.cancel()
            entry.call = None
        all_tried = all(map(self._names.is_tried, entry.names))
        if entry.endpoints(self._names) == entry.served.endpoints:
            entry.settled = entry.settled or all_tried
            self._tell()
            return
        now = self._clock.seconds()
        due = entry.built_at + REBUILD_SECONDS
        if not all_tried and entry.served is entry.cluster:
            due += REBUILD_SECONDS
        if due <= now:
            self._build(entry)
        else:
            entry.call = self._clock.callLater(due - now, self._build, entry)

    def _build(self, entry: _Followed) -> None:
        entry.call = None
        entry.built_at = self._clock.seconds()
        all_tried = all(map(self._names.is_tried, entry.names))
        endpoints = entry.endpoints(self._names)
        usable = taking(endpoints, entry.cluster.draining)

        def built(balancer: ILoadBalancer) -> None:
            entry.served = evolve(entry.cluster, endpoints=endpoints, balancer=balancer)
            if self._serves(entry.cluster.name, entry.cluster):
                self._replace(entry.served)

        def failed(failure: Failure) -> None:
            if not entry.gone:
                _log.failure("Cluster {name} keeps its old endpoints", failure, name=entry.cluster.name)

        def ended(_: object) -> None:
            entry.building = None
            entry.settled = entry.settled or all_tried
            if entry.outdated and not entry.gone:
                entry.outdated = False
                self._consider(entry)
            self._tell()

        building = entry.building = self._builds.run(
            entry.cluster.builder.build, usable, hurry=not entry.served.endpoints
        )
        building.addCallback(built).addErrback(failed).addCallback(ended)

    # Waiting

    def _wait(self, entries: Iterable[_Followed]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._waiting.append((list(entries), done))
        self._tell()
        if not done.called:
            late = self._clock.callLater(FIRST_ANSWER_SECONDS, self._give_up, done)
            done.addCallback(lambda _: late.cancel() if late.active() else None)
        return done

    def _tell(self) -> None:
        ready = [done for entries, done in self._waiting if all(entry.settled or entry.gone for entry in entries)]
        self._waiting = [waiting for waiting in self._waiting if waiting[1] not in ready]
        for done in ready:
            done.callback(None)

    def _give_up(self, done: Deferred[None]) -> None:
        self._waiting = [waiting for waiting in self._waiting if waiting[1] is not done]
        done.callback(None)


def _forget(entry: _Followed) -> None:
    entry.gone = True
    if entry.call is not None:
        entry.call.cancel()
        entry.call = None
    if entry.building is not None:
        entry.building.cancel()


__all__ = ["FIRST_ANSWER_SECONDS", "REBUILD_SECONDS", "Discovery"]
