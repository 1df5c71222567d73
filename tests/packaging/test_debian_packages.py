"""``tools/debian_packages``, on machines that are made up."""

from __future__ import annotations

import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.checkout import ROOT

_INSTALLED = 'case "$4" in have) echo installed;; removed) echo config-files;; *) exit 1;; esac'


class PackagesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.calls = self.folder / "calls"
        self.command("dpkg-query", _INSTALLED)
        self.command("id", "echo 0")
        self.command("apt-get", f'echo "$*" >> {self.calls}')

    def command(self, name: str, script: str) -> None:
        """Put a program of this name in the place of the machine's."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run_for(self, *packages: str) -> tuple[int, str, list[str]]:
        """The exit status, what was said, and what apt-get was asked for."""
        done = subprocess.run(
            [ROOT / "tools" / "debian_packages", *packages],
            env={"PATH": f"{self.folder}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        return done.returncode, done.stderr, [call.removeprefix("-o DPkg::Lock::Timeout=300 ") for call in calls]

    def test_nothing_to_do(self) -> None:
        """Where all packages are there, nothing is touched."""
        self.assertEqual(self.run_for("have"), (0, "", []))

    def test_missing(self) -> None:
        """What is missing is installed, and only that."""
        asked = "install -q -y --no-install-recommends removed missing"
        self.assertEqual(self.run_for("have", "removed", "missing"), (0, "", [asked]))

    def test_old_lists(self) -> None:
        """Where a package is not found, the lists are renewed first."""
        self.command(
            "apt-get", f'echo "$*" >> {self.calls}; [ -e {self.calls}.new ] || {{ touch {self.calls}.new; exit 1; }}'
        )
        asked = "install -q -y --no-install-recommends missing"
        self.assertEqual(self.run_for("missing"), (0, "", [asked, "update -q", asked]))

    def test_not_root(self) -> None:
        """Who may not install is told what is missing."""
        self.command("id", "echo 1000")
        said = "missing here: missing. On Debian, as root: apt-get install missing\n"
        self.assertEqual(self.run_for("have", "missing"), (1, said, []))
