"""Host names and what the DNS last said about them.

Rules: a name is looked up again when its answer is out of date (its TTL, at least a second), or a minute after a
failure. The last good answer holds until there is another one, whatever happens; that a name is not found any more is
a failure too. A change of state, from found to not found and back, is logged once, not each attempt.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from attrs import frozen
from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.names import dns
from twisted.names.error import DNSNameError, DNSServerError, DomainError
from twisted.python.failure import Failure

SHORTEST_TTL = 1.0
FAILURE_SECONDS = 60.0
_TIMEOUTS = (1, 3, 6)
_LONGEST_LOOKUP = 45.0
_MOST_ALIASES = 8

_log = Logger()


class Resolver(Protocol):
    """The part of Twisted's ``IResolver`` that is used here."""

    def lookupAddress(self, name: str, timeout: Any = None) -> Deferred[tuple[Any, Any, Any]]:
        """The IPv4 addresses of a name."""

    def lookupIPV6Address(self, name: str, timeout: Any = None) -> Deferred[tuple[Any, Any, Any]]:
        """The IPv6 addresses of a name."""


@frozen
class Answer:
    """Addresses in canonical text, in the order in which they came, those of IPv4 first. ``ttl`` is in seconds."""

    addresses: tuple[str, ...]
    ttl: float


class NoAddress(Exception):
    """Why a name has no address."""


