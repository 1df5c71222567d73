"""The head of a request: what is accepted from a client and what is added for an endpoint.

Rules (``RFC 9112`` and Istio's gateway; where they differ, the stricter, since what one reader tolerates another reads
differently): exactly one ``Host`` that is ``uri-host[:port]``; no transfer coding but ``chunked``; the path normalised
once, before it is matched, hashed, forwarded and logged. Framing itself (lengths, chunks, line ends) is llhttp's
business in its strict mode, which refuses all that is doubtful there.
"""

from __future__ import annotations

import os

from meshproxy.paths import normalize_path

_HOST_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+,;="
_MOST_FIELDS = 100


class Refused(Exception):
    """A request that gets an answer from the gateway itself, after which the connection closes.

    ``details`` is the access log's word for it (``%RESPONSE_CODE_DETAILS%``).
    """

    def __init__(self, status: int, body: bytes, details: bytes) -> None:
        super().__init__(status, body, details)
        self.status = status
        self.body = body
        self.details = details


BAD_REQUEST = (400, b"Bad Request", b"http1.codec_error")


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


def split_target(target: bytes, authority: bytes) -> tuple[bytes, bytes, bytes]:
    """``(authority, path, query with its "?")`` of a request target; the path is normalised.

    An absolute-form target's host replaces the ``Host`` header. Raises ``Refused``.
    """
    if target[:1] != b"/":
        scheme, found, rest = target.partition(b"://")
        if target == b"*":
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
    normal = normalize_path(path)
    if normal is None:
        raise Refused(400, b"", b"path_normalization_failed")
    return authority, normal, mark + query


def check_field_count(count: int) -> None:
    """Raises ``Refused`` for more header fields than a request may have."""
    if count > _MOST_FIELDS:
        raise Refused(431, b"Request Header Fields Too Large", b"http1.too_many_headers")


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


class RequestIds:
    """Random UUIDs (version 4, RFC 9562) in text, from the system's random source in blocks."""

    __slots__ = ("_at", "_digits")
    _BLOCK = 4096

    def __init__(self) -> None:
        self._digits = ""
        self._at = 0

    def next(self) -> bytes:
        """A new identifier, 36 characters."""
        at = self._at
        if at >= len(self._digits):
            self._digits = os.urandom(self._BLOCK).hex()
            at = 0
        self._at = at + 32
        d = self._digits[at : at + 32]
        # The 13th digit is the version; the top two bits of the 17th are the variant.
        return f"{d[:8]}-{d[8:12]}-4{d[13:16]}-{'89ab'[int(d[16], 16) & 3]}{d[17:20]}-{d[20:]}".encode("ascii")
