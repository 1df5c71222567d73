"""Responses that tell how they came about, for clients that ask: ``explainHeaders`` of the ``Mesh`` document.

A request with ``x-meshproxy-explain: 1`` gets it told in fields ``x-meshproxy-*``, whoever answers it. Fields of these
names that come from an endpoint are replaced, for they are about another gateway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshproxy import selection
from meshproxy.config.diagnostics import visible
from meshproxy.errors import Location
from meshproxy.failures import PLUGIN_ERRORS
from meshproxy.http.exchange import Exchange
from meshproxy.http.headeroperations import Field
from meshproxy.routes import Forward

_ASKING = b"x-meshproxy-explain"
_PREFIX = b"x-meshproxy-"


class ExplainedExchange(Exchange):
    """An exchange that tells about itself, if its request asks for that."""

    __slots__ = ()

    _is_asked = False

    def start(self) -> None:
        """See whether the request asks."""
        if [*self.header_values(_ASKING)] == [b"1"]:
            self._is_asked = self.special = self.edited = True
        super().start()

    def edit_response(self, fields: list[Field]) -> list[Field]:
        """With what there is to tell."""
        fields = super().edit_response(fields)
        if self._is_asked:
            fields = [*(field for field in fields if not field[0].startswith(_PREFIX)), *self._told()]
            self.response_fields = fields
        return fields

    def reply_told(self, flags: bytes, details: bytes) -> Sequence[Field]:
        """Why it is answered without an endpoint, and what led there."""
        if not self._is_asked:
            return ()
        why = b"%b (%b)" % (details, flags) if flags else details
        return [(b"x-meshproxy-details", why), *self._told()]

    def _told(self) -> Iterator[Field]:
        plan = getattr(self, "plan", None)
        if plan is None:
            return
        yield b"x-meshproxy-route", _place(plan.route.location)
        if plan.name:
            yield b"x-meshproxy-route-name", plan.name
        if not self.upstream_cluster:
            return
        yield b"x-meshproxy-cluster", self.upstream_cluster
        origin = None if self.gateway.snapshot is None else self.gateway.snapshot.origins.get(self.cluster.name)
        if origin is not None:
            source = f" ({origin.source}) " if origin.source else " (default) "
            yield b"x-meshproxy-policy", _text(origin.strategy + source) + _place(origin.location)
        if self.cluster_state.balancer.uses_hash and isinstance(plan.route.action, Forward):
            yield from self._keys(plan.route.action)
        if self.upstream_host:
            yield b"x-meshproxy-endpoint", self.upstream_host
            yield b"x-meshproxy-attempts", b"%d" % (self.attempt + 1)

    def _keys(self, forward: Forward) -> Iterator[Field]:
        """Each hash key that counts with the hash of what it found, and the hash that all of them make."""
        try:
            for origin, found in zip(forward.key_origins, selection.looked_at(forward.hash_policy, self), strict=False):
                yield b"x-meshproxy-key", _text(f"{origin.name} {'-' if found is None else f'{found.hash:016x}'}")
            total, _ = selection.evaluate(forward.hash_policy, self)
        except PLUGIN_ERRORS:  # the answer itself is worth more
            return
        if total is not None:
            yield b"x-meshproxy-hash", b"%016x" % total


def _place(location: Location | None) -> bytes:
    return _text("-" if location is None else str(location))


def _text(text: str) -> bytes:
    return visible(text).encode("utf-8", "replace")
