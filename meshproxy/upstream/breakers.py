"""The circuit breakers of a cluster: how much it has under way, and whether more may be.

Rules (Envoy's ``resource_manager_impl.h``): a limit is reached when as much is under way as it says. All hosts of a
cluster share its limits. What is counted outlives a snapshot; the limits are always those of the present one.
"""

from __future__ import annotations

from meshproxy.policies import ConnectionPool


class CircuitBreakers:
    """Plain integers, compared and counted by those who use them up.

    ``connections`` has those that are being made too, ``pending`` requests that wait for a connection, ``requests``
    those that have one, ``retries`` requests whose present try is not the first. ``*_overflows`` count what a limit
    refused.
    """

    __slots__ = (
        "_retry_budget",
        "connection_overflows",
        "connections",
        "max_connections",
        "max_pending",
        "max_requests",
        "max_retries",
        "pending",
        "pending_overflows",
        "request_overflows",
        "requests",
        "retries",
        "retry_overflows",
    )

    def __init__(self, limits: ConnectionPool) -> None:
        self.connections = self.pending = self.requests = self.retries = 0
        self.connection_overflows = self.pending_overflows = self.request_overflows = self.retry_overflows = 0
        self.limit(limits)

    def limit(self, limits: ConnectionPool) -> None:
        """Have these limits from now on."""
        self.max_connections = limits.max_connections
        self.max_pending = limits.max_pending
        self.max_requests = limits.max_requests
        self.max_retries = limits.max_retries
        self._retry_budget = limits.retry_budget

    def begin_retry(self) -> bool:
        """Count one more retry, if there may be one; ``end_retry`` has to follow then."""
        if self.retries >= self._most_retries():
            self.retry_overflows += 1
            return False
        self.retries += 1
        return True

    def end_retry(self) -> None:
        """The retry has its response, or comes to nothing."""
        self.retries -= 1

    def _most_retries(self) -> int:
        budget = self._retry_budget
        if budget is None:
            return self.max_retries
        return max(int(budget.percent / 100 * (self.requests + self.pending)), budget.minimum)
