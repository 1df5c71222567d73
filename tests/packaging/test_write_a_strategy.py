"""``docs/write-a-strategy.md`` does what it says: every file is written and every command is run, in order."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.docs.pages import Command, File, Step, steps
from tests.packaging.checkout import ROOT
from tests.packaging.environments import Environment
from tests.processes import PATIENCE, free_port

PAGE = ROOT / "docs" / "write-a-strategy.md"
PORTS = ("8080", "9001", "9002", "9003")


def awaited(port: str) -> None:
    """Wait until something listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", int(port)), PATIENCE).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


class TutorialTests(SynchronousTestCase):
    def setUp(self) -> None:
        if shutil.which("curl") is None:
            raise SkipTest("the page asks with curl, which is not there")
        self.environment = Environment()
        self.addCleanup(self.environment.remove)
        self.project = self.environment.folder / "acme"
        self.project.mkdir()
        # What the page takes for granted, on a machine where other things may listen at its ports.
        self.ports = {port: str(free_port()) for port in PORTS}

    def here(self, text: str) -> str:
        """What the page says, with the ports of this machine."""
        return re.sub("|".join(self.ports), lambda match: self.ports[match[0]], text)

    def test_page(self) -> None:
        """From an empty folder to a gateway that serves by the page's strategies, and back."""
        self.environment.install("-e", self.environment.copy())
        found: list[Step] = list(steps(PAGE.read_text()))
        self.assertEqual(
            [step.path for step in found if isinstance(step, File)],
            [
                "pyproject.toml",
                "setup.cfg",
                "twisted/plugins/acme_strategies_plugin.py",
                "acme_strategies/__init__.py",
                "acme_strategies/tenant.py",
                "tests/test_tenant.py",
                "acme_strategies/jump.py",
                "tests/test_jump.py",
                "mesh.yaml",
            ],
        )
        self.assertGreater(len([step for step in found if isinstance(step, Command)]), 15)
        for step in found:
            if isinstance(step, File):
                self.write(step)
            elif step.line.endswith(" &"):
                self.begin(step.line.removesuffix(" &"))
            else:
                self.run_command(step)

    def write(self, step: File) -> None:
        path = self.project / step.path
        path.parent.mkdir(parents=True, exist_ok=True)
        # 8080 in a configuration is the service's own port, which nobody listens at.
        path.write_text(step.text if step.path != "mesh.yaml" else re.sub(r"\b900\d\b", self._port, step.text))

    def _port(self, match: re.Match[str]) -> str:
        return self.ports[match[0]]

    def begin(self, command: str) -> None:
        """Start something that goes on; wait until it listens."""
        log = Path(self.mktemp())
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {self.here(command)}"],
                cwd=self.project,
                env=self.environment.variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.send_signal, signal.SIGTERM)
        (port,) = (port for port in self.ports if port in command)
        awaited(self.ports[port])

    def run_command(self, step: Command) -> None:
        done = subprocess.run(
            ["sh", "-c", self.here(step.line)],
            cwd=self.project,
            env={**self.environment.variables, **self.environment.offline},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        printed = done.stdout
        self.assertTrue(step.matches(printed), f"$ {step.line}\n{printed}\ninstead of\n{step.output}")
