from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from meshproxy import config
from meshproxy.demo import scenario
from meshproxy.model import ProxyIdentity
from meshproxy.registry import Registry
from tests.packaging.checkout import ROOT
from tests.processes import TWISTD, Process, ProcessTestCase, free_port, get, wait_for_end


class ScenarioTests(SynchronousTestCase):
    def test_files_load(self) -> None:
        """The files of the example load as they are, without a warning, and have all three replicas."""
        snapshot = config.load(config.read([ROOT / "examples" / "scenario-zero"]), Registry.discover(), ProxyIdentity())
        self.assertEqual(snapshot.warnings, ())
        self.assertEqual([listener.port for listener in snapshot.listeners], [scenario.GATEWAY_PORT])
        (cluster,) = snapshot.clusters.values()
        self.assertEqual([endpoint.port for endpoint in cluster.endpoints], list(scenario.REPLICAS.values()))

    def test_ports_are_put_in(self) -> None:
        """The demo's configuration is the example's with other ports."""
        snapshot = config.load(scenario.sources([1001, 1002, 1003]), Registry.discover(), ProxyIdentity())
        (cluster,) = snapshot.clusters.values()
        self.assertEqual([endpoint.port for endpoint in cluster.endpoints], [1001, 1002, 1003])


class DemoTestCase(ProcessTestCase):
    def check_session(self, port: int) -> None:
        """A session sticks, and each answer says who gave it."""
        first: Any = get(port, Host="test.com")
        self.assertEqual((first.status, first.headers["content-type"]), (200, "application/json"))
        cookie = first.headers["set-cookie"].partition(";")[0]
        served_by = {get(port, Host="test.com", Cookie=cookie).headers["x-served-by"] for _ in range(5)}
        self.assertEqual(served_by, {first.headers["x-served-by"]})


class ProcessesTests(DemoTestCase):
    def demo(self, port: int) -> Process:
        # Killed, it cannot remove its temporary files.
        temporary = f"TMPDIR={self.enterContext(TemporaryDirectory())}"
        command = (sys.executable, "-m", "meshproxy.demo", "--port", str(port), "--admin", "off")
        return self.start("env", temporary, *command)

    def children(self, process: Process) -> list[int]:
        pid = process.popen.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def test_session(self) -> None:
        """It prints commands to try, serves a sticky session, and shows a line from the replica for each request."""
        port = free_port()
        process = self.demo(port)
        process.wait_for("Ctrl-C ends everything")
        self.assertEqual(process.output.count(f"-H 'Host: test.com' http://127.0.0.1:{port}/"), 2)
        self.check_session(port)
        process.wait_for(r"(?m)^replica-\d: GET '/' cookie='ISTIOID=")

    def test_questions(self) -> None:
        """It tells how to ask where a session goes, which works as it stands, and where the status page is."""
        port, admin = free_port(), free_port()
        temporary = f"TMPDIR={self.enterContext(TemporaryDirectory())}"
        command = (sys.executable, "-m", "meshproxy.demo", "--port", str(port))
        process = self.start("env", temporary, *command, "--admin", f"tcp:{admin}:interface=127.0.0.1")
        line = process.wait_for(r"(?m)^  (\S*meshproxy explain --live .*)$")[1]
        self.assertIn(f"http://127.0.0.1:{admin}/", process.output)
        asked = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True)
        endpoint = re.search(r"(?m)^  endpoint +(\S+)$", asked.stdout)
        assert endpoint is not None, asked.stdout
        named = re.search(rf"(replica-\d) \({endpoint[1]}\)", process.output)
        assert named is not None, process.output
        answer: Any = get(port, Host="test.com", Cookie="ISTIOID=abc")
        self.assertEqual(answer.headers["x-served-by"], named[1])

    def test_ends_without_orphans(self) -> None:
        """Ctrl-C and SIGTERM end everything well; SIGKILL ends all the same."""
        for number, status in ((signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -9)):
            port = free_port()
            process = self.demo(port)
            process.wait_for("Ctrl-C ends everything")
            children = self.children(process)
            self.assertEqual(len(children), 4)
            process.signal(number)
            for child in children:
                wait_for_end(child)
            self.assertEqual(process.wait(), status)
            self.assertRaises(ConnectionRefusedError, get, port)

    def test_child_that_ends(self) -> None:
        """When one of the processes dies, the demo ends and says so in its status."""
        process = self.demo(free_port())
        process.wait_for("Ctrl-C ends everything")
        children = self.children(process)
        os.kill(children[0], signal.SIGKILL)
        for child in children:
            wait_for_end(child)
        self.assertEqual(process.wait(), 1)
        self.assertIn("because replica-1 has ended with status -9", process.output)

    def test_port_in_use(self) -> None:
        """A gateway port that somebody else has is one line and a status, and nothing stays behind."""
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = busy.getsockname()[1]
            process = self.demo(port)
            self.assertEqual(process.wait(), 1)
        self.assertEqual(process.output.count("\n"), 1, process.output)
        self.assertIn(f"127.0.0.1:{port}: Address already in use", process.output)

    def test_admin_port_in_use(self) -> None:
        """So is the admin server's."""
        with socket.create_server(("127.0.0.1", 0)) as busy:
            admin = busy.getsockname()[1]
            process = self.start(
                *(sys.executable, "-m", "meshproxy.demo", "--port", str(free_port())),
                *("--admin", f"tcp:{admin}:interface=127.0.0.1"),
            )
            self.assertEqual(process.wait(), 1)
        self.assertIn(f"127.0.0.1:{admin}: Address already in use", process.output)
        self.assertNotIn("Traceback", process.output)


class OneProcessTests(DemoTestCase):
    def test_session(self) -> None:
        """``twistd meshproxy --demo`` does the same inside one process."""
        process = self.start(
            *(*TWISTD, "-n", "--pidfile=", "meshproxy", "--demo", "--map-port", "80=0", "--admin", "off")
        )
        port = int(process.wait_for(r"Listening on 127\.0\.0\.1:(\d+)")[1])
        process.wait_for("Configuration 1 is served")
        process.wait_for("Try: curl ")
        self.check_session(port)
        process.wait_for(r"replica-\d: GET '/'")
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)


class ReplicaTests(ProcessTestCase):
    def test_alone(self) -> None:
        """A replica runs by itself, as the example tells, and names itself in header and output."""
        port = free_port()
        process = self.start(sys.executable, "-m", "meshproxy.demo.replica", "replica-9", str(port))
        process.wait_for(rf"replica-9 listens on 127\.0\.0\.1:{port}")
        self.assertEqual(get(port).headers["x-served-by"], "replica-9")
        process.wait_for(r"replica-9: GET '/'")

    def test_port_in_use(self) -> None:
        """A port in use is one line and a status."""
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = busy.getsockname()[1]
            process = self.start(sys.executable, "-m", "meshproxy.demo.replica", "replica-9", str(port))
            self.assertEqual(process.wait(), 1)
        self.assertIn(f"replica-9 cannot listen on 127.0.0.1:{port}: Address already in use", process.output)
        self.assertEqual(process.output.count("\n"), 1)
