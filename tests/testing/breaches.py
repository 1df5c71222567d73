"""Strategies that keep the contracts, and others that break them, each in one way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from meshproxy.hashing import xxh64
from meshproxy.interfaces import (
    HashKey,
    IContinues,
    IDescribes,
    IHashKey,
    ILoadBalancer,
    ILoadBalancerBuilder,
    IObservesLoad,
    IRequest,
    IShowsKey,
)
from meshproxy.model import Endpoint
from meshproxy.testing import FakeRequest, HashKeyContract, LoadBalancerContract

_asked = Counter()


@implementer(IHashKey, IShowsKey)
@frozen
class UserKey:
    """A hash key without fault. ``found`` makes what a breach wants of the value."""

    found: Callable[[bytes], Any] = xxh64
    terminal: Any = False

    def evaluate(self, request: IRequest) -> HashKey | None:
        values = request.header_values(b"x-user")
        return HashKey(self.found(values[0])) if values else None

    def key_text(self, request: IRequest) -> bytes | None:
        values = request.header_values(b"x-user")
        return values[0] if values else None


class UserKeyTests(HashKeyContract, SynchronousTestCase):
    """The contract, kept; breaches are made of this below."""

    def make_key(self) -> IHashKey:
        return UserKey()

    def requests_with_key(self) -> Sequence[IRequest]:
        return [FakeRequest([(b"x-user", value)]) for value in (b"ann", b"bob")]


def negative(value: bytes) -> int:
    return -xxh64(value)


def counting(value: bytes) -> int:
    _asked[value] += 1
    return xxh64(value) ^ _asked[value]


def slow(value: bytes) -> int:
    return xxh64(value) ^ sum(number for number in range(1000)) & 0


def of_process(value: bytes) -> int:
    return hash(value) & 0xFFFFFFFF


class OfProcessTests(UserKeyTests):
    """A hash that is another one in each process."""

    def make_key(self) -> IHashKey:
        return UserKey(of_process)


class InsistingKey(UserKey):
    def evaluate(self, request: IRequest) -> HashKey | None:
        return HashKey(xxh64(request.header_values(b"x-user")[0]))


class UnequalKey(UserKey):
    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None


class ShowingKey(UserKey):
    def key_text(self, request: IRequest) -> bytes | None:
        return b"always"


class CookieKey(UserKey):
    def evaluate(self, request: IRequest) -> HashKey | None:
        return HashKey(7, b"user=another; Path=/")


@implementer(ILoadBalancer)
class ByRemainder:
    """A load balancer without fault, though not a good one."""

    uses_hash: Any = True

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = list(endpoints)

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        count = len(self.endpoints)
        return self.endpoints[(hash + attempt) % count] if count else None

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        count = len(self.endpoints)
        return (self.endpoints[(hash + attempt) % count] for attempt in range(count))


@implementer(ILoadBalancerBuilder)
@frozen
class Builder:
    kind: Callable[[Sequence[Endpoint]], Any] = ByRemainder

    def build(self, endpoints: Sequence[Endpoint]) -> Any:
        return self.kind(endpoints)


class UnequalBuilder(Builder):
    """A builder that is equal to itself only."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None


class ByRemainderTests(LoadBalancerContract, SynchronousTestCase):
    """The contract, kept."""

    def make_builder(self) -> ILoadBalancerBuilder:
        return Builder()


class NotEmpty(ByRemainder):
    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        return self.endpoints[(hash + attempt) % len(self.endpoints)]


class Inventing(ByRemainder):
    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        return Endpoint("192.0.2.1", 80) if attempt > 5 and self.endpoints else super().pick(hash, attempt)


class Twice(ByRemainder):
    def candidates(self, hash: int) -> Iterator[Endpoint]:
        yield from super().candidates(hash)
        yield from self.endpoints[:1]


class Other(ByRemainder):
    def candidates(self, hash: int) -> Iterator[Endpoint]:
        return reversed(list(super().candidates(hash)))


class Moving(ByRemainder):
    turn = 0

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        self.turn += 1
        return super().candidates(hash + self.turn)

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        return super().pick(hash + self.turn, attempt)


class Turning(ByRemainder):
    turn = 0

    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        self.turn += 1
        return super().pick(hash + self.turn - 1, attempt)

    def candidates(self, hash: int) -> Iterator[Endpoint]:
        return super().candidates(hash + self.turn)


class Emptying(ByRemainder):
    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        super().__init__(endpoints)
        if isinstance(endpoints, list):
            endpoints.clear()


class Searching(ByRemainder):
    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        for number, endpoint in enumerate(self.endpoints):
            if number == (hash + attempt) % len(self.endpoints):
                return endpoint
        return None


@implementer(IObservesLoad)
class Loaded(ByRemainder):
    def pick_with_load(self, hash: int, attempt: int, active: Callable[[Endpoint], int]) -> Endpoint | None:
        busy = any(map(active, self.endpoints))
        return Endpoint("192.0.2.1", 80) if busy else self.pick(hash, attempt)


@implementer(IContinues)
class Continuing(ByRemainder):
    def continue_from(self, previous: Any) -> None:
        self.endpoints = previous.endpoints


@implementer(IDescribes)
class Describing(ByRemainder):
    def describe(self) -> Any:
        return {"endpoints": self.endpoints}


def user_key(config: Any) -> IHashKey:
    """A key without settings."""
    config.fields()
    return UserKey()


class FailingKey(UserKey):
    def evaluate(self, request: IRequest) -> HashKey | None:
        raise ZeroDivisionError


def failing_key(config: Any) -> IHashKey:
    """A key that fails on each request."""
    return FailingKey()


class First(ByRemainder):
    def pick(self, hash: int, attempt: int) -> Endpoint | None:
        return self.endpoints[0]


def first_endpoint(config: Any) -> ILoadBalancerBuilder:
    """A balancer that has a favourite."""
    return Builder(First)
