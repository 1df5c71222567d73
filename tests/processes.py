"""Real processes for integration tests: a twistd, replicas in threads, and waiting for them without sleeping."""

from __future__ import annotations

import http.client
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

from twisted.trial.unittest import SynchronousTestCase

TWISTD = (sys.executable, "-c", "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()")
TOKEN = "a-token-for-tests"
PATIENCE = 30.0
"""Seconds after which something that should happen at once has failed; long, for machines that are busy."""


class Process:
    """A child process whose output can be waited for."""

    def __init__(self, command: Sequence[str], cwd: str | Path | None = None, pass_fds: Sequence[int] = ()) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        environment.pop("NOTIFY_SOCKET", None)
        self.popen = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=pass_fds,
        )
        self.output = ""
        assert self.popen.stdout is not None
        self._stdout = self.popen.stdout.fileno()
        os.set_blocking(self._stdout, False)

    def _read(self, deadline: float) -> bool:
        """Read some output; False at its end. Fails when nothing comes until the deadline."""
        if not select.select([self._stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"nothing more came; all output:\n{self.output}")
        data = os.read(self._stdout, 65536)
        self.output += data.decode(errors="replace")
        return bool(data)

    def read_now(self) -> None:
        """Read the output that is there already."""
        while select.select([self._stdout], [], [], 0)[0] and self._read(time.monotonic()):
            pass

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first place in all output that matches; waits until there is one."""
        deadline = time.monotonic() + PATIENCE
        while True:
            match = re.search(pattern, self.output)
            if match is not None:
                return match
            if not self._read(deadline):
                raise AssertionError(f"ended without {pattern!r}:\n{self.output}")

    def wait(self) -> int:
        """The exit status, after all output was read."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self.popen.wait(PATIENCE)

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        assert self.popen.stdout is not None
        self.popen.stdout.close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left before its answer is no news."""


class Replica:
    """An endpoint in a thread. It waits with its answer to ``/slow`` until ``go_on`` is set."""

    def __init__(self, name: str) -> None:
        self.requests: list[str] = []
        self.got_slow, self.go_on = Event(), Event()
        replica = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                replica.requests.append(self.path)
                if self.path == "/slow":
                    replica.got_slow.set()
                    replica.go_on.wait(PATIENCE)
                self.send_response(200)
                self.send_header("x-served-by", name)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def get(port: int, path: str = "/", method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    """The response of something on loopback, its body read into ``text``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        response.text = response.read().decode()  # type: ignore[attr-defined]
        return response
    finally:
        connection.close()


def wait_for_end(pid: int) -> None:
    """Wait until a process that is no child of ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([descriptor], [], [], PATIENCE)[0]:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"process {pid} does not end")
    finally:
        os.close(descriptor)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as trial:
        port: int = trial.getsockname()[1]
        return port


MESH = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
{servers}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: vs}}
spec:
  gateways: [gw]
  hosts: [{host}]
  http:
  - route:
    - destination: {{host: replicas.example}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: sticky}}
spec:
  host: replicas.example
  trafficPolicy:
    loadBalancer:
      consistentHash:
        httpCookie: {{name: ISTIOID, ttl: 60s}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: replicas}}
spec:
  hosts: [replicas.example]
  resolution: STATIC
  ports: [{{name: http, number: 8080, protocol: HTTP}}]
  endpoints:
{endpoints}
"""


def mesh(replicas: Sequence[Replica], host: str = "test.com", ports: Sequence[int] = (80,)) -> str:
    """A configuration: servers at these ports, a host, and sticky sessions with the replicas."""
    servers = [f"  - {{hosts: ['*'], port: {{name: p{port}, number: {port}, protocol: HTTP}}}}" for port in ports]
    endpoints = [f"  - {{address: 127.0.0.1, ports: {{http: {replica.port}}}}}" for replica in replicas]
    return MESH.format(servers="\n".join(servers), host=host, endpoints="\n".join(endpoints))


class ProcessTestCase(SynchronousTestCase):
    """Starts processes and ends them, however the test goes."""

    def start(self, *command: str, cwd: str | Path | None = None) -> Process:
        process = Process(command, cwd)
        self.addCleanup(process.end)
        return process

    def replicas(self, number: int = 3) -> list[Replica]:
        replicas = [Replica(f"replica-{n}") for n in range(number)]
        for replica in replicas:
            self.addCleanup(replica.end)
        return replicas

    def folder(self) -> Path:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir(parents=True)
        return folder

    def twistd(self, *options: str, cwd: str | Path | None = None) -> Process:
        return self.start(*TWISTD, "-n", "--pidfile=", "meshproxy", *options, cwd=cwd)

    def gateway(self, config: str | Path, *options: str) -> tuple[Process, int, int]:
        """A gateway that serves, in one process unless options say otherwise; its process, port and admin port.

        Who has ``TOKEN`` may change something by its admin server.
        """
        token = self.folder() / "token"
        token.touch(0o600)
        token.write_text(TOKEN)
        process = self.twistd(
            *("-c", str(config), "--map-port", "80=0", "--listen-address", "127.0.0.1"),
            *("--admin", "tcp:0:interface=127.0.0.1", "--workers", "1"),
            *("--admin-token-file", str(token), *options),
        )
        process.wait_for(r"Configuration 1 is served")
        port = int(process.wait_for(r"Listening on 127\.0\.0\.1:(\d+)")[1])
        admin = int(process.wait_for(r"Admin server on http://127\.0\.0\.1:(\d+)/")[1])
        return process, port, admin

    def asked_to_reload(self, admin: int) -> http.client.HTTPResponse:
        """What an admin server answers to who wants a reload."""
        return get(admin, "/reload", "POST", Authorization=f"Bearer {TOKEN}")

    def metric(self, admin: int, name: str) -> float:
        match = re.search(rf"^{re.escape(name)} (\S+)$", get(admin, "/metrics").text, re.M)  # type: ignore[attr-defined]
        assert match is not None, name
        return float(match[1])
