"""The compiled configuration: immutable values, no behaviour beyond naming themselves.

Rules: everything here is frozen; run-time state (active requests, connections, phases) lives in ``upstream`` and is
keyed by the names and addresses found here, so it outlives a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from meshproxy.errors import Diagnostic, Location

if TYPE_CHECKING:  # interfaces.py names Endpoint; only annotations here need it back
    from meshproxy.interfaces import IHashKey, ILoadBalancer, ILoadBalancerBuilder


@frozen(cache_hash=True)
class Endpoint:
    """An address that serves a cluster.

    ``address`` is an IP in canonical text (IPv6 without brackets), ``labels`` are sorted pairs, ``weight`` is at least
    1, ``locality`` is ``region/zone/subzone`` or empty.
    """

    address: str
    port: int
    weight: int = 1
    labels: tuple[tuple[str, str], ...] = ()
    locality: str = ""

    @property
    def key(self) -> str:
        """``ip:port``, IPv6 as ``[ip]:port``: what identifies the endpoint on a ring and in run-time state."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@frozen(eq=False)
class Cluster:
    """The endpoints of one service, port and subset with the policy for reaching them.

    ``name`` is Envoy's ``outbound|PORT|SUBSET|HOST``. ``balancer`` was built by ``builder`` for ``endpoints``.
    Times are seconds.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    builder: ILoadBalancerBuilder
    balancer: ILoadBalancer
    connect_timeout: float = 10.0


@frozen(eq=False)
class WeightedDestination:
    """A share of a route's traffic. ``cluster`` names a cluster that may be missing from the snapshot: a 503."""

    cluster: str
    weight: int = 1


@frozen(eq=False)
class Forward:
    """What a route does: send the request to one of its destinations.

    ``destinations`` has at least one entry; with several, each has a weight above 0 and is drawn at random by weight.
    ``retries`` is the number of further tries after a failed connection. ``avoid_previous_hosts``: a retry looks for an
    endpoint that was not tried yet.
    """

    destinations: tuple[WeightedDestination, ...]
    hash_policy: tuple[IHashKey, ...] = ()
    retries: int = 2
    avoid_previous_hosts: bool = True


class PathKind(Enum):
    """How a route compares the path (without query)."""

    ANY = "any"
    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"


@frozen
class PathMatch:
    """A condition on the path; ``value`` is the text or the RE2 pattern as written."""

    kind: PathKind = PathKind.ANY
    value: str = ""

    @property
    def catch_all(self) -> bool:
        """True for what Istio calls a catch-all and moves behind all other routes of a host."""
        return (
            self.kind is PathKind.ANY
            or (self.kind is PathKind.PREFIX and self.value == "/")
            or (self.kind is PathKind.REGEX and self.value == ".*")
        )


@frozen(eq=False)
class Route:
    """A condition and what to do when it holds. ``name`` is empty where the configuration gives none."""

    match: PathMatch
    action: Forward
    name: str = ""
    location: Location | None = None


@frozen(eq=False)
class VirtualHost:
    """A host, exact or starting with ``*``, in lower case, and its routes in order of precedence."""

    host: str
    routes: tuple[Route, ...]


class RouteFinder(Protocol):
    """The route table of a listener (``routing.RouteTable``)."""

    def find(self, authority: bytes, path: bytes) -> Route | None:
        """The route for an authority as sent and a path without query; None: answer 404."""


@frozen(eq=False)
class Listener:
    """An address to listen on. ``bind`` is empty where the configuration leaves it to the process.

    ``port`` is the number in the configuration; the process may map it to another one.
    """

    bind: str
    port: int
    routes: RouteFinder
    location: Location | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What tells listeners of one snapshot apart and finds the same one in the next."""
        return (self.bind, self.port)


@frozen(eq=False)
class MeshSettings:
    """What Istio keeps in MeshConfig, from a ``Mesh`` document. None: not said there."""

    access_log_file: str | None = None
    trusted_proxies: int = 0


@frozen(eq=False)
class Snapshot:
    """One immutable compiled configuration.

    ``digest`` is that of the files it was read from; ``warnings`` are what the load found, none of them an error.
    """

    listeners: tuple[Listener, ...]
    clusters: Mapping[str, Cluster]
    mesh: MeshSettings = field(factory=MeshSettings)
    digest: str = ""
    warnings: tuple[Diagnostic, ...] = ()


@frozen
class ProxyIdentity:
    """Who this gateway is: compared with ``Gateway.spec.selector``, ``exportTo`` and the like."""

    namespace: str = "istio-system"
    labels: frozenset[tuple[str, str]] = frozenset({("istio", "ingressgateway"), ("app", "istio-ingressgateway")})
    cluster_domain: str = "cluster.local"
