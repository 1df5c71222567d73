"""What the admin pages show: a gateway, in one process or in several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from attrs import frozen
from prometheus_client.core import Metric
from twisted.internet.defer import Deferred

from meshproxy.admin.recent import Value
from meshproxy.explain import Asked, Explanation
from meshproxy.model import ProxyIdentity
from meshproxy.reload import Reload
from meshproxy.upstream.drains import Drains
from meshproxy.upstream.traffic import Requests


@frozen
class Processes:
    """The processes that serve: how many there should be and are, and how many workers were replaced."""

    wanted: int
    serving: int
    restarts: int = 0


class NotServing(Exception):
    """There is no process at present that could tell."""


class Served(Protocol):
    """A gateway as its operator sees it. ``ready``: requests are served. ``drains``: what was asked to drain.

    ``identity``: who metrics say it is.
    """

    ready: bool
    reload: Reload
    drains: Drains
    identity: ProxyIdentity

    @property
    def listeners(self) -> int:
        """The number of listeners that are served."""

    @property
    def processes(self) -> Processes:
        """The processes that serve."""

    def traffic(self) -> Iterable[Metric]:
        """What all processes have counted, in sum, as of the last ``gather``."""

    def requests(self) -> Requests:
        """The requests of all processes, in sum, as of the last ``gather``."""

    def gather(self) -> Deferred[None]:
        """Bring ``traffic`` and ``requests`` up to date; never fails."""

    def clusters(self, part: str) -> Deferred[Sequence[list[Value]]]:
        """The clusters with ``part`` in their names, of each process that answers, as ``clusterstatus`` has them."""

    def explain(self, asked: Asked) -> Deferred[Explanation]:
        """Where a request would go now, as one of the processes sees it; it changes nothing.

        ``gateway_port`` is the port that clients connect to, else one of the configuration. Fails with ``ValueError``
        where no listener has it, and with ``NotServing``.
        """
