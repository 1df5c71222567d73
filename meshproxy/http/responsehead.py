"""The head of a proxied response: by the shape of its fields as a rule, field by field where they are changed."""

from __future__ import annotations

from collections.abc import Iterable

from meshproxy.http.fields import Shape, Shapes, Values
from meshproxy.http.headeroperations import Field
from meshproxy.http.names import RESPONSE_MEANINGS

SHAPES = Shapes(RESPONSE_MEANINGS)

HEAD = b"%b%b%bx-envoy-upstream-service-time: %d\r\nserver: istio-envoy\r\n\r\n"
"""A head of fields that were not changed: the status line, their lines, further lines, and how long it took."""


def without_length(shape: Shape, values: Values) -> tuple[Shape, Values]:
    """The same fields without ``content-length``."""
    return SHAPES.fields(pair for pair in zip(shape.names, values, strict=True) if pair[0] != b"content-length")


def proxied_fields(shape: Shape, values: Values, service_ms: int, servers: Iterable[bytes]) -> list[Field]:
    """The endpoint's fields and what the gateway adds to them before they are changed.

    ``servers`` are those of the endpoint's, which changes may look at.
    """
    return [
        *zip(shape.names, values, strict=True),
        *((b"server", server) for server in servers),
        (b"x-envoy-upstream-service-time", b"%d" % service_ms),
    ]


def edited_head(first: bytes, fields: Iterable[Field], framing: Iterable[bytes], date: bytes) -> bytes:
    """A head of fields that were changed.

    ``first``: its status line; ``framing``: lines that no change concerns; ``date``: if there is none.
    """
    lines = [b"%b: %b\r\n" % field for field in fields]
    if not any(line.startswith(b"date:") for line in lines):
        lines.append(b"date: %b\r\n" % date)
    return b"".join((first, *lines, *framing, b"server: istio-envoy\r\n\r\n"))
