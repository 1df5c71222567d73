"""Endpoints that are no IP address: real processes, a host name and a UNIX socket."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer
from tempfile import TemporaryDirectory
from threading import Thread

from tests.processes import ProcessTestCase, get, mesh


class Answer(BaseHTTPRequestHandler):
    """Answers over a UNIX socket, and keeps the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        pass


class EndpointTests(ProcessTestCase):
    def test_name(self) -> None:
        """A replica that is configured by name is served, and /ready tells when it was found."""
        replicas = self.replicas(1)
        config = self.folder() / "mesh.yaml"
        text = mesh(replicas).replace("resolution: STATIC", "resolution: DNS").replace("127.0.0.1", "localhost")
        config.write_text(text)
        _, port, admin = self.gateway(config)
        self.assertIn(200, (get(admin, "/ready").status for _ in range(1000)))
        self.assertEqual(get(port, Host="test.com").status, 200)
        self.assertEqual(len(replicas[0].requests), 1)

    def test_name_that_comes_with_a_reload(self) -> None:
        """A reload that turns an address into a name loses no request."""
        replicas = self.replicas(1)
        config = self.folder() / "mesh.yaml"
        config.write_text(mesh(replicas))
        process, port, _ = self.gateway(config)
        self.assertEqual(get(port, Host="test.com").status, 200)
        config.write_text(mesh(replicas).replace("STATIC", "DNS_ROUND_ROBIN").replace("127.0.0.1", "localhost"))
        process.wait_for("Configuration 2 is served")
        self.assertEqual(get(port, Host="test.com").status, 200)

    def test_unix_socket(self) -> None:
        """Requests go to a replica behind a UNIX socket, several over one connection."""
        # Not in trial's folder: a socket's path has at most 107 bytes, and a checkout may lie deep.
        path = self.enterContext(TemporaryDirectory()) + "/s"
        server = ThreadingUnixStreamServer(path, Answer)
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        config = self.folder() / "mesh.yaml"
        config.write_text(mesh([]) + f"  - {{address: 'unix://{path}'}}\n")
        _, port, admin = self.gateway(config)
        for text in ("/a", "/b", "/c"):
            response = get(port, text, Host="test.com")
            self.assertEqual((response.status, response.text), (200, text))  # type: ignore[attr-defined]
        self.assertEqual(self.metric(admin, "meshproxy_upstream_connections_total"), 1)
