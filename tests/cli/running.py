"""Running ``meshproxy`` inside the process of the tests."""

from __future__ import annotations

import io
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.cli.main import main


class Input(io.TextIOWrapper):
    """A standard input with these bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))


class CommandTestCase(SynchronousTestCase):
    def run_command(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """The exit status, standard output and standard error of ``meshproxy``."""
        stdout, stderr = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", stdout)
        self.patch(sys, "stderr", stderr)
        self.patch(sys, "stdin", Input(stdin))
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, stdout.getvalue(), stderr.getvalue()


class AdminTestCase(CommandTestCase):
    """For commands that ask a gateway."""

    def serve(self, body: str, status: int = 200) -> str:
        """The address of a server that gives this answer.

        ``methods`` and ``asked`` (the paths) tell what it was asked, ``bodies`` and ``tokens`` what came with that.
        """
        self.methods: list[str] = []
        self.asked: list[str] = []
        self.bodies: list[str] = []
        self.tokens: list[str | None] = []
        methods, asked, bodies, tokens = self.methods, self.asked, self.bodies, self.tokens

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                bodies.append(self.rfile.read(int(self.headers.get("content-length") or 0)).decode())
                methods.append(self.command)
                asked.append(self.path)
                tokens.append(self.headers.get("authorization"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        for end in (thread.join, server.server_close, server.shutdown):
            self.addCleanup(end)
        return f"127.0.0.1:{server.server_address[1]}"
