"""``example.com/jwtClaim``: the session is what a claim of the bearer token says, such as its ``sub``.

The token's signature is NOT verified, so anybody can write any claim. That does for choosing among endpoints that are
all alike, where the worst that a forged claim gets is another endpoint; it is no authentication.

The token is that of ``Authorization: Bearer``, in the compact form of RFC 7515. A request without a token, or whose
token has no such claim, has no hash: whatever is no text and no whole number does not count as one.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode

from attrs import frozen
from zope.interface import implementer

from meshproxy.hashing import xxh64
from meshproxy.interfaces import HashKey, IConfig, IHashKey, IRequest, IShowsKey

_SCHEME = b"bearer "
_LONGEST = 8192


@implementer(IHashKey, IShowsKey)
@frozen
class JwtClaimKey:
    """Hashes the value of one claim."""

    claim: str
    terminal: bool = False

    def evaluate(self, request: IRequest) -> HashKey | None:
        """See ``IHashKey``."""
        value = self.key_text(request)
        return None if value is None else HashKey(xxh64(value))

    def key_text(self, request: IRequest) -> bytes | None:
        """See ``IShowsKey``: the claim's value."""
        for value in request.header_values(b"authorization"):
            if value[: len(_SCHEME)].lower() == _SCHEME and len(value) <= _LONGEST:
                claim = _claims(value[len(_SCHEME) :]).get(self.claim)
                if isinstance(claim, str | int) and not isinstance(claim, bool):
                    return str(claim).encode()
        return None


def _claims(token: bytes) -> dict[str, object]:
    """The claims of a token; none if it is no token."""
    parts = token.strip().split(b".")
    if len(parts) != 3:
        return {}
    payload = parts[1] + b"=" * (-len(parts[1]) % 4)
    try:
        claims = json.loads(urlsafe_b64decode(payload))
    except (ValueError, RecursionError):  # what clients send may be anything, and is no error of ours
        return {}
    return claims if isinstance(claims, dict) else {}


def from_config(config: IConfig) -> JwtClaimKey:
    """From a mapping with ``claim``, the claim's name."""
    claim = config.fields("claim").get("claim")
    if claim is None:
        config.fail("example.com/jwtClaim needs a claim", "most tokens have a sub")
    name = claim.string()
    if not name:
        claim.fail("the claim's name may not be empty")
    return JwtClaimKey(name)
