"""Real endpoints that die, as health checks and outlier detection find out: sessions leave, and come back with them."""

from __future__ import annotations

import json
import os
import signal
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tests.integration.workers import children
from tests.processes import PATIENCE, ProcessTestCase, get, mesh

POLICY = """\
---
apiVersion: meshproxy.dev/v1alpha1
kind: BackendPolicy
metadata: {name: checked}
spec:
  host: replicas.example
  healthCheck:
    http: {path: /healthz}
    interval: 100ms
    unhealthyThreshold: 2
"""
EJECTION = "    outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 300s, maxEjectionPercent: 50}\n"


class Endpoint:
    """An endpoint that can be ended and begun anew at the same port."""

    def __init__(self, name: str) -> None:
        self.port = 0
        self.status = 200
        endpoint = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(endpoint.status if self.path == "/healthz" else 200)
                self.send_header("x-served-by", name)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._answer = Answer
        self.begin()

    def begin(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._answer)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class EndpointsCase(ProcessTestCase):
    def setUp(self) -> None:
        self.endpoints = [Endpoint(f"endpoint-{number}") for number in range(3)]
        for endpoint in self.endpoints:
            self.addCleanup(endpoint.end)

    def serve(self, processes: int, text: str) -> None:
        config = self.folder() / "mesh.yaml"
        config.write_text(text)
        self.process, self.port, self.admin = self.gateway(config, "--workers", str(processes), "--access-log", "off")
        if processes > 1:
            self.process.wait_for(f"{processes} workers serve")

    def wait_until(self, states: list[dict[str, int]]) -> list[dict[str, Any]]:
        """Wait until the endpoints are in these states and the table follows; what the status says of them then."""
        deadline = time.monotonic() + PATIENCE
        while True:
            told = json.loads(get(self.admin, "/status").text)  # type: ignore[attr-defined]
            endpoints: list[dict[str, Any]] = told["clusters"][0]["endpoints"]
            shares = all((it["share"] == 0) is (it["state"] != "healthy") for it in endpoints)
            if [it["states"] for it in endpoints] == states and shares:
                return endpoints
            if time.monotonic() > deadline:
                raise AssertionError(f"still {endpoints}\n{self.process.output}")

    def places(self) -> dict[str, str]:
        """Where each of some sessions is served; all requests are answered."""
        found = {}
        for session in (f"s{number}" for number in range(12)):
            response = get(self.port, Host="test.com", Cookie=f"ISTIOID={session}")
            self.assertEqual(response.status, 200)
            found[session] = response.headers["x-served-by"]
        return found


class HealthCheckTests(EndpointsCase):
    def check(self, processes: int) -> None:
        self.serve(processes, mesh(self.endpoints) + POLICY)
        healthy, unhealthy = {"healthy": processes}, {"unhealthy": processes}
        self.wait_until([healthy] * 3)
        before = self.places()
        self.endpoints[1].end()
        told = self.wait_until([healthy, unhealthy, healthy])
        self.assertEqual(told[1]["reason"], "health check: connection refused")
        self.assertNotIn("endpoint-1", self.places().values())
        self.endpoints[1].begin()
        self.wait_until([healthy] * 3)
        self.assertEqual(self.places(), before)
        self.endpoints[2].status = 503
        told = self.wait_until([healthy, healthy, unhealthy])
        self.assertEqual(told[2]["reason"], "health check: status 503")
        self.process.wait_for(r"fails its health checks: connection refused")
        self.process.wait_for(r"passes its health checks again")

    def test_one_process(self) -> None:
        """A dead endpoint gets no session before any request has failed; revived, it has its sessions back."""
        self.check(1)

    def test_workers(self) -> None:
        """With workers, one process checks and all of them know."""
        self.check(2)


class EjectionTests(EndpointsCase):
    def test_workers(self) -> None:
        """What one worker ejects is ejected in all, also in one that comes later."""
        text = mesh(self.endpoints)
        self.serve(2, text.replace("  trafficPolicy:\n", "  trafficPolicy:\n" + EJECTION))
        self.wait_until([{"healthy": 2}] * 3)
        session = next(session for session, place in self.places().items() if place == "endpoint-1")
        self.endpoints[1].end()
        get(self.port, Host="test.com", Cookie=f"ISTIOID={session}")  # with two retries
        out = [{"healthy": 2}, {"unhealthy": 2}, {"healthy": 2}]
        told = self.wait_until(out)
        self.assertEqual((told[1]["reason"], told[1]["ejections"]), ("consecutive_5xx", 1))
        self.assertEqual(self.metric(self.admin, "meshproxy_ejections_active"), 1)
        os.kill(children(self.process.popen.pid)[0], signal.SIGKILL)
        self.process.wait_for(r"Worker \d \(pid \d+\) has ended: signal SIGKILL")
        self.wait_until(out)
        self.assertNotIn("endpoint-1", self.places().values())
