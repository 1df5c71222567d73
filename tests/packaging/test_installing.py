"""Each way of installing gives a working ``twistd meshproxy`` from any folder.

The environments are new and hold the dependencies of the one that the tests run in, so no registry is asked.
"""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.environments import Environment

BUNDLED = [
    "LEAST_REQUEST",
    "RANDOM",
    "ROUND_ROBIN",
    "httpCookie",
    "httpHeaderName",
    "httpQueryParameterName",
    "maglev",
    "ringHash",
    "useSourceIp",
]
START_SECONDS = 30


class InstallingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.environment = Environment()
        self.addCleanup(self.environment.remove)
        self.bin = self.environment.bin
        self.checkout = self.environment.copy()

    def check(self) -> None:
        """Both programs are there, the registry finds all strategies, and the demo keeps a session at one replica."""
        self.assertIn("--config", self.environment.run(self.bin / "twistd", "meshproxy", "--help"))
        example = self.checkout / "examples" / "scenario-zero"
        self.assertIn("checked", self.environment.run(self.bin / "meshproxy", "check", example))
        names = self.environment.run(
            self.bin / "python",
            "-c",
            "from meshproxy.registry import Registry; r = Registry.discover(); "
            "print(*sorted([*r.hash_keys, *r.load_balancers]))",
        )
        self.assertEqual(names.split(), BUNDLED)
        self.check_demo()

    def check_demo(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        gateway = subprocess.Popen(
            [self.bin / "twistd", "-n", "--pidfile=", "meshproxy", "--demo", f"--map-port=80={port}", "--admin=off"],
            cwd=self.environment.away,
            env=self.environment.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            connection = self.connect(gateway, port)
            connection.request("GET", "/", headers={"Host": "test.com"})
            first = connection.getresponse()
            self.assertEqual(first.status, 200)
            first.read()
            cookie = first.headers["set-cookie"].partition(";")[0]
            self.assertRegex(cookie, r'^ISTIOID="[0-9a-f]{16}"$')
            served_by = set()
            for _ in range(10):
                connection.request("GET", "/", headers={"Host": "test.com", "Cookie": cookie})
                response = connection.getresponse()
                response.read()
                served_by.add(response.headers["x-served-by"])
            self.assertEqual(served_by, {first.headers["x-served-by"]})
            connection.close()
            gateway.send_signal(signal.SIGTERM)
            self.assertEqual(gateway.wait(30), 0)
        finally:
            gateway.kill()
            gateway.communicate()

    def connect(self, gateway: subprocess.Popen[str], port: int) -> http.client.HTTPConnection:
        """A connection to the gateway, as soon as it listens."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.connect()
            except ConnectionRefusedError:
                self.assertIsNone(gateway.poll(), "the gateway ended")
                self.assertLess(time.monotonic(), deadline, "the gateway does not listen")
                time.sleep(0.05)
            else:
                return connection

    def test_folder(self) -> None:
        """``pip install .``"""
        self.environment.install(self.checkout)
        self.check()

    def test_editable(self) -> None:
        """``pip install -e .``"""
        self.environment.install("-e", self.checkout)
        self.check()

    def test_wheel(self) -> None:
        """A wheel that was built from the checkout."""
        self.environment.install(self.environment.build("wheel", self.checkout))
        self.check()

    def test_sdist(self) -> None:
        """An sdist that was built from the checkout; it carries all that a wheel needs."""
        self.environment.install(self.environment.build("sdist", self.checkout))
        self.check()
