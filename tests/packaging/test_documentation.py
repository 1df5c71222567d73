"""The pages under docs/ build without a warning, as HTML and as manual pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.cli import main
from tests.packaging.checkout import ROOT


class DocumentationTests(SynchronousTestCase):
    def build(self, kind: str) -> Path:
        """The folder with what Sphinx builds, about which it has nothing to complain."""
        folder = Path(self.mktemp())
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", kind, "-d", self.mktemp()]
        built = subprocess.run([*command, ROOT / "docs", folder], capture_output=True, text=True, check=False)
        self.assertEqual((built.returncode, built.stderr), (0, ""))
        return folder

    def test_pages(self) -> None:
        """No broken link, no page that nothing leads to."""
        self.build("html")

    def test_manual_pages(self) -> None:
        """There is a manual page for the program, and one for each command with a page of its own name."""
        folder = self.build("man")
        commands = [name for name in main._COMMANDS if (ROOT / "docs" / f"{name}.md").exists()]
        self.assertGreater(len(commands), 5)
        for name in ("meshproxy", *(f"meshproxy-{command}" for command in commands)):
            page = (folder / f"{name}.1").read_text()
            self.assertRegex(page, rf'\n\.TH "{name.upper()}" "1" ')
            self.assertNotIn("<#", page)
