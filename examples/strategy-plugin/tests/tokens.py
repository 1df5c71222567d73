"""Tokens for tests."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode


def token(**claims: object) -> str:
    """A token with these claims and no valid signature."""
    parts = ({"alg": "none"}, claims)
    encoded = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "signature"])


def bearer(**claims: object) -> tuple[bytes, bytes]:
    """The header that carries such a token."""
    return (b"authorization", b"Bearer " + token(**claims).encode())
