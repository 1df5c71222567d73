"""The example of a strategy package: built, installed, served by, taken away again."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from pathlib import Path

from tests.packaging.checkout import ROOT
from tests.packaging.environments import Environment
from tests.processes import Process, ProcessTestCase, get

PROJECT = ROOT / "examples" / "strategy-plugin"
NAMES = ("example.com/jwtClaim", "example.com/rendezvous")
TOKENS = [f"e30.{b64encode(json.dumps({'sub': f'user-{number}'}).encode()).decode()}.x" for number in range(3)]


class StrategyPluginTests(ProcessTestCase):
    def setUp(self) -> None:
        self.environment = Environment()
        self.addCleanup(self.environment.remove)
        self.environment.install("-e", self.environment.copy())
        self.project = self.environment.copy(PROJECT, "example")

    def listed(self, status: int = 0) -> str:
        """What ``meshproxy plugins`` says."""
        return self.environment.run(self.environment.bin / "meshproxy", "plugins", status=status)

    def mesh(self, ports: list[int]) -> Path:
        """The example's configuration with these ports for its replicas."""
        text = (self.project / "mesh.yaml").read_text()
        for example, port in zip((9001, 9002, 9003), ports, strict=True):
            text = text.replace(str(example), str(port))
        path = self.environment.folder / "mesh.yaml"
        path.write_text(text)
        return path

    def served(self, mesh: Path) -> tuple[Process, int]:
        """A gateway that serves, and its port."""
        options = ("--map-port", "80=0", "--listen-address", "127.0.0.1", "--workers", "1", "--admin", "off")
        process = self.start(
            str(self.environment.bin / "twistd"), "-n", "--pidfile=", "meshproxy", "-c", str(mesh), *options
        )
        return process, int(process.wait_for(r"Listening on 127\.0\.0\.1:(\d+)")[1])

    def test_life(self) -> None:
        """As a wheel and as editable it is found and keeps sessions; gone or broken, it is an error with its place."""
        replicas = self.replicas()
        mesh = self.mesh([replica.port for replica in replicas])
        self.check_absent(mesh)
        self.environment.install(self.environment.build("wheel", self.project))
        text = self.listed()
        for name in NAMES:
            self.assertRegex(text, rf"\n{name} .* example-strategies 1\.0  {re.escape(str(self.environment.site))}/")
        self.check_sessions(mesh)
        self.environment.uninstall("example-strategies")
        self.check_absent(mesh)
        self.environment.install("-e", self.project)
        for name in NAMES:
            self.assertRegex(self.listed(), rf"\n{name} .* example-strategies 1\.0  {re.escape(str(self.project))}/")
        tested = self.environment.run(self.environment.bin / "python", "-m", "unittest", cwd=self.project)
        self.assertRegex(tested, r"Ran \d+ tests in .*\n\nOK\n$")
        self.check_broken(mesh)

    def check_sessions(self, mesh: Path) -> None:
        """Every user stays at one replica, through another gateway too."""
        found = []
        for _ in range(2):
            process, port = self.served(mesh)
            for token in TOKENS:
                answers = [get(port, Host="test.com", Authorization=f"Bearer {token}") for _ in range(4)]
                self.assertEqual({answer.status for answer in answers}, {200})
                found.append([answer.headers["x-served-by"] for answer in answers])
            process.end()
        self.assertEqual(found[: len(TOKENS)], found[len(TOKENS) :])
        self.assertTrue(all(len(set(names)) == 1 for names in found), found)

    def check_absent(self, mesh: Path) -> None:
        """Without the package both programs refuse the configuration, at the line that names a strategy."""
        text = self.listed()
        self.assertFalse([name for name in NAMES if name in text])
        lines = mesh.read_text().splitlines()
        for command in (("meshproxy", "check", mesh), ("twistd", "-n", "--pidfile=", "meshproxy", "-c", mesh)):
            told = self.environment.run(self.environment.bin / command[0], *map(str, command[1:]), status=78)
            for name in NAMES:
                line = next(number for number, text in enumerate(lines, 1) if name in text)
                place = f"{mesh}:{line}:{lines[line - 1].index(name) + 1}"
                self.assertIn(f"{place}: no plugin provides the strategy {name}", told)

    def check_broken(self, mesh: Path) -> None:
        """A package that breaks is told with its file and line, where it is named and by the list of plugins."""
        module = self.project / "example_strategies" / "rendezvous.py"
        module.write_text("import no_such_module\n")
        told = self.environment.run(self.environment.bin / "meshproxy", "check", mesh, status=78)
        reason = f"does not load: ModuleNotFoundError: No module named 'no_such_module' ({module}:1)"
        self.assertIn(reason, told)
        self.assertIn(reason, self.listed(status=1))
