"""A request that somebody asks about, and the head that the gateway would read of it.

The head is written to bytes and read again by the gateway's own reader, so it is refused for what a real one would be,
and its path, host and fields are what the gateway makes of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from copy import copy
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import asdict, frozen

from meshproxy.http.headeroperations import Field, HeaderChanges
from meshproxy.http.knownheads import KnownHeads, KnownLine, KnownRequest
from meshproxy.http.request import Request
from meshproxy.http.requesthead import Refused
from meshproxy.http.requestreader import RequestReader
from meshproxy.http.rewriting import CompiledRewrite

if TYPE_CHECKING:
    from meshproxy.http.bodies import Piece
    from meshproxy.http.gateway import Gateway

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_METHOD = re.compile(r"[A-Z][A-Z0-9_-]*")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)", re.DOTALL)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SOME_PORT = 40000  # of a client that did not say which


@frozen
class Asked:
    """A request: what a client would send, from which address, to which port of the gateway's configuration.

    ``target`` is the path with its query as it stands in a request line. ``headers`` has no ``host``. ``address`` and
    ``port`` are the client's; None for ``gateway_port``: the only one there is.
    """

    method: str
    authority: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    scheme: str = "http"
    address: str = "127.0.0.1"
    port: int = _SOME_PORT
    gateway_port: int | None = None

    def dump(self) -> str:
        """As JSON, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Asked:
        """What ``dump`` made."""
        told = json.loads(text)
        return cls(**{**told, "headers": tuple(map(tuple, told["headers"]))})

    @property
    def peer(self) -> bytes:
        """The client's socket address as hash keys see it."""
        return socket_address(self.address, self.port)


def parse_asked(request: str, headers: Iterable[str] = (), client: str = "", gateway_port: int | None = None) -> Asked:
    """What ``[METHOD ]URL``, lines ``Name: value`` and a client's ``IP[:PORT]`` say; raises ``ValueError``.

    A URL may lack its scheme, or be only a path where a ``Host`` line says the rest.
    """
    method, space, url = request.strip().partition(" ")
    if not space:
        method, url = "GET", request.strip()
    if not _METHOD.fullmatch(method):
        raise ValueError(f"{method!r} is no method as in 'GET http://test.com/'")
    if not url.startswith("/") and not _SCHEME.match(url):
        url = "http://" + url
    if not url.isprintable() or " " in url or not url.isascii():
        raise ValueError(f"{url!r} is no URL: blanks and letters beyond ASCII have to be percent-encoded")
    # A path may begin with two slashes: it is behind an empty authority.
    parts = urlsplit(f"//{url}" if url.startswith("/") else url)
    if parts.scheme not in ("", "http", "https"):
        raise ValueError(f"{url!r} is no http:// or https:// URL")
    fields = []
    host = parts.netloc.rpartition("@")[2]
    for line in headers:
        match = _FIELD.fullmatch(line)
        if match is None or not match[2].replace("\t", "").isprintable():
            raise ValueError(f"{line!r} is no header as in 'Name: value'")
        if match[1].lower() == "host":
            host = match[2].strip()
        else:
            fields.append((match[1], match[2].strip()))
    if not host:
        raise ValueError(f"{url!r} has no host, and no header 'Host: ...' names one")
    address, port = _client(client)
    scheme = parts.scheme or "http"
    if gateway_port is None and parts.netloc:
        gateway_port = _DEFAULT_PORTS[scheme] if parts.port is None else parts.port
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query or url.endswith("?") else "")
    return Asked(method, host, target, tuple(fields), scheme, address, port, gateway_port)


def socket_address(address: str, port: int) -> bytes:
    """``ip:port``, or ``[ip]:port`` for IPv6."""
    return (f"[{address}]:{port}" if ":" in address else f"{address}:{port}").encode()


def _client(text: str) -> tuple[str, int]:
    if not text:
        return "127.0.0.1", _SOME_PORT
    try:
        return str(ip_address(text)), _SOME_PORT
    except ValueError:
        host, _, port = text.rpartition(":")
        try:
            address, number = str(ip_address(host.strip("[]"))), int(port)
        except ValueError:
            number = -1
        if not 0 <= number < 65536:
            raise ValueError(f"{text!r} is no address as in 10.0.0.7 or 10.0.0.7:40000") from None
        return address, number


class _Connection:
    """What a request looks at of the connection it came on."""

    def __init__(self, gateway: Gateway, asked: Asked, local: bytes) -> None:
        self.gateway = gateway
        self.source_ip = asked.address.encode()
        self.remote = asked.peer
        self.local = local


class AskedRequest(Request):
    """A request as the data path has it, on which routes, hash keys and header operations can be tried.

    ``upgrading``: it asks for another protocol. ``brief``: nobody wants to know of other endpoints than its own.
    """

    upgrading = brief = False

    def __init__(self, connection: _Connection, head: RequestReader) -> None:
        super().__init__(connection, head)  # type: ignore[arg-type]
        self._add_headers()
        self.request_id = b"(random)"

    def changed(
        self, changes: HeaderChanges | None, rewrite: CompiledRewrite | None, expected_timeout: bytes
    ) -> AskedRequest:
        """The request as a route's changes leave it; this one stays as it is."""
        other = copy(self)
        if expected_timeout:
            other._expect_within(expected_timeout)
        if changes is not None or rewrite is not None:
            other._change(changes, rewrite)
        return other

    @property
    def fields(self) -> list[Field]:
        """All fields of the head as an endpoint gets it, ``:method``, ``:path`` and ``host`` first."""
        lines = self.head().split(b"\r\n")[1:-2]
        named = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        return [(b":method", self.method), (b":path", self.path), *named]


class _Heads:
    """Keeps the head that a reader tells of."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self.request: AskedRequest | None = None

    def head_received(self, reader: RequestReader) -> None:
        self.request = AskedRequest(self._connection, reader)

    def body_received(self, data: Piece) -> None:
        pass

    def request_completed(self) -> None:
        pass

    def upgrade_received(self, protocol: bytes, early: bytes) -> None:
        assert self.request is not None
        self.request.ask_upgrade(protocol)
        self.request.upgrading = True


class _Settings:
    """Those by which a gateway reads, without what it remembers of heads."""

    def __init__(self, gateway: Gateway) -> None:
        self.normalize = gateway.normalize
        self.upgrades = gateway.upgrades
        self.limits = gateway.limits
        self.accept_http10 = gateway.accept_http10
        self.known_lines: KnownHeads[KnownLine] = KnownHeads()
        self.known_requests: KnownHeads[KnownRequest] = KnownHeads()


def read_asked(gateway: Gateway, asked: Asked, local: bytes) -> AskedRequest:
    """The request as a gateway reads it at its socket address ``local``; raises ``Refused``."""
    lines = [f"{asked.method} {asked.target} HTTP/1.1", f"host: {asked.authority}"]
    lines += [f"{name}: {value}" for name, value in asked.headers]
    heads = _Heads(_Connection(gateway, asked, local))
    reader = RequestReader(heads, _Settings(gateway))
    try:
        reader.feed("\r\n".join([*lines, "", ""]).encode())
    finally:
        reader.close()
    if heads.request is None:
        raise Refused(400, b"", b"http1.codec_error")
    return heads.request
