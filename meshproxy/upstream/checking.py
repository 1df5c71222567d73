"""Active health checks: what outcomes in a row say of an endpoint. Rules without clock and I/O.

An endpoint is unhealthy until its first check has ended, which decides at once. After that, a healthy endpoint becomes
unhealthy with the last of ``unhealthy_threshold`` failures in a row, or at once by a *definite* failure: a response
with another status than is expected. An unhealthy one becomes healthy with the last of ``healthy_threshold`` successes
in a row. Source: ``health_checker_base_impl.cc`` of Envoy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from meshproxy.policies import HealthCheck


class ProbeFailed(Exception):
    """A check that was not passed; the text says why. ``definite``: the endpoint itself says that it is not healthy."""

    def __init__(self, why: str, definite: bool = False) -> None:
        super().__init__(why)
        self.definite = definite


class CheckedEndpoint:
    """The outcomes for one endpoint. ``known``: there was one. ``reason`` is that of the last failure."""

    __slots__ = ("_failures", "_successes", "healthy", "known", "reason")

    def __init__(self) -> None:
        self.healthy = self.known = False
        self.reason = ""
        self._successes = self._failures = 0

    def passed(self, policy: HealthCheck) -> bool:
        """A check was passed. Whether that changes what is known."""
        first, self.known = not self.known, True
        self._failures = 0
        if self.healthy:
            return False
        self._successes += 1
        self.healthy = first or self._successes >= policy.healthy_threshold
        return self.healthy

    def failed(self, policy: HealthCheck, failure: ProbeFailed) -> bool:
        """A check was not passed. Whether that changes what is known."""
        first, self.known = not self.known, True
        self._successes = 0
        self.reason = str(failure)
        if not self.healthy:
            return first
        self._failures += 1
        if failure.definite or self._failures >= policy.unhealthy_threshold:
            self.healthy = False
            self._failures = 0
            return True
        return False


@frozen
class Verdicts:
    """All that is known of the endpoints of a cluster: those that pass, and why others fail, by ``Endpoint.key``.

    An endpoint that is in neither was not checked yet.
    """

    cluster: str
    passing: frozenset[str] = frozenset()
    failing: Mapping[str, str] = field(factory=dict)

    def as_json(self) -> list[Any]:
        """As values that JSON has."""
        return [self.cluster, sorted(self.passing), dict(self.failing)]

    @classmethod
    def from_json(cls, value: list[Any]) -> Verdicts:
        """What ``as_json`` made."""
        cluster, passing, failing = value
        return cls(cluster, frozenset(passing), failing)


__all__ = ["CheckedEndpoint", "ProbeFailed", "Verdicts"]
