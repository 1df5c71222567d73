"""The token of those who may change something by the admin server: a file, and what it has to be like.

Whoever can read it has the token, so everybody's being able to is refused as no token would be. The file is read each
time that it is needed, which is seldom: a new token holds at once, and none is kept in memory.
"""

from __future__ import annotations

import os
import re
import stat
from hmac import compare_digest

from meshproxy.net.addresses import reason

FEWEST_CHARACTERS, MOST_CHARACTERS = 16, 4096
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1
_BEARER = re.compile(rb"bearer +([^ ]+) *", re.IGNORECASE)
_HINT = "such as the output of: openssl rand -hex 32"


class TokenFile:
    """A file with a token in one line."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> bytes:
        """The token. Raises ``ValueError`` with a reason that does not tell it."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                text = file.read(MOST_CHARACTERS + 2) if stat.S_ISREG(found.st_mode) else None
        except OSError as error:
            raise ValueError(f"the token file {self.path} cannot be read: {reason(error)}") from None
        if text is None:
            raise ValueError(f"the token file {self.path} is no regular file")
        if found.st_mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
            what = "others may read it" if found.st_mode & stat.S_IROTH else "others may write it"
            raise ValueError(f"the token file {self.path} is not safe, since {what}: chmod 600 makes it so")
        token = text.strip()
        if not FEWEST_CHARACTERS <= len(token) <= MOST_CHARACTERS or not _TOKEN.fullmatch(token):
            form = f"one line of {FEWEST_CHARACTERS} to {MOST_CHARACTERS} letters, digits and -._~+/"
            raise ValueError(f"the token file {self.path} must have {form}, {_HINT}")
        return token

    def is_for_group(self) -> bool:
        """Whether the group of the file may read it."""
        return bool(os.stat(self.path).st_mode & stat.S_IRGRP)

    def admits(self, authorization: bytes) -> bool:
        """Whether the ``Authorization`` field of a request has the token. Raises ``ValueError`` as ``read`` does."""
        token, match = self.read(), _BEARER.fullmatch(authorization)
        return compare_digest(token, match[1] if match is not None else b"")


__all__ = ["FEWEST_CHARACTERS", "TokenFile"]
