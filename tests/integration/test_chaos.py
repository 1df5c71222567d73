"""A short run of what ``make chaos`` runs for longer."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.checkout import ROOT

SECONDS, SEED = "6", "133"
MOST_SECONDS = 240
"""A run ends by itself; later than this only if nothing moves any more."""


class ChaosTests(SynchronousTestCase):
    def test_nothing_is_lost(self) -> None:
        """Whatever breaks at once under load, no request is lost but on what broke, no session moves, no byte is
        wrong."""
        chaos = subprocess.run(
            [sys.executable, "-m", "tests.chaos", SECONDS, SEED],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
        self.assertEqual(chaos.returncode, 0, chaos.stdout + chaos.stderr)
        for act in ("worker killed", "worker told to drain", "reload"):
            self.assertIn(f"times {act}", chaos.stdout)
