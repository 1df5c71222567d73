"""The fields of a request: in which shapes they come, and which of them are the client's connection's business."""

from __future__ import annotations

from meshproxy.http.fields import Shape, Shapes, Values
from meshproxy.http.names import REQUEST_MEANINGS

SHAPES = Shapes(REQUEST_MEANINGS)

NO_FIELDS = SHAPES.fields(())

_TRAILERS = (b"te", b"trailers")
# A client's Connection header takes none of these away: they are not hop-by-hop, whatever it says.
_NEVER_NOMINATED = frozenset({b"host", b"content-length", b"transfer-encoding", b"cookie", b"x-forwarded-for"})


def without_underscores(shape: Shape, values: Values) -> tuple[Shape, Values]:
    """The fields without those that have an underscore in their name."""
    pairs = zip(shape.names, values, strict=True)
    return SHAPES.fields(pair for pair in pairs if b"_" not in pair[0])


def without_hop_by_hop(shape: Shape, values: Values, connection: bytes, has_te: bool) -> tuple[Shape, Values]:
    """The fields without those that ``connection`` names as the client's own, and ``TE`` but for one ``trailers``.

    ``has_te``: there is a ``TE`` among them.
    """
    named = {token.strip(b" \t") for token in connection.lower().split(b",")} - _NEVER_NOMINATED
    if not has_te and not named - {b"close", b"keep-alive", b"upgrade", b""}:
        return shape, values
    pairs = []
    for name, value in zip(shape.names, values, strict=True):
        if name == b"te":
            if b"trailers" in value.lower() and _TRAILERS not in pairs:
                pairs.append(_TRAILERS)
        elif name not in named:
            pairs.append((name, value))
    return SHAPES.fields(pairs)
