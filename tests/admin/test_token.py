"""The file with the token for changes."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.admin.token import TokenFile

TOKEN = "0123456789abcdef"


class TokenFileTests(SynchronousTestCase):
    def file(self, text: str, mode: int = 0o600) -> TokenFile:
        path = Path(self.mktemp())
        path.write_text(text)
        path.chmod(mode)
        return TokenFile(str(path))

    def test_token(self) -> None:
        """The token is the one line of the file; the group may read it where that is wanted."""
        for text in (TOKEN, f"{TOKEN}\n", f" {TOKEN}\r\n\n"):
            self.assertEqual(self.file(text).read(), TOKEN.encode())
        self.assertFalse(self.file(TOKEN).is_for_group())
        self.assertTrue(self.file(TOKEN, 0o440).is_for_group())
        self.assertEqual(self.file(TOKEN, 0o440).read(), TOKEN.encode())

    def test_refused(self) -> None:
        """What is short, long, no token, readable or writable for others, or no file is refused without telling it."""
        two = f"{TOKEN} {TOKEN}"
        for text in ("", TOKEN[1:], "x" * 5000, two, two.replace(" ", "\n"), f"{TOKEN}\u00e4", f"={TOKEN}"):
            with self.assertRaisesRegex(ValueError, "must have one line of 16 to 4096") as caught:
                self.file(text).read()
            self.assertNotIn(text or "?", str(caught.exception))
        for mode in (0o604, 0o644, 0o602, 0o620):
            with self.assertRaisesRegex(ValueError, "chmod 600"):
                self.file(TOKEN, mode).read()
        fifo = self.mktemp()
        os.mkfifo(fifo, 0o600)
        for path, why in ((fifo, "no regular file"), (".", "cannot be read"), ("/nonexistent", "No such file")):
            with self.assertRaisesRegex(ValueError, why):
                TokenFile(path).read()
