"""``meshproxy status``: what it prints of a gateway, and how it ends where there is none."""

from __future__ import annotations

import json
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.cli.statustable import lines
from tests.cli.running import AdminTestCase

ENDPOINT = {
    "address": "10.0.0.7:8080",
    "weight": 1,
    "priority": 0,
    "state": "healthy",
    "reason": "",
    "since": 400.0,
    "states": {"healthy": 1},
    "share": 0.25,
    "active": 2,
    "requests": 1234,
    "errors": 5,
    "ejections": 0,
    "connections": 3,
}
EJECTED = {
    **ENDPOINT,
    "address": "10.0.0.8:8080",
    "state": "unhealthy",
    "reason": "consecutive_5xx",
    "since": 990,
    "states": {"healthy": 1, "unhealthy": 1},
    "share": None,
    "priority": None,
    "ejections": 4,
}
CLUSTER: dict[str, Any] = {
    "name": "outbound|80||app.test",
    "strategy": "ringHash",
    "overflows": {"pending": 0, "request": 7},
    "priorities": [{"healthy_load": 100, "degraded_load": 0, "panic": False}],
    "endpoints_left_out": 0,
    "endpoints": [ENDPOINT, EJECTED],
}
TOLD: dict[str, Any] = {
    "version": 1,
    "meshproxy": "0.1.0",
    "time": 1000.0,
    "uptime": 7300.0,
    "ready": True,
    "processes": 2,
    "configuration": {
        "generation": 3,
        "installed_at": 700.0,
        "warnings": 1,
        "last_reload": {"result": "installed", "at": 700.0, "error": None},
    },
    "listeners": [{"bind": "", "port": 80, "routes": 5, "virtual_hosts": [{}], "virtual_hosts_left_out": 0}],
    "clusters": [CLUSTER],
}
TEXT = """\
meshproxy 0.1.0: ready, up 2h, 2 processes
configuration 3, installed 5m ago, 1 warning
listener :80: 1 virtual host, 5 routes

outbound|80||app.test: 1 of 2 endpoints healthy, ringHash
  refused by limits: request 7
  ENDPOINT       STATE               SINCE  WHY              PRIORITY  WEIGHT  SHARE  ACTIVE  REQUESTS  ERRORS  EJECTIONS  CONNECTIONS
  10.0.0.7:8080  healthy             10m    -                       0       1  25.0%       2      1234       5          0            3
  10.0.0.8:8080  unhealthy (1 of 2)  10s    consecutive_5xx         -       1      -       2      1234       5          4            3
"""  # noqa: E501


class StatusTestCase(AdminTestCase):
    def status(self, *arguments: str) -> tuple[int, str, str]:
        """The exit status, standard output and standard error of ``meshproxy status``."""
        return self.run_command("status", *arguments)


class TextTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Columns are aligned; what is not in each process alike says of how many."""
        self.assertEqual("".join(f"{line}\n" for line in lines(TOLD)), TEXT)

    def test_trouble(self) -> None:
        """A failed reload, panic, several priorities and what was left out show."""
        failed = {"result": "failed", "at": 940.0, "error": "mesh.yaml:3:5: error: no\n1 error"}
        loads = [
            {"healthy_load": 70, "degraded_load": 0, "panic": True},
            {"healthy_load": 20, "degraded_load": 10, "panic": False},
        ]
        told = {
            **TOLD,
            "ready": False,
            "configuration": {**TOLD["configuration"], "last_reload": failed},
            "clusters": [{**CLUSTER, "priorities": loads, "endpoints_left_out": 9}],
        }
        found = list(lines(told))
        self.assertIn("NOT READY", found[0])
        self.assertEqual(found[2:4], ["the last reload FAILED 60s ago:", "  mesh.yaml:3:5: error: no"])
        self.assertIn("  load of priority 0: 70% in panic, 1: 30%", found)
        self.assertEqual(found[-1], "  and 9 more endpoints")
        self.assertIn("1 of 11 endpoints healthy", found[7])

    def test_color(self) -> None:
        """In colours, columns stay where they are."""
        plain, colored = list(lines(TOLD)), list(lines(TOLD, color=True))
        self.assertNotEqual(plain, colored)
        self.assertEqual([line.replace("\x1b[31m", "").replace("\x1b[0m", "") for line in colored], plain)

    def test_escapes(self) -> None:
        """Nothing that a configuration names acts on the terminal."""
        (*_, last) = lines({**TOLD, "clusters": [{**CLUSTER, "name": "a\x1b[2Jb", "endpoints": []}]})
        self.assertNotIn("\x1b", last)


class CommandTests(StatusTestCase):
    def test_asks(self) -> None:
        """The gateway is asked for what is wanted of it, and the answer is shown."""
        address = self.serve(json.dumps(TOLD))
        self.assertEqual(self.status("--admin", address, "--cluster", "a|b"), (0, TEXT, ""))
        self.status("--admin", address, "--cluster", "\udcff")  # as Python has the argument b"\xff"
        self.assertEqual(self.asked, ["/status?cluster=a%7Cb", "/status?cluster=%FF"])

    def test_json(self) -> None:
        """For programs, the document as the gateway gave it."""
        status, stdout, _ = self.status("--admin", self.serve(json.dumps(TOLD)), "--format", "json")
        self.assertEqual((status, json.loads(stdout)), (0, TOLD))

    def test_nobody_there(self) -> None:
        """Without a gateway the exit status is 69, and one line says why."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, stdout, stderr = self.status("--admin", address)
        self.assertEqual((status, stdout), (69, ""))
        why = f"no answer from the admin server {address}: Connection refused"
        self.assertEqual(stderr, f"meshproxy status: {why}\n")
        self.assertEqual(self.status("--admin", "unix:/nonexistent/socket")[0], 69)

    def test_something_else_there(self) -> None:
        """Something that is no gateway, or an error, is told as that."""
        for body, code, expected in (
            ("<html>", 200, ""),
            ("[]", 200, "the admin server answers 200 OK: []"),
            ("no", 403, "403 Forbidden: no"),
        ):
            status, _, stderr = self.status("--admin", self.serve(body, code))
            self.assertEqual(status, 69)
            self.assertIn(expected, stderr)
            self.assertEqual(stderr.count("\n"), 1)

    def test_wrong_usage(self) -> None:
        """An address that is none is wrong usage."""
        for address in ("127.0.0.1:x", "unix:", "", "ftp://x"):
            self.assertEqual(self.status("--admin", address)[0], 64)
