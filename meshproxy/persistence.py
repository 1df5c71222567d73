"""Cookies that name the endpoint of a session, without telling who it is. Pure: time is an argument.

A cookie is base64url of three parts: until when it is good (seconds since 1970, 5 bytes; 0: for ever), the endpoint's
number (12 bytes) and a signature of both (16 bytes). Numbers and signatures are keyed BLAKE2s, by a key that is made of
the secret and the policy's scope. So a cookie can neither be made nor moved to another endpoint without the secret, and
tells nothing but whether two of them are for the same endpoint. Sources: RFC 7693 (keyed hashing needs no HMAC there,
and takes a third of its time); RFC 6265 for the ``Set-Cookie`` line.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Iterable
from hashlib import blake2s

from meshproxy.cookies import find_cookie
from meshproxy.model import Endpoint
from meshproxy.policies import FOR_EVER, Persistence, SessionCookie

_TIME, _NUMBER, _SIGNATURE = 5, 12, 16
_SIZE = _TIME + _NUMBER + _SIGNATURE
_LENGTH = _SIZE * 4 // 3
MOST_KNOWN = 8192
"""So many cookies of a cluster are remembered as good, so that most requests need no signature."""


class _Signer:
    """Numbers and signatures by one secret."""

    def __init__(self, secret: bytes, scope: str) -> None:
        self._key = hmac.digest(secret, b"meshproxy session cookie 2\0" + scope.encode(), "sha256")

    def number(self, endpoint: Endpoint) -> bytes:
        """What stands for an endpoint."""
        return blake2s(endpoint.identity.encode(), digest_size=_NUMBER, key=self._key, person=b"endpoint").digest()

    def signature(self, content: bytes) -> bytes:
        """What shows that a cookie is ours."""
        return blake2s(content, digest_size=_SIGNATURE, key=self._key, person=b"cookie").digest()


class Sessions:
    """The sessions of one cluster by its policy. Endpoints are to be told with ``follow``."""

    def __init__(self, policy: Persistence) -> None:
        self.policy = policy
        self._signers = [_Signer(secret, policy.scope) for secret in policy.secrets]
        self._found_by = policy.cookie.name.encode() + b"="
        self._attributes = _attributes(policy.cookie)
        self._numbers: dict[str, list[bytes]] = {}
        self._by_number: dict[bytes, Endpoint] = {}
        self._known: dict[bytes, tuple[Endpoint, float]] = {}

    def follow(self, endpoints: Iterable[Endpoint]) -> None:
        """From now on cookies are for these endpoints; those for others are as good as none."""
        endpoints = list(endpoints)
        known = self._numbers
        self._numbers = {
            it.identity: known.get(it.identity) or [signer.number(it) for signer in self._signers] for it in endpoints
        }
        # Of two with one name the first counts.
        self._by_number = {number: it for it in reversed(endpoints) for number in self._numbers[it.identity]}
        self._known = {}

    def endpoint(self, lines: Iterable[bytes], now: float) -> Endpoint | None:
        """The endpoint that the cookie in a request's ``Cookie`` lines names; None for none, or one that is not good.

        ``now`` is a Unix time.
        """
        value = find_cookie(lines, self._found_by)
        if not value:
            return None
        found = self._known.get(value)
        if found is None:
            found = self._verified(value)
            if found is None:
                return None
            if len(self._known) >= MOST_KNOWN:
                self._known = {}  # to find the oldest one would take longer than to verify this one again
            self._known[value] = found
        endpoint, good_until = found
        return endpoint if now < good_until else None

    def _verified(self, value: bytes) -> tuple[Endpoint, float] | None:
        if len(value) != _LENGTH:
            return None
        try:
            data = urlsafe_b64decode(value)
        except Error:
            return None
        if len(data) != _SIZE or urlsafe_b64encode(data) != value:
            return None
        content, signature = data[:-_SIGNATURE], data[-_SIGNATURE:]
        endpoint = self._by_number.get(content[_TIME:])
        if endpoint is None:
            return None
        # Each secret is tried, however the comparison before ended.
        good = [hmac.compare_digest(signer.signature(content), signature) for signer in self._signers]
        if not any(good):
            return None
        time = int.from_bytes(content[:_TIME], "big")
        return endpoint, time or FOR_EVER

    def set_cookie(self, endpoint: Endpoint, now: float) -> bytes:
        """The ``Set-Cookie`` value that keeps a session at an endpoint from ``now`` (a Unix time) on."""
        lifetime = self.policy.cookie.max_age
        time = 0 if lifetime is None else int(now) + lifetime
        signer = self._signers[0]
        numbers = self._numbers.get(endpoint.identity)
        content = time.to_bytes(_TIME, "big") + (signer.number(endpoint) if numbers is None else numbers[0])
        return self._found_by + urlsafe_b64encode(content + signer.signature(content)) + self._attributes


def _attributes(cookie: SessionCookie) -> bytes:
    parts = [
        "" if cookie.max_age is None else f"Max-Age={cookie.max_age}",
        f"Path={cookie.path}",
        cookie.domain and f"Domain={cookie.domain}",
        "Secure" if cookie.secure else "",
        "HttpOnly" if cookie.http_only else "",
        cookie.same_site and f"SameSite={cookie.same_site}",
        "Partitioned" if cookie.partitioned else "",
    ]
    return "".join(f"; {part}" for part in parts if part).encode()
