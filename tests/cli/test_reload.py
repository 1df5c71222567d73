"""``meshproxy reload``, and the token that commands send with what changes something."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.cli.running import AdminTestCase

TOKEN = "0123456789abcdef"
INSTALLED = json.dumps({"result": "installed", "generation": 3})


class ReloadTests(AdminTestCase):
    def reload(self, answer: str = INSTALLED, status: int = 200, *more: str) -> tuple[int, str, str]:
        return self.run_command("reload", "--admin", self.serve(answer, status), *more)

    def token_file(self, mode: int) -> str:
        path = Path(self.mktemp())
        path.write_text(TOKEN)
        path.chmod(mode)
        return str(path)

    def in_environment(self, path: str) -> None:
        self.patch(os, "environ", {**os.environ, "MESHPROXY_ADMIN_TOKEN_FILE": path})

    def test_outcomes(self) -> None:
        """How a reload ended is told, and the exit status says whether the configuration is served."""
        self.assertEqual(self.reload(), (0, "configuration 3 is served\n", ""))
        same = json.dumps({"result": "unchanged", "generation": 3})
        self.assertEqual(self.reload(same), (0, "configuration 3 is served\n", ""))
        wrong = json.dumps({"result": "failed", "generation": 3, "error": "mesh.yaml:3:5: no\n1 error\n"})
        self.assertEqual(self.reload(wrong, 422), (78, "", "mesh.yaml:3:5: no\n1 error\n"))
        for status in (401, 403, 503):
            code, text, errors = self.reload("no\n", status)
            self.assertEqual((code, text, errors.count("\n")), (1, "", 1))
        self.assertEqual(self.run_command("reload", "--admin", "unix:/nonexistent")[0], 69)

    def test_token(self) -> None:
        """The token comes from the file that an option or the environment names, and only with what needs it."""
        token = self.token_file(0o600)
        self.reload()
        self.assertEqual((self.asked, self.tokens), (["/reload"], [None]))
        self.reload(INSTALLED, 200, "--token-file", token)
        self.assertEqual(self.tokens, [f"Bearer {TOKEN}"])
        self.in_environment(token)
        self.reload()
        self.assertEqual(self.tokens, [f"Bearer {TOKEN}"])
        self.run_command("drain", "start", "10.0.0.1", "--admin", self.serve('{"done": "done"}'))
        self.assertEqual(self.tokens, [f"Bearer {TOKEN}"])
        self.run_command("drain", "list", "--admin", self.serve('{"draining": []}'))
        self.assertEqual(self.tokens, [None])

    def test_token_that_is_no_good(self) -> None:
        """A file that others can read is wrong usage, but for a UNIX socket, which needs none."""
        token = self.token_file(0o644)
        status, _, errors = self.reload(INSTALLED, 200, "--token-file", token)
        self.assertEqual((status, self.asked), (64, []))
        self.assertIn("chmod 600", errors)
        self.assertNotIn(TOKEN, errors)
        self.in_environment(token)
        self.assertEqual(self.run_command("reload", "--admin", "unix:/nonexistent")[0], 69)
