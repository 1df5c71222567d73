"""A request as hash keys see it, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from zope.interface import implementer

from meshproxy.headers import JOINED_HEADERS, join_lines
from meshproxy.interfaces import IRequest


@implementer(IRequest)
class FakeRequest:
    """The head of a request. ``headers`` are as a client sends them, in any case, without ``host``.

    They are found as a gateway shows them: without blanks around values, and with the lines of some headers joined.
    """

    def __init__(
        self,
        headers: Sequence[tuple[bytes, bytes]] = (),
        path: bytes = b"/",
        authority: bytes = b"test.com",
        source_ip: bytes = b"127.0.0.1",
        remote: bytes = b"127.0.0.1:50000",
        local: bytes = b"127.0.0.1:80",
        method: bytes = b"GET",
        scheme: bytes = b"http",
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.authority = authority
        self.path = path
        self.source_ip = source_ip
        self.remote = remote
        self.local = local
        self._headers: dict[bytes, list[bytes]] = {
            b":authority": [authority],
            b"host": [authority],
            b":method": [method],
            b":path": [path],
            b":scheme": [scheme],
        }
        for name, value in headers:
            values = self._headers.setdefault(name.lower(), [])
            values.append(value.strip(b" \t"))
            if name.lower() in JOINED_HEADERS:
                values[:] = [reduce(join_lines, values)]

    def __repr__(self) -> str:
        return f"<FakeRequest {self.method!r} {self.path!r} {self._headers!r}>"

    def header_values(self, name: bytes) -> Sequence[bytes]:
        """See ``IRequest``."""
        return self._headers.get(name, ())
