"""Each way of installing gives a working ``twistd meshproxy`` from any folder.

The environments are new and hold the dependencies of the one that the tests run in, so no registry is asked.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.checkout import ROOT

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
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", "__pycache__", "*.egg-info", "build", "dist", "_trial_temp*", ".mypy_cache", "dropin.cache"
)
START_SECONDS = 30


def link_dependencies(folder: Path) -> None:
    """Fill ``folder`` with links to all that is installed beside meshproxy, and to nothing of meshproxy itself."""
    folder.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        # A .pth is no use in a folder that is itself named by one; pip comes with the new environment.
        if "meshproxy" not in entry.name and entry.suffix != ".pth" and not entry.name.startswith("pip"):
            (folder / entry.name).symlink_to(entry)


class InstallingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="meshproxy-install-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.checkout = self.folder / "checkout"
        shutil.copytree(ROOT, self.checkout, symlinks=True, ignore=NOT_COPIED)
        self.away = self.folder / "away"
        self.away.mkdir()
        environment = self.folder / "venv"
        venv.EnvBuilder(with_pip=True, symlinks=True).create(environment)
        self.bin = environment / "bin"
        link_dependencies(self.folder / "dependencies")
        site = Path(self.run_away(self.bin / "python", "-c", "import site; print(site.getsitepackages()[0])").strip())
        (site / "dependencies.pth").write_text(f"{self.folder / 'dependencies'}\n")
        # What comes with a new environment is older than what the project is built with, and would be found first.
        for old in (*site.glob("setuptools*"), *site.glob("pkg_resources*")):
            shutil.rmtree(old)
        # Twisted's own script stands beside the Python that it was installed for.
        twistd = self.bin / "twistd"
        twistd.write_text(f"#!{self.bin / 'python'}\nfrom twisted.scripts.twistd import run\n\nrun()\n")
        twistd.chmod(0o755)

    def run_away(self, *command: str | Path, cwd: Path | None = None) -> str:
        """Output of a command that runs in a folder of its own and has to succeed."""
        done = subprocess.run(
            command, cwd=cwd or self.away, env=self.environ(), capture_output=True, text=True, timeout=120, check=False
        )
        self.assertEqual(done.returncode, 0, f"{command}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}

    def install(self, *what: str | Path) -> None:
        self.run_away(
            self.bin / "python", "-m", "pip", "install", "-q", "--no-index", "--no-build-isolation", "--no-deps", *what
        )

    def build(self, kind: str) -> Path:
        """Build an sdist or a wheel of the checkout with setuptools' own PEP 517 entry points."""
        folder = self.folder / kind
        code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(folder)!r}))"
        built = self.run_away(sys.executable, "-c", code, cwd=self.checkout).strip().splitlines()[-1]
        return folder / built

    def check(self) -> None:
        """Both programs are there, the registry finds all strategies, and the demo keeps a session at one replica."""
        self.assertIn("--config", self.run_away(self.bin / "twistd", "meshproxy", "--help"))
        example = self.checkout / "examples" / "scenario-zero"
        self.assertIn("checked", self.run_away(self.bin / "meshproxy", "check", example))
        names = self.run_away(
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
            cwd=self.away,
            env=self.environ(),
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
        self.install(self.checkout)
        self.check()

    def test_editable(self) -> None:
        """``pip install -e .``"""
        self.install("-e", self.checkout)
        self.check()

    def test_wheel(self) -> None:
        """A wheel that was built from the checkout."""
        self.install(self.build("wheel"))
        self.check()

    def test_sdist(self) -> None:
        """An sdist that was built from the checkout; it carries all that a wheel needs."""
        self.install(self.build("sdist"))
        self.check()