def is_routable(address: str) -> bool:
    """Whether this machine knows a way to an IPv6 address. Sends nothing."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as trying:
        try:
            trying.connect((address, 9))
        except OSError:
            return False
    return True


async def look_up(
    resolver: Resolver, name: str, before: tuple[str, ...] = (), routable: Callable[[str], bool] = is_routable
) -> Answer:
    """What a name stands for; raises ``NoAddress``.

    Where only one kind of address could be asked for, those of the other kind that were there ``before`` still count.
    IPv6 addresses that this machine has no way to are left out if there are others.
    """
    name = name.removesuffix(".")
    kinds = ((dns.A, resolver.lookupAddress), (dns.AAAA, resolver.lookupIPV6Address))
    asked = [Deferred.fromCoroutine(_one_kind(lookup, name, kind)) for kind, lookup in kinds]
    results: list[tuple[bool, Any]] = await DeferredList(asked, consumeErrors=True)
    addresses: list[str] = []
    ttls: list[float] = []
    reasons: list[Failure] = []
    for (good, result), is_v6 in zip(results, (False, True), strict=True):
        if good:
            addresses += result.addresses
            if result.addresses:
                ttls.append(result.ttl)
        else:
            reasons.append(result)
            if not _is_no_name(result):
                addresses += [address for address in before if (":" in address) is is_v6]
                ttls.append(FAILURE_SECONDS)
    if not any(good and result.addresses for good, result in results):
        raise NoAddress(_reason(reasons[0]) if reasons else "it has no address")
    usable = [address for address in addresses if ":" not in address or routable(address)]
    return Answer(tuple(dict.fromkeys(usable or addresses)), min(ttls))


async def _one_kind(lookup: Callable[..., Deferred[tuple[Any, Any, Any]]], name: str, kind: int) -> Answer:
    wanted = name.encode("idna").lower()
    ttls: list[float] = []
    for _ in range(_MOST_ALIASES):
        records, _, _ = await maybeDeferred(lookup, wanted.decode("ascii"), _TIMEOUTS)
        asked = wanted
        wanted, more = _end_of_aliases(records, wanted)
        ttls += more
        found = [record for record in records if record.type == kind and record.name.name.lower() == wanted]
        if found:
            ttls += [record.ttl for record in found]
            return Answer(tuple(_address(record) for record in found), min(ttls))
        if wanted == asked:
            break
    return Answer((), FAILURE_SECONDS)


def _end_of_aliases(records: Iterable[Any], name: bytes) -> tuple[bytes, list[float]]:
    aliases = {record.name.name.lower(): record for record in records if record.type == dns.CNAME}
    ttls: list[float] = []
    while name in aliases and len(ttls) < _MOST_ALIASES:
        record = aliases[name]
        ttls.append(record.ttl)
        name = record.payload.name.name.lower()
    return name, ttls


def _address(record: Any) -> str:
    family = socket.AF_INET if record.type == dns.A else socket.AF_INET6
    return socket.inet_ntop(family, record.payload.address)


def _is_no_name(failure: Failure) -> bool:
    # The base class is what a hosts file says; each error of a server has one of its own.
    return failure.check(DNSNameError) is not None or failure.type is DomainError


def _reason(failure: Failure) -> str:
    if _is_no_name(failure):
        return "there is no such name"
    if failure.check(DNSServerError):
        return "the name server failed"
    if failure.check(TimeoutError, defer.TimeoutError, defer.CancelledError):
        return "no name server answers"
    return type(failure.value).__name__


class _Watch:
    """One name. ``addresses`` is None until there was a good answer; ``tried``: there was an outcome."""

    __slots__ = ("addresses", "call", "failing", "gone", "name", "tried")

    def __init__(self, name: str) -> None:
        self.name = name
        self.addresses: tuple[str, ...] | None = None
        self.tried = self.failing = self.gone = False
        self.call: IDelayedCall | None = None


class Names:
    """Names that are watched. ``changed`` is called with a name after its first outcome and whenever it is another."""

    def __init__(
        self,
        clock: Any,
        resolver: Resolver,
        changed: Callable[[str], None],
        routable: Callable[[str], bool] = is_routable,
    ) -> None:
        self._clock = clock
        self._resolver = resolver
        self._changed = changed
        self._routable = routable
        self._watched: dict[str, _Watch] = {}

    def watch(self, names: Iterable[str]) -> None:
        """Watch these names from now on, and no others."""
        wanted = dict.fromkeys(names)
        for name in [name for name in self._watched if name not in wanted]:
            watch = self._watched.pop(name)
            watch.gone = True
            if watch.call is not None:
                watch.call.cancel()
        new = [_Watch(name) for name in wanted if name not in self._watched]
        self._watched.update((watch.name, watch) for watch in new)
        for watch in new:
            self._try(watch)

    def addresses(self, name: str) -> tuple[str, ...]:
        """The last good answer about a name; none if there was none."""
        watch = self._watched.get(name)
        return () if watch is None or watch.addresses is None else watch.addresses

    def is_tried(self, name: str) -> bool:
        """Whether there was an outcome, good or bad."""
        watch = self._watched.get(name)
        return watch is not None and watch.tried

    def _try(self, watch: _Watch) -> None:
        watch.call = None
        attempt = Deferred.fromCoroutine(look_up(self._resolver, watch.name, watch.addresses or (), self._routable))
        attempt.addTimeout(_LONGEST_LOOKUP, self._clock)
        attempt.addCallbacks(lambda answer: self._found(watch, answer), lambda failure: self._failed(watch, failure))
        attempt.addErrback(lambda failure: _log.failure("Looking up {name} failed", failure, name=watch.name))

    def _found(self, watch: _Watch, answer: Answer) -> None:
        if watch.gone:
            return
        if watch.failing:
            _log.info("{name} is found again", name=watch.name)
        self._next(watch, max(SHORTEST_TTL, answer.ttl), failing=False)
        if watch.addresses != answer.addresses:
            watch.addresses = answer.addresses
            self._changed(watch.name)

    def _failed(self, watch: _Watch, failure: Failure) -> None:
        if watch.gone:
            return
        if not watch.failing:
            why = str(failure.value) if failure.check(NoAddress) else _reason(failure)
            instead = "has no endpoint" if watch.addresses is None else "keeps its last answer"
            _log.warn("{name} is not found and {instead}: {why}", name=watch.name, instead=instead, why=why)
        first = not watch.tried
        self._next(watch, FAILURE_SECONDS, failing=True)
        if first:
            self._changed(watch.name)

    def _next(self, watch: _Watch, seconds: float, failing: bool) -> None:
        watch.tried, watch.failing = True, failing
        watch.call = self._clock.callLater(seconds, self._try, watch)
