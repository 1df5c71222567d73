"""``meshproxy drain``: what it asks the gateway, and how it ends."""

from __future__ import annotations

import json

from tests.cli.running import AdminTestCase


class DrainTests(AdminTestCase):
    def drain(self, *arguments: str, answer: str = '{"done": "done"}', status: int = 200) -> tuple[int, str, str]:
        """The exit status, standard output and standard error, with an admin server that gives this answer."""
        return self.run_command("drain", *arguments, "--admin", f"http://{self.serve(answer, status)}")

    def test_questions(self) -> None:
        """What is written becomes the question of the page."""
        for arguments, body in (
            (("start", "10.0.0.1"), "address=10.0.0.1"),
            (("start", "10.0.0.1:80", "--for", "10m"), "address=10.0.0.1&port=80&for=10m"),
            (("start", "[2001:db8::1]:80"), "address=2001%3Adb8%3A%3A1&port=80"),
            (("start", "[2001:db8::1]"), "address=2001%3Adb8%3A%3A1"),
            (("stop", "2001:db8::1"), "address=2001%3Adb8%3A%3A1&stop=true"),
        ):
            self.assertEqual(self.drain(*arguments), (0, "done\n", ""))
            self.assertEqual((self.methods, self.asked, self.bodies), (["POST"], ["/drain"], [body]))

    def test_list(self) -> None:
        """The list has a line for each drain."""
        listed = {"draining": [{"drain": "10.0.0.1", "until": None}]}
        self.assertEqual(self.drain("list", answer=json.dumps(listed)), (0, "10.0.0.1  without end\n", ""))
        self.assertEqual((self.methods, self.asked, self.bodies), (["GET"], ["/drain"], [""]))

    def test_failures(self) -> None:
        """Refusals, wrong usage and a server that is not there have exit statuses of their own."""
        refused = self.drain("start", "x", answer='{"error": "no IP"}', status=422)
        self.assertEqual(refused, (1, "", "meshproxy drain: no IP\n"))
        for action, answer, status, why in (
            (("start", "x"), "no\n", 403, "403 Forbidden: no"),
            (("start", "x"), "<html>", 200, "200 OK: <html>"),
            (("list",), "{}", 200, "200 OK: {}"),
        ):
            refused = self.drain(*action, answer=answer, status=status)
            self.assertEqual(refused, (1, "", f"meshproxy drain: the admin server answers {why}\n"))
        self.assertEqual(self.drain("start")[0], 64)
        self.assertEqual(self.drain("list", "x")[0], 64)
        for admin, expected in (("ftp://x", 64), ("http://127.0.0.1:1", 69)):
            self.assertEqual(self.run_command("drain", "list", "--admin", admin)[0], expected)
