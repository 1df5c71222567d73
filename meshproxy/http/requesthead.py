"""The head of a request: what is accepted from a client and what is added for an endpoint.

Rules (``RFC 9112`` and Istio's gateway; where they differ, the stricter, since what one reader tolerates another reads
differently): exactly one ``Host`` that is ``uri-host[:port]``; no transfer coding but ``chunked``; the path normalised
once, before it is matched, hashed, forwarded and logged. Framing itself (lengths, chunks, line ends) is llhttp's
business in its strict mode, which refuses all that is doubtful there.
"""

from __future__ import annotations

import os
from binascii import hexlify
from struct import Struct
from typing import TYPE_CHECKING, Protocol

from meshproxy.http.requestfields import NO_FIELDS
from meshproxy.paths import Normalizer, normalize_path

if TYPE_CHECKING:
    from meshproxy.http.fields import Shape, Values

# All of RFC 3986's reg-name but the comma: to some readers that makes a list of hosts.
_HOST_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+;="

# What first lines consist of that need no parser when the fields behind them are known.
_WITHOUT_BODY = frozenset({b"GET", b"HEAD", b"OPTIONS", b"DELETE"})
_PLAIN_TARGET = bytes(character for character in range(0x21, 0x7F) if character != ord("#"))


class Refused(Exception):
    """A request that gets an answer from the gateway itself, after which the connection closes.

    ``details`` is the access log's word for it (``%RESPONSE_CODE_DETAILS%``). ``of_complete_request``: it is about the
    request that was read last, and that one was read whole. ``flags`` are the access log's (``%RESPONSE_FLAGS%``);
    without them, what has a body is an error of the protocol.
    """

    def __init__(
        self, status: int, body: bytes, details: bytes, of_complete_request: bool = False, flags: bytes | None = None
    ) -> None:
        super().__init__(status, body, details)
        self.of_complete_request = of_complete_request
        self.status = status
        self.body = body
        self.details = details
        self.flags = (b"DPE" if body else b"") if flags is None else flags


BAD_REQUEST = (400, b"Bad Request", b"http1.codec_error")
TOO_LARGE = (431, b"Request Header Fields Too Large", b"http1.headers_too_large")
TOO_MANY_FIELDS = (431, b"Request Header Fields Too Large", b"http1.too_many_headers")


def is_host(text: bytes) -> bool:
    """Whether a ``Host`` value is a host with an optional port, or empty."""
    if not text.translate(None, _HOST_CHARACTERS):
        return True
    host, colon, port = text.rpartition(b":")
    if not colon or b"]" in port:
        host, port = text, b""
    if port and not port.isdigit():
        return False
    if host.startswith(b"[") and host.endswith(b"]"):
        return bool(host[1:-1]) and not host[1:-1].translate(None, b"0123456789abcdefABCDEF:.")
    return not host.translate(None, _HOST_CHARACTERS)


def split_target(
    target: bytes, authority: bytes, normalize: Normalizer = normalize_path, method: bytes = b"GET"
) -> tuple[bytes, bytes, bytes]:
    """``(authority, path, query with its "?")`` of a request target; the path is normalised.

    An absolute-form target's host replaces the ``Host`` header. Raises ``Refused``.
    """
    if target[:1] != b"/":
        scheme, found, rest = target.partition(b"://")
        if target == b"*" and method == b"OPTIONS":
            raise Refused(404, b"", b"absolute_path_rejected")
        if found and scheme.lower() == b"https":
            raise Refused(403, b"Forbidden", b"http1.https_url_on_plaintext_connection")
        if not found or scheme.lower() != b"http":
            raise Refused(*BAD_REQUEST)
        end = min([at for at in (rest.find(b"/"), rest.find(b"?"), rest.find(b"#")) if at >= 0], default=len(rest))
        authority, target = rest[:end], rest[end:]
        if not authority or not is_host(authority):
            raise Refused(*BAD_REQUEST)
        if target[:1] != b"/":
            target = b"/" + target
    if b"#" in target:
        target = target[: target.index(b"#")]
    path, mark, query = target.partition(b"?")
    normal = normalize(path)
    if normal is None:
        raise Refused(400, b"", b"path_normalization_failed")
    return authority, normal, mark + query


def plain_line(line: bytes) -> tuple[bytes, bytes] | None:
    """Method and target of a first line in which llhttp could find nothing to object to; None for any other."""
    parts = line.split(b" ")
    if len(parts) != 3 or parts[2] != b"HTTP/1.1" or parts[0] not in _WITHOUT_BODY:
        return None
    method, target, _ = parts
    return None if target[:1] != b"/" or target.translate(None, _PLAIN_TARGET) else (method, target)


def check_line_ends(begun: bytes, data: bytes) -> bytes:
    """Raises ``Refused`` for half a line end in front of a request, which llhttp overlooks.

    ``begun`` is the half of a line end that the read before ended with; that of this one is returned.
    """
    behind = data.lstrip(b"\r\n")
    left = (begun + data[: len(data) - len(behind)]).replace(b"\r\n", b"")
    if left and (behind or left != b"\r"):
        raise Refused(*BAD_REQUEST)
    return left


def trusted_address(forwarded_for: bytes, trusted_proxies: int, peer: bytes) -> bytes:
    """The client's address where ``trusted_proxies`` proxies in front are trusted.

    It is the n-th entry from the right of the received ``x-forwarded-for``, or ``peer`` when that is missing or no IP
    address. IPv6 comes out compressed and in lower case.
    """
    entries = forwarded_for.split(b",")
    if trusted_proxies <= 0 or len(entries) < trusted_proxies:
        return peer
    from ipaddress import ip_address

    entry = entries[-trusted_proxies].strip()
    if b"%" in entry:
        return peer  # a zone, which Python would take, may be any text
    try:
        return str(ip_address(entry.decode("ascii"))).encode("ascii")
    except ValueError:
        return peer


class Head(Protocol):
    """What a request is made of: see ``requestreader.RequestReader``."""

    method: bytes
    authority: bytes
    path: bytes
    query: bytes
    shape: Shape
    values: Values
    lines: bytes
    started_at: float
    keep_alive: bool
    http10: bool
    chunked: bool
    expects_continue: bool
    forwarded_for: bytes
    forwarded_proto: bytes


class UnreadHead:
    """The head of what could not be read as a request."""

    method = authority = path = query = lines = forwarded_for = forwarded_proto = b""
    shape, values = NO_FIELDS
    keep_alive = http10 = chunked = expects_continue = False

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at


class RequestIds:
    """Random UUIDs (version 4, RFC 9562) in text, made from the system's random source in blocks."""

    __slots__ = ("_ready",)

    def __init__(self) -> None:
        self._ready: list[bytes] = []

    def next(self) -> bytes:
        """A new identifier, 36 characters."""
        if not self._ready:
            self._ready = _uuids()
        return self._ready.pop()


_IDS_IN_A_BLOCK = 128
_GROUPS = Struct("8s4s4s4s12s" * _IDS_IN_A_BLOCK)
_TEXTS = b"%b-%b-%b-%b-%b " * _IDS_IN_A_BLOCK
_AS_VERSION = bytes(0x40 | byte & 0x0F for byte in range(256))
_AS_VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))


def _uuids() -> list[bytes]:
    octets = bytearray(os.urandom(16 * _IDS_IN_A_BLOCK))
    octets[6::16] = octets[6::16].translate(_AS_VERSION)
    octets[8::16] = octets[8::16].translate(_AS_VARIANT)
    return (_TEXTS % _GROUPS.unpack(hexlify(octets))).split()
