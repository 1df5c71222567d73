"""The drain page and the command that asks it."""

from __future__ import annotations

import io
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import urlencode

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.admin import pages
from meshproxy.cli.main import _parser
from meshproxy.policies import Drain
from tests.admin.test_pages import PagesTestCase
from tests.fakes import endpoints
from tests.fakes import snapshot as served


class DrainPageTests(PagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.service.gateway.install(served())
        self.upstreams = self.service.gateway.upstreams
        self.patch(pages.time, "time", lambda: 1_903_867_200.0)
        self.address = endpoints()[0].address

    def drain(self, method: str = "POST", **asked: str) -> tuple[int, Any]:
        status, body = self.answer(method, "/drain?" + urlencode(asked))
        return status, json.loads(body)

    def test_start_and_stop(self) -> None:
        """A drain begins, gets an end, is listed, and is over."""
        status, found = self.drain(address=self.address)
        self.assertEqual((status, found["done"]), (200, f"{self.address} drains"))
        self.drain(address=self.address, **{"for": "10m"})
        self.assertEqual(self.upstreams.drains.all, (Drain(self.address, None, 1_903_867_800.0),))
        (listed,) = self.drain("GET")[1]["draining"]
        self.assertEqual(listed, {"drain": self.address, "until": "2030-05-01T12:10:00+00:00"})
        self.assertIn("takes new sessions again", self.drain(address=self.address, stop="true")[1]["done"])
        self.assertEqual(self.drain("GET")[1], {"draining": []})
        self.assertIn("was not draining", self.drain(address=self.address, stop="true")[1]["done"])

    def test_until(self) -> None:
        """A drain may end at a time, and be for one port."""
        self.drain(address=self.address, port="80", until="2030-05-01T14:00:00+02:00")
        self.assertEqual(self.upstreams.drains.all, (Drain(self.address, 80, 1_903_867_200.0),))

    def test_refused(self) -> None:
        """What cannot be understood changes nothing and is told."""
        for asked, part in (
            ({}, "address must be an IP address"),
            ({"address": "app"}, "address must be an IP address"),
            ({"address": "10.0.0.1", "port": "0"}, "port must be a number"),
            ({"address": "10.0.0.1", "until": "2030-05-01"}, "until must be a time with its zone"),
            ({"address": "10.0.0.1", "until": "x"}, "until must be a time with its zone"),
            ({"address": "10.0.0.1", "for": "ten"}, "duration"),
            ({"address": "10.0.0.1", "for": "1s", "until": "x"}, "only one of until and for"),
            ({"address": "10.0.0.1", "stop": "yes"}, "stop must be true or false"),
            ({"address": "10.0.0.1", "stop": "true", "for": "1s"}, "stop stands for itself"),
            ({"adress": "10.0.0.1"}, "there is no 'adress'"),
        ):
            status, found = self.drain(**asked)
            self.assertEqual(status, 422, asked)
            self.assertIn(part, found["error"])
        self.assertEqual(self.upstreams.drains.all, ())

    def test_safety(self) -> None:
        """GET changes nothing, nor does a page of another site."""
        path = f"/drain?address={self.address}"
        self.answer("GET", path)
        self.assertEqual(self.answer("POST", path, "evil.test")[0], 403)
        self.assertEqual(self.answer("POST", path, origin="http://evil.test")[0], 403)
        self.assertEqual(self.upstreams.drains.all, ())


class _Answering(BaseHTTPRequestHandler):
    answer: ClassVar[tuple[int, bytes]] = (200, b"{}")
    asked: ClassVar[list[tuple[str, str, str]]] = []

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        self.asked.append((self.command, self.path, body))
        status, answer = self.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        pass


class DrainCommandTests(SynchronousTestCase):
    def run_command(
        self, *arguments: str, answer: tuple[int, bytes] = (200, b'{"done": "done"}')
    ) -> tuple[int, str, str]:
        """Exit status, output and errors, with an admin server that gives this answer."""
        _Answering.answer, _Answering.asked = answer, []
        server = HTTPServer(("127.0.0.1", 0), _Answering)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            given = _parser().parse_args(["drain", *arguments, "--admin", f"http://127.0.0.1:{server.server_port}"])
            out, err = io.StringIO(), io.StringIO()
            return given.run(given, io.BytesIO(), out, err), out.getvalue(), err.getvalue()
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def test_questions(self) -> None:
        """What is written becomes the question of the page."""
        for arguments, body in (
            (("start", "10.0.0.1"), "address=10.0.0.1"),
            (("start", "10.0.0.1:80", "--for", "10m"), "address=10.0.0.1&port=80&for=10m"),
            (("start", "[2001:db8::1]:80"), "address=2001%3Adb8%3A%3A1&port=80"),
            (("stop", "2001:db8::1"), "address=2001%3Adb8%3A%3A1&stop=true"),
        ):
            self.assertEqual(self.run_command(*arguments), (0, "done\n", ""))
            self.assertEqual(_Answering.asked, [("POST", "/drain", body)])

    def test_list(self) -> None:
        """The list has a line for each drain."""
        listed = {"draining": [{"drain": "10.0.0.1", "until": None}]}
        found = self.run_command("list", answer=(200, json.dumps(listed).encode()))
        self.assertEqual(found, (0, "10.0.0.1  without end\n", ""))
        self.assertEqual(_Answering.asked, [("GET", "/drain", "")])

    def test_failures(self) -> None:
        """Refusals, wrong usage and a server that is not there have exit statuses of their own."""
        refused = self.run_command("start", "x", answer=(422, b'{"error": "no IP"}'))
        self.assertEqual(refused, (1, "", "meshproxy drain: no IP\n"))
        refused = self.run_command("start", "x", answer=(403, b"no\n"))
        self.assertEqual(refused[2], "meshproxy drain: the admin server answers 403 Forbidden: no\n")
        self.assertEqual(self.run_command("start")[0], 64)
        self.assertEqual(self.run_command("list", "x")[0], 64)
        for admin, status in (("ftp://x", 64), ("http://127.0.0.1:1", 69)):
            given = _parser().parse_args(["drain", "list", "--admin", admin])
            self.assertEqual(given.run(given, io.BytesIO(), io.StringIO(), io.StringIO()), status)
