"""What a load has made, for the next one to take over what would come out the same.

Each thing is kept by all that it was made from: objects of the configuration by identity, since an object is the same
as long as its document is. What a load does not ask for is forgotten at its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from meshproxy.config.http_compile import Placed
    from meshproxy.config.http_policies import Retries
    from meshproxy.config.http_route import HttpRoute
    from meshproxy.config.servers import Address
    from meshproxy.config.virtual_hosts import RouteList
    from meshproxy.config.virtual_service import VirtualService
    from meshproxy.routes import VirtualHost
    from meshproxy.routing import RouteTable

_K = TypeVar("_K")
_V = TypeVar("_V")


class Kept(Generic[_K, _V]):
    """Things of one kind by key: those of the load before, and those of this one."""

    __slots__ = ("before", "now")

    def __init__(self) -> None:
        self.before: dict[_K, _V] = {}
        self.now: dict[_K, _V] = {}


class Memory:
    """Things of all kinds.

    ``placed``: entries at a port, with their routes. ``lists``: the routes of a virtual service at a port of a gateway.
    ``hosts`` and ``tables``: by address. ``merged``: of a delegating entry
    and one of its delegate, None where they exclude each other. ``delegating``: virtual services with the routes of
    their delegates. ``reachable``: virtual services without a route that is never reached, with the number of
    comparisons that it took to see that.
    """

    def __init__(self) -> None:
        self.retries: Retries | None = None
        self.placed: Kept[tuple[HttpRoute, int], Placed] = Kept()
        self.lists: Kept[tuple[VirtualService, int, str], RouteList] = Kept()
        self.hosts: Kept[tuple[Address, str], VirtualHost] = Kept()
        self.tables: Kept[Address, RouteTable] = Kept()
        self.merged: Kept[tuple[HttpRoute, HttpRoute], HttpRoute | None] = Kept()
        self.delegating: Kept[VirtualService, VirtualService] = Kept()
        self.reachable: Kept[VirtualService, int] = Kept()

    def begin(self) -> None:
        """A load begins."""
        for kept in self._all():
            kept.before, kept.now = kept.now, {}

    def end(self) -> None:
        """It has ended."""
        for kept in self._all():
            # One by one: what goes may be large, and other threads want to work in between.
            while kept.before:
                kept.before.popitem()

    def use(self, retries: Retries) -> None:
        """Forget the routes of the load before if other retries than these held for them."""
        if retries != self.retries:
            self.retries = retries
            for kept in (self.placed, self.lists):
                kept.before.clear()

    def _all(self) -> list[Kept[object, object]]:
        return [kept for kept in vars(self).values() if isinstance(kept, Kept)]
