"""WebSocket byte by byte: through the gateway, everything is as it is on a direct connection."""

from __future__ import annotations

import socket
from typing import NamedTuple

from tests.integration.websocket_cases import Case, cases
from tests.integration.websocket_echo import EchoServer, Heard
from tests.processes import PATIENCE, ProcessTestCase, mesh

_HANDSHAKE = (
    "GET {path} HTTP/1.1",
    "Host: test.com",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Extensions: {extensions}",
)


class Outcome(NamedTuple):
    """What came of a case, at both ends.

    ``frames`` are the server's bytes after the opening handshake.
    """

    accepted: dict[str, str]
    frames: bytes
    heard: Heard


class CaseTests(ProcessTestCase):
    def setUp(self) -> None:
        self.endpoint = EchoServer()
        self.addCleanup(self.endpoint.end)
        config = self.folder() / "mesh.yaml"
        config.write_text(mesh([self.endpoint]))
        _, self.port, _ = self.gateway(config, "--access-log", "off")

    def play(self, case: Case, port: int) -> Outcome:
        """Go through a case; ends when the server has ended the connection."""
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            lines = [line for line in _HANDSHAKE if case.extensions or "Extensions" not in line]
            head = "\r\n".join([*lines, "", ""]).format(path=case.path, extensions=case.extensions)
            client.sendall(head.encode())
            received = b""
            while b"\r\n\r\n" not in received:
                received += client.recv(65536)
            received += self._talk(client, case)
        answer, _, frames = received.partition(b"\r\n\r\n")
        status, *fields = answer.decode().split("\r\n")
        self.assertEqual(status, "HTTP/1.1 101 Switching Protocols")
        values = dict(field.lower().split(": ", 1) for field in fields)
        accepted = {
            name: value for name, value in values.items() if name.startswith("sec-websocket") or name == "upgrade"
        }
        return Outcome(accepted, frames, self.endpoint.last_heard())

    def _talk(self, client: socket.socket, case: Case) -> bytes:
        received = b""
        try:
            step = case.chop or len(case.sent) or 1
            for at in range(0, len(case.sent), step):
                client.sendall(case.sent[at : at + step])
            if case.half_closes:
                client.shutdown(socket.SHUT_WR)
            while data := client.recv(1 << 20):
                received += data
        except (ConnectionResetError, BrokenPipeError):
            pass  # the server did not wait for the rest
        return received

    def test_all(self) -> None:
        """Each case has the outcome that it has without a gateway: the same frames, and the same end on both sides."""
        names = set()
        for case in cases():
            direct, proxied = self.play(case, self.endpoint.port), self.play(case, self.port)
            self.assertEqual(proxied, direct, case.name)
            names.add(case.name)
        self.assertEqual(len(names), len(list(cases())))
        self.assertGreater(len(names), 150)
