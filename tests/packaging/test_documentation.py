"""The pages under docs/ build without a warning: no broken link, no page that nothing leads to."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.checkout import ROOT


class DocumentationTests(SynchronousTestCase):
    def test_builds(self) -> None:
        """Sphinx has nothing to complain about."""
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", self.mktemp()]
        built = subprocess.run([*command, ROOT / "docs", self.mktemp()], capture_output=True, text=True, check=False)
        self.assertEqual((built.returncode, built.stderr), (0, ""))
