"""A resolver that answers what a test says, when it says so."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.names import dns
from twisted.names.error import DNSNameError

Records = tuple[Any, Any, Any]


def record(name: str, value: str, ttl: int = 30) -> dns.RRHeader:
    """A record whose type is that of the value: an address of either kind, or a name, which is an alias."""
    payload: Any
    if ":" in value:
        kind, payload = dns.AAAA, dns.Record_AAAA(value, ttl)
    elif value.replace(".", "").isdigit():
        kind, payload = dns.A, dns.Record_A(value, ttl)
    else:
        kind, payload = dns.CNAME, dns.Record_CNAME(value, ttl)
    return dns.RRHeader(name, kind, dns.IN, ttl, payload)


class FakeResolver:
    """``answers`` has for each name its records, or an error; what is missing is no name.

    ``asked`` has the names in the order of the questions for IPv4. ``held``: answers wait for ``release``.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {f"{name}.test": value for name, value in answers.items()}
        self.errors: dict[tuple[str, int], Exception] = {}
        self.asked: list[str] = []
        self.held = False
        self._waiting: list[tuple[str, int, Deferred[Records]]] = []

    def lookupAddress(self, name: str, timeout: Any = None) -> Deferred[Records]:
        self.asked.append(name)
        return self._answer(name, dns.A)

    def lookupIPV6Address(self, name: str, timeout: Any = None) -> Deferred[Records]:
        return self._answer(name, dns.AAAA)

    def release(self, *names: str) -> None:
        """Answer what was asked about these names, or about all."""
        waiting, self._waiting = self._waiting, []
        held, self.held = self.held, False
        for name, kind, deferred in waiting:
            if names and name not in names:
                self._waiting.append((name, kind, deferred))
            else:
                self._answer(name, kind).chainDeferred(deferred)
        self.held = held

    def _answer(self, name: str, kind: int) -> Deferred[Records]:
        if self.held:
            deferred: Deferred[Records] = Deferred()
            self._waiting.append((name, kind, deferred))
            return deferred
        answer = self.errors.get((name, kind), self.answers.get(name))
        if answer is None or isinstance(answer, Exception):
            return fail(answer or DNSNameError())
        records = [it if isinstance(it, dns.RRHeader) else record(name, it) for it in answer]
        return succeed(([it for it in records if it.type in (kind, dns.CNAME)], [], []))
