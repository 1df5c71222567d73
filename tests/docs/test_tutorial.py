"""``docs/tutorial.md`` and README do what they say: every file is written and every command is run, in order.

Hashes depend on the endpoints' addresses, and on a machine where tests run the pages' ports may be taken. So commands
that serve or ask run in a folder whose files have free ports instead, and those of ``meshproxy`` run beside it on the
files as they stand on the page; what changes files runs in both.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.docs.pages import Command, File, Step, printed_by, steps
from tests.packaging.checkout import ROOT
from tests.processes import PATIENCE, free_port

PORTS = ("8080", "15000", "9001", "9002", "9003", "9004")
ENDPOINT = re.compile(r"\b900\d\b")
PORT = re.compile("|".join(PORTS))
CHANGES_FILES = ("sed ", "cp ", "mkdir ")
WHERE = {f"replica-{n}": f"900{n}" for n in range(1, 5)} | {"twistd": "8080"}
"""The port at which something listens when it has begun."""


class TutorialTests(SynchronousTestCase):
    def setUp(self) -> None:
        if shutil.which("curl") is None:
            raise SkipTest("the pages ask with curl, which is not there")
        self.served, self.written = (Path(self.mktemp()).resolve() for _ in range(2))
        for folder in (self.served, self.written):
            folder.mkdir(parents=True)
        self.ports = {port: str(free_port()) for port in PORTS}
        programs = str(Path(sys.executable).parent)
        self.environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
        self.environment.pop("NOTIFY_SOCKET", None)

    def test_tutorial(self) -> None:
        """From an empty folder to a session that stays, a change, a mistake, and the end."""
        found = list(steps((ROOT / "docs" / "tutorial.md").read_text()))
        self.assertEqual([it.path for it in found if isinstance(it, File)], ["istio.yaml", "replicas.yaml"])
        self.assertGreater(len(found), 20)
        self.follow(found)

    def test_readme(self) -> None:
        """The session of README, but for the installation."""
        found = list(steps((ROOT / "README.md").read_text().replace("```yaml", "`mesh.yaml`:\n\n```yaml")))
        self.assertEqual([it.path for it in found if isinstance(it, File)], ["mesh.yaml"])
        commands = [it for it in found if not isinstance(it, Command) or not it.line.startswith("pip ")]
        self.assertGreater(len(commands), 4)
        self.follow(commands)

    def follow(self, page: list[Step]) -> None:
        """Do all of it."""
        for step in page:
            if isinstance(step, File):
                (self.written / step.path).write_text(step.text)
                (self.served / step.path).write_text(ENDPOINT.sub(self.port, step.text))
            elif step.line.endswith("&") or step.line.endswith("& done"):
                self.begin(step.line)
            elif step.line.startswith("meshproxy ") and not step.line.startswith("meshproxy reload"):
                self.compare(step, printed_by(self, self.written, step.line))
            else:
                if step.line.startswith(CHANGES_FILES):
                    self.run_in(self.written, step.line)
                self.compare(step, self.run_in(self.served, self.here(step.line)))

    def port(self, match: re.Match[str]) -> str:
        return self.ports[match[0]]

    def here(self, line: str) -> str:
        """A command, with the ports of this machine."""
        return PORT.sub(self.port, line.replace("meshproxy reload", f"meshproxy reload --admin 127.0.0.1:{PORTS[1]}"))

    def compare(self, step: Command, printed: str) -> None:
        message = f"$ {step.line}\n{printed}instead of\n{step.output}"
        self.assertTrue(step.matches(printed), message)

    def run_in(self, folder: Path, line: str) -> str:
        """What a command prints."""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.stdout

    def begin(self, line: str) -> None:
        """Start what goes on in the background, and wait until it listens."""
        if line.startswith("for n in 1 2 3; do "):
            for n in "123":
                self.begin(line.removeprefix("for n in 1 2 3; do ").removesuffix(" done").replace("$n", n))
            return
        command = self.here(line.removesuffix("&").rstrip())
        if line.startswith("twistd ") and "--admin " not in line:
            command = command.replace(" -c ", f" --admin tcp:{self.ports['15000']}:interface=127.0.0.1 -c ", 1)
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=self.served,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(_end, process)
        (where,) = (port for name, port in WHERE.items() if re.search(rf"\b{name} ", line))
        self.wait_for(process, int(self.ports[where]))

    def wait_for(self, process: subprocess.Popen[bytes], port: int) -> None:
        """Wait until something listens."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), PATIENCE).close()
            except ConnectionRefusedError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, its workers with it."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
