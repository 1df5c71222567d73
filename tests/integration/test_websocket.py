"""WebSocket through a running gateway, with a client and a server of the ``websockets`` library."""

from __future__ import annotations

import hashlib
import signal
import socket
import struct
import time
from threading import Thread
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.integration.websocket_cases import CLOSE, TEXT, frame
from tests.integration.websocket_echo import Heard
from tests.integration.websocket_endpoint import LARGEST, WebSocketEndpoint
from tests.processes import PATIENCE, ProcessTestCase, mesh


class WebSocketCase(ProcessTestCase):
    """A gateway with one endpoint that speaks WebSocket."""

    def setUp(self) -> None:
        self.endpoint = WebSocketEndpoint()
        self.addCleanup(self.endpoint.end)
        self.config = self.folder() / "mesh.yaml"
        self.config.write_text(mesh([self.endpoint]))
        self.access_log = self.config.with_name("access.log")
        self.process, self.port, self.admin = self.gateway(self.config, "--access-log", str(self.access_log))

    def connect(self, path: str = "/echo", **options: Any) -> ClientConnection:
        found = connect(
            f"ws://test.com{path}",
            sock=socket.create_connection(("127.0.0.1", self.port)),
            max_size=LARGEST,
            ping_interval=None,
            **options,
        )
        self.addCleanup(found.close)
        return found

    def wait_for_tunnels(self, number: int) -> None:
        """Until there are so many tunnels."""
        deadline = time.monotonic() + PATIENCE
        while self.metric(self.admin, "meshproxy_tunnels_active") != number:
            self.assertLess(time.monotonic(), deadline)


class Talking(WebSocketCase):
    def test_sizes(self) -> None:
        """Messages of all sizes come back as they were sent, with compression and without."""
        for compression in ("deflate", None):
            client = self.connect(compression=compression)
            for size in (0, 1, 125, 126, 127, 65535, 65536, 65537, 1_000_000):
                for message in ("x" * size, bytes(n & 255 for n in range(size))):
                    client.send(message)
                    self.assertEqual(client.recv(PATIENCE), message)
            client.close()
            self.assertEqual(self.endpoint.last_heard().code, 1000)

    def test_large_messages(self) -> None:
        """Messages of 16 MiB come back whole while more of them are under way than all buffers can hold."""
        client = self.connect()
        messages = [bytes([number]) * (16 << 20) for number in range(4)]

        def send() -> None:
            for message in messages:
                client.send(message)

        sender = Thread(target=send)
        sender.start()
        received = [client.recv(PATIENCE) for _ in messages]
        sender.join()
        digests = [hashlib.sha256(message).digest() for message in messages]
        self.assertEqual([hashlib.sha256(message).digest() for message in received], digests)

    def test_fragments(self) -> None:
        """Fragments stay as they are in both directions."""
        client = self.connect("/fragments")
        for pieces in (["one", "", "three"], ["x" * 70_000, "y"]):
            client.send(pieces)
            received = [piece for piece in client.recv_streaming() if piece]  # the library sends empty ones of its own
            self.assertEqual(received, [piece for piece in pieces if piece])

    def test_pings(self) -> None:
        """Either side's ping is answered by the other."""
        client = self.connect("/ping")
        self.assertEqual(client.recv(PATIENCE), "answered")
        self.assertTrue(client.ping(b"and you").wait(PATIENCE))

    def test_closing_by_either_side(self) -> None:
        """The code and reason of whoever closes first reach the other side."""
        for code in (1000, 1001, 1008, 3000, 4999):
            client = self.connect("/wait")
            client.close(code, "done")
            self.assertEqual(self.endpoint.last_heard(), Heard("/wait", [], code, "done"))
            client = self.connect(f"/close/{code}/bye")
            with self.assertRaises(ConnectionClosed):
                client.recv(PATIENCE)
            self.assertEqual((client.close_code, client.close_reason), (code, "bye"))
            self.assertEqual(self.endpoint.last_heard().path, f"/close/{code}/bye")

    def test_ending_without_a_word(self) -> None:
        """So does the end of a connection that nobody closed properly."""
        client = self.connect("/wait")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.socket.shutdown(socket.SHUT_RD)
        client.socket.close()
        self.assertEqual(self.endpoint.last_heard().code, 1006)
        client = self.connect("/vanish")
        with self.assertRaises(ConnectionClosed):
            client.recv(PATIENCE)
        self.assertEqual(client.close_code, 1006)

    def test_account(self) -> None:
        """A tunnel is one line of the access log, and no longer among the active ones after its end."""
        client = self.connect(compression=None)
        self.wait_for_tunnels(1)
        client.send("hello")
        client.recv(PATIENCE)
        client.close()
        self.wait_for_tunnels(0)
        self.process.signal(signal.SIGTERM)
        self.process.wait()
        (line,) = self.access_log.read_text().splitlines()
        received = len(frame(TEXT, b"hello") + frame(CLOSE, b"\x03\xe8"))
        sent = received - 8  # two masks, which a server's frames do not have
        self.assertRegex(line, rf'"GET /echo HTTP/1\.1" 101 (DC|UC) \S+ - "-" {received} {sent} \d+ - ')


class Lasting(WebSocketCase):
    def test_reload(self) -> None:
        """A tunnel outlives the configuration that it was made under, and everything in that."""
        client = self.connect()
        other = WebSocketEndpoint()
        self.addCleanup(other.end)
        self.config.write_text(mesh([other], "other.com", ports=(81,)))
        self.process.signal(signal.SIGHUP)
        self.process.wait_for(r"Configuration 2 is served")
        client.send("still there")
        self.assertEqual(client.recv(PATIENCE), "still there")

    def test_stop(self) -> None:
        """A stopping gateway lets it go on until its time is up."""
        process, self.port, _ = self.gateway(self.config, "--drain-timeout", "2s", "--access-log", "off")
        client = self.connect()
        process.signal(signal.SIGTERM)
        process.wait_for("Asked to stop")
        client.send("still there")
        self.assertEqual(client.recv(PATIENCE), "still there")
        with self.assertRaises(ConnectionClosed):
            client.recv(PATIENCE)
        self.assertEqual(client.close_code, 1006)
        self.assertEqual(process.wait(), 0)
